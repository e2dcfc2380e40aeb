"""The exact top-k, used by evaluation, the indexes of a gallery and the processor.

Equal scores are always in the order of the gallery, and equal vectors have equal scores.
"""

import numpy as np


def best_places(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Positions of the `top_k` greatest of scores (n,), best first. Equal scores stay in order."""
    candidates = np.arange(len(scores))
    if top_k < len(scores):
        # every score that reaches the last place, so that the order decides among equals
        candidates = np.flatnonzero(scores >= np.partition(scores, -top_k)[-top_k])
    return candidates[np.argsort(-scores[candidates], kind="stable")[:top_k]]


def exact_scores(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inner products (n,) of a query (D,) with vectors (n, D), computed in float64. Equal vectors score equal."""
    return np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64)).astype(np.float32)
