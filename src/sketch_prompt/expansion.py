"""Query expansion: the first hits of a search join the query for a second search."""

import numpy as np


def expand_queries(queries: np.ndarray, hits: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Queries joined with the direction in which their first hits lie: normalise(q + normalise(mean(hits) - mean)).

    Photos share one large component, which says nothing about any of them; `mean` takes it away.

    Args:
        queries: (N, D), L2-normalised.
        hits: (N, k, D) features of the first k photos that each found, k at least 1.
        mean: (D,) mean of the photos that are searched.

    Returns:
        (N, D) float32, L2-normalised. A query whose hits are the mean stays as it is.
    """
    toward = _normalize(hits.mean(1, dtype=np.float64) - mean)
    return _normalize(queries + toward).astype(np.float32)


def _normalize(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
