"""Exact search: each query is compared with the whole gallery."""

from pathlib import Path
from typing import Any

import numpy as np

from sketch_prompt.top_k import exact_scores

from .base import Neighbours, VectorIndex, Vectors, best

_BLOCK_BYTES = 2**26
_LOSS = 1e-6  # maximum error of an inner product in float32, as a share of the product of the norms


class ExactIndex(VectorIndex):
    """All vectors in memory, multiplied with each query by NumPy.

    Unlike `IndexFlatIP` of faiss, it ranks equal photos by id, and uses all threads for a single query.
    """

    backend = "numpy"

    def __init__(self):
        self._ids = np.empty(0, np.int64)
        self._vectors = np.empty((0, 0), np.float32)
        self._norm = 0.0

    def __len__(self) -> int:
        return len(self._ids)

    def describe(self) -> dict[str, Any]:
        """Kind and precision."""
        return {"backend": self.backend, "kind": "exact", "precision": "float32"}

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Replace the content by these vectors."""
        self._ids, self._vectors = np.asarray(ids, np.int64), np.ascontiguousarray(vectors[:], np.float32)
        squares = np.einsum("nd,nd->n", self._vectors, self._vectors)
        self._norm = float(np.sqrt(squares.max(initial=0)))

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Remove and add vectors."""
        kept = self._vectors[~np.isin(self._ids, removed)] if len(removed) else self._vectors
        if len(added):
            new = vectors[np.searchsorted(ids, added)]
            kept = np.concatenate([kept, new]) if len(kept) else new
        self.build(ids, kept)

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors."""
        found = Neighbours(
            np.full((len(queries), top_k), -np.inf, np.float32), np.full((len(queries), top_k), -1)
        )
        rows = np.arange(len(self)) if allowed is None else np.flatnonzero(np.isin(self._ids, allowed))
        if len(rows) == 0:
            return found
        vectors = self._vectors if allowed is None else self._vectors[rows]
        height = max(1, _BLOCK_BYTES // (4 * len(rows)))
        for start in range(0, len(queries), height):
            products = queries[start : start + height] @ vectors.T
            for number, values in enumerate(products, start):
                query, near = queries[number], rows
                if top_k < len(values):
                    last = np.partition(values, -top_k)[-top_k]
                    near = rows[values >= last - 2 * _LOSS * np.linalg.norm(query) * self._norm]
                scores = exact_scores(query, self._vectors[near])
                found.scores[number], found.ids[number] = best(scores, self._ids[near], top_k)
        return found

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Nothing to save: the gallery stores the vectors."""
        return self.describe()

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Read the gallery's vectors."""
        self.build(ids, vectors)
