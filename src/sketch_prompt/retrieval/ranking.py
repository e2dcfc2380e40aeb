"""Exact ranking of a gallery by inner product."""

from typing import NamedTuple

import numpy as np

from sketch_prompt.metrics.similarity import as_feature_pair, similarity_blocks


class Ranking(NamedTuple):
    """The first photos of every query, best first.

    Attributes:
        scores: (N_query, k) inner products, descending.
        indices: (N_query, k) gallery indices; equal scores stand in gallery order.
    """

    scores: np.ndarray
    indices: np.ndarray


def rank(query_features, gallery_features, top_k: int) -> Ranking:
    """The `top_k` photos of the gallery for every query. The similarity matrix is read in blocks, never held.

    Args:
        query_features: (N_query, D) array or tensor, used as given (L2-normalised for cosine similarity).
        gallery_features: (N_gallery, D).
        top_k: how many photos; k = min(top_k, N_gallery).

    Raises:
        ValueError: malformed or non-finite features, widths that differ, or `top_k` below 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}.")
    query, gallery = as_feature_pair(query_features, gallery_features)
    top_k = min(top_k, len(gallery))
    scores = np.empty((len(query), top_k), query.dtype)
    indices = np.empty((len(query), top_k), np.int64)
    for rows, similarity in similarity_blocks(query, gallery):
        for row, values in zip(rows, similarity):
            # every photo that reaches the last place, so that gallery order decides among equals
            last = np.partition(values, -top_k)[-top_k]
            candidates = np.flatnonzero(values >= last)
            best = candidates[np.argsort(-values[candidates], kind="stable")[:top_k]]
            indices[row], scores[row] = best, values[best]
    return Ranking(scores, indices)
