"""Query expansion: search a second time with the query and its first hits combined."""

import numpy as np


def expand_queries(queries: np.ndarray, hits: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Move each query towards its first hits: normalise(q + normalise(mean(hits) - mean)).

    All photos have a large component in common, which `mean` removes.

    Args:
        queries: (N, D), L2-normalised.
        hits: (N, k, D) features of the first k photos of each query, with k at least 1.
        mean: (D,) mean of the photos that are searched.

    Returns:
        (N, D) float32, L2-normalised. A query whose hits are the mean stays the same.
    """
    toward = _normalize(hits.mean(1, dtype=np.float64) - mean)
    return _normalize(queries + toward).astype(np.float32)


def _normalize(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
