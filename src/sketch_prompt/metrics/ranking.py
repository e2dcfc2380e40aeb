"""Exact ranking of a gallery by any scores."""

from typing import NamedTuple

import numpy as np

from sketch_prompt.top_k import best_places

from .pair_scores import PairScores


class TopK(NamedTuple):
    """The first photos of each query, best first.

    Attributes:
        scores: (N_query, k) scores, descending.
        indices: (N_query, k) gallery indices. Photos with equal scores are in gallery order.
    """

    scores: np.ndarray
    indices: np.ndarray


def rank(
    scores: PairScores, top_k: int, rows: np.ndarray | None = None, columns: np.ndarray | None = None
) -> TopK:
    """The `top_k` best photos for every query. The scores are read in blocks and never held as a matrix.

    Example:
        >>> from sketch_prompt.metrics import FeatureScores
        >>> rank(FeatureScores([[1.0, 0.0]], [[0.6, 0.8], [1.0, 0.0]]), top_k=1).indices.tolist()
        [[1]]

    Args:
        scores: Scores of the queries with the photos, such as `FeatureScores(query_features, gallery_features)`.
        top_k: How many photos; k = min(top_k, N_gallery).
        rows: The queries to rank for; all of them by default.
        columns: The photos to rank; all of them by default. The indices of the result number these.

    Raises:
        ValueError: `top_k` is below 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}.")
    rows = np.arange(len(scores)) if rows is None else np.asarray(rows)
    top_k = min(top_k, scores.shape[1] if columns is None else len(columns))
    best_scores, best_indices = [], []
    for _, block in scores.blocks(rows, columns):
        for values in block:
            best = best_places(values, top_k)
            best_indices.append(best)
            best_scores.append(values[best])
    shape = len(rows), top_k
    return TopK(np.reshape(best_scores, shape), np.reshape(np.asarray(best_indices, np.int64), shape))
