"""Exact search: the whole gallery is compared with every query."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .base import Neighbours, VectorIndex, Vectors, best, exact_scores

_BLOCK_BYTES = 2**26
_MANY = 10_000  # vectors from which on the time of a search is the time it takes to read them
# What may be lost in an inner product, as a share of the product of the norms: in float32 over a few thousand
# dimensions, and where both vectors and the result are rounded to half precision (2^-11 each).
_LOSS = {torch.float32: 1e-6, torch.float16: 3 * 2.0**-11}


class ExactIndex(VectorIndex):
    """All vectors in memory, in float32.

    Beside faiss's `IndexFlatIP` ties are ranked by id, and one query is several times as fast: faiss shares queries
    among threads, not the gallery, and reads it in single precision. Here half precision finds everything that might
    be among the first, where the machine is faster at it, and only that is compared in full.
    """

    backend = "faiss"

    def __init__(self):
        self._ids = np.empty(0, np.int64)
        self._vectors = np.empty((0, 0), np.float32)
        self._product: Callable[[np.ndarray], np.ndarray] | None = None
        self._loss = 0.0
        self._norm = 0.0

    def __len__(self) -> int:
        return len(self._ids)

    def describe(self) -> dict[str, Any]:
        """The kind."""
        return {"backend": self.backend, "kind": "exact"}

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Hold exactly these vectors."""
        self._hold(ids, np.ascontiguousarray(vectors[:], np.float32))

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Forget and add."""
        kept = self._vectors[~np.isin(self._ids, removed)] if len(removed) else self._vectors
        if len(added):
            new = np.ascontiguousarray(vectors[np.searchsorted(ids, added)], np.float32)
            kept = np.concatenate([kept, new]) if len(kept) else new
        self._hold(ids, kept)

    def _hold(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self._ids, self._vectors, self._product = np.asarray(ids, np.int64), vectors, None
        self._norm = float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max())) if len(vectors) else 0.0

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors."""
        found = Neighbours(
            np.full((len(queries), top_k), -np.inf, np.float32), np.full((len(queries), top_k), -1)
        )
        rows = np.arange(len(self)) if allowed is None else np.flatnonzero(np.isin(self._ids, allowed))
        if len(rows) == 0:
            return found
        if len(queries) == 1 and 2 * len(rows) > _MANY:
            values, loss = self._one(queries[0])
            found.scores[0], found.ids[0] = self._first(queries[0], values[rows], loss, rows, top_k)
            return found
        vectors = self._vectors if allowed is None else self._vectors[rows]
        height = max(1, _BLOCK_BYTES // (4 * len(rows)))
        for start in range(0, len(queries), height):
            similarity = queries[start : start + height] @ vectors.T
            for row, values in enumerate(similarity, start):
                ranked = self._first(queries[row], values, _LOSS[torch.float32], rows, top_k)
                found.scores[row], found.ids[row] = ranked
        return found

    def _one(self, query: np.ndarray) -> tuple[np.ndarray, float]:
        """Inner products (N,) of one query with all vectors, and what they may have lost."""
        if self._product is None:
            self._product, self._loss = self._fastest(query)
        return self._product(query), self._loss

    def _fastest(self, query: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
        """The way in which this machine multiplies many vectors by one fastest."""

        def full(query: np.ndarray) -> np.ndarray:
            return self._vectors @ query

        half_vectors = torch.from_numpy(self._vectors).half()

        def half(query: np.ndarray) -> np.ndarray:
            return torch.mv(half_vectors, torch.from_numpy(query).half()).float().numpy()

        seconds = {}
        for product in (full, half, full, half):
            start = time.perf_counter()
            product(query)
            seconds[product] = time.perf_counter() - start
        return (half, _LOSS[torch.float16]) if seconds[half] < seconds[full] else (full, _LOSS[torch.float32])

    def _first(
        self, query: np.ndarray, values: np.ndarray, loss: float, rows: np.ndarray, top_k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best `top_k` of one query.

        Args:
            query: (D,)
            values: (n,) inner products with the vectors of `rows`, each off by at most `loss` times the norms.
            loss: see `_LOSS`.
            rows: (n,) of the vectors.
            top_k: how many.
        """
        if top_k < len(values):
            last = np.partition(values, len(values) - top_k)[len(values) - top_k]
            near = np.flatnonzero(values >= last - 2 * loss * np.linalg.norm(query) * self._norm)
            rows = rows[near]
        return best(exact_scores(query, self._vectors[rows]), self._ids[rows], top_k)

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Nothing: the gallery keeps the vectors."""
        return self.describe()

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Read the gallery's vectors."""
        self.build(ids, vectors)
