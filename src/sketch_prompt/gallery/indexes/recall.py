"""Measure the recall of an approximate index while it is built."""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm.auto import tqdm

from sketch_prompt.top_k import best_places

from .base import VectorIndex, Vectors
from .exact import ExactIndex

RECALL_AT = 10
QUERIES = 128
_WORTH_DRAWINGS = 20_000  # of fewer photos more lists are searched than need be, and nobody waits for it
_CHUNK = 32_768


class RunningTruth:
    """The exact neighbours of a few queries, collected while the vectors are read.

    Args:
        queries: (Q, D) float32.

    Attributes:
        ids: (Q, k) ids of the nearest vectors so far. k is `RECALL_AT` if there are enough.
    """

    def __init__(self, queries: np.ndarray):
        self.queries = queries
        self.ids = np.empty((len(queries), 0), np.int64)
        self._scores = np.empty((len(queries), 0), np.float32)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors (n, D) with ids (n,)."""
        exact = ExactIndex()
        exact.build(ids, vectors)
        found = exact.search(self.queries, min(RECALL_AT, len(ids)))
        scores = np.concatenate([self._scores, found.scores], axis=1)
        order = np.stack([best_places(row, RECALL_AT) for row in scores])
        self._scores = np.take_along_axis(scores, order, axis=1)
        self.ids = np.take_along_axis(np.concatenate([self.ids, found.ids], axis=1), order, axis=1)

    def recall_of(self, index: VectorIndex) -> float:
        """The share of the true neighbours that the index finds, to four decimals."""
        return round(recall(index.search(self.queries, self.ids.shape[1]).ids, self.ids), 4)


def sample_queries(vectors: Vectors, drawings: Callable[[], np.ndarray] | None = None) -> np.ndarray:
    """(Q, D) queries to measure the recall with.

    There are no photos near the features of drawings, so the neighbours of a drawing are spread over more lists than
    those of a photo. With photos as queries, an index would look better than it is. Without drawings, and in a small
    gallery, the queries are vectors of the gallery, each rotated by 45 degrees in a random direction.

    Args:
        vectors: The gallery.
        drawings: Returns features (Q, D) of drawings.
    """
    if drawings is not None and len(vectors) > _WORTH_DRAWINGS:
        found = drawings()
        return np.ascontiguousarray(found[:: max(1, len(found) // QUERIES)][:QUERIES], np.float32)
    rows = np.random.default_rng(0).choice(len(vectors), min(QUERIES, len(vectors)), replace=False)
    chosen = vectors[np.sort(rows)]
    noise = np.random.default_rng(1).standard_normal(chosen.shape, np.float32)
    queries = chosen + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return queries / np.linalg.norm(queries, axis=1, keepdims=True)


def queries_to_fit(vectors: Vectors, drawings: Callable[[], np.ndarray] | None) -> np.ndarray:
    """(Q, D) queries that `sample_queries` does not give, if there are enough; to fit what recall then measures."""
    if drawings is None or len(vectors) <= _WORTH_DRAWINGS:
        return sample_queries(vectors)
    found = drawings()
    others = np.arange(len(found)) % max(1, len(found) // QUERIES) > 0
    return np.ascontiguousarray(found[others] if others.any() else found, np.float32)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours (Q, k) that were found (Q, k)."""
    return float(np.mean([np.isin(right, ids).mean() for ids, right in zip(found, truth)]))


def chunks(ids: np.ndarray, vectors: Vectors, description: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids (n,) and contiguous float32 vectors (n, D), a few thousand at a time. Many show a progress bar."""
    starts = tqdm(range(0, len(ids), _CHUNK), desc=description, unit="chunk", disable=len(ids) <= 2 * _CHUNK)
    for start in starts:
        part = np.ascontiguousarray(ids[start : start + _CHUNK], np.int64)
        yield part, np.ascontiguousarray(vectors[start : start + _CHUNK], np.float32)
