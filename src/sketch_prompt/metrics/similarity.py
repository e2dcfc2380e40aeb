"""Inner products of query and gallery features, block by block.

The similarity matrix of a benchmark is never held in memory: QuickDraw's would take 20 GB. Everything that ranks
    photos
(`core`, `instance`, `ranking`) reads it in blocks, through `pair_scores.FeatureScores`.

Equal photos must get equal scores, so that they are ranked by gallery order. A matrix product does not guarantee that,
because its rounding depends on the position in the matrix. So `similarity_blocks` multiplies each distinct row only
once. In a search of a very large gallery, `top_k.exact_scores` multiplies the few best rows one by one.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 2**26


def as_features(values, name: str) -> np.ndarray:
    """Check features, and return them as a C-contiguous float array (N, D).

    Args:
        values: A numpy array, a torch tensor on any device, or a nested sequence, of shape (N, D). float64 stays
            float64, and half precision becomes float32.
        name: Name of the features in an error.

    Raises:
        ValueError: They are not two-dimensional, empty, or not finite (the first such row is named).
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.double() if values.element_size() == 8 else values.float()).numpy()
    features = np.asarray(values)
    if features.ndim != 2:
        raise ValueError(
            f"{name} must have two dimensions (items, features), but its shape is {features.shape}."
        )
    if 0 in features.shape:
        raise ValueError(f"{name} is empty: its shape is {features.shape}.")
    features = np.ascontiguousarray(features, dtype=np.result_type(features.dtype, np.float32))
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{name} holds NaN or infinity in {np.count_nonzero(~finite)} of {len(features)} rows, "
            f"the first of them row {np.argmin(finite)}."
        )
    return features


def as_feature_pair(query_features, gallery_features) -> tuple[np.ndarray, np.ndarray]:
    """`as_features` of both sides, with the same dtype.

    Raises:
        ValueError: Either side is malformed, or their widths differ.
    """
    query = as_features(query_features, "query_features")
    gallery = as_features(gallery_features, "gallery_features")
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query_features have {query.shape[1]} columns and gallery_features {gallery.shape[1]}: "
            "they must come from the same model."
        )
    dtype = np.result_type(query, gallery)
    return query.astype(dtype, copy=False), gallery.astype(dtype, copy=False)


def similarity_blocks(
    query: np.ndarray, gallery: np.ndarray, rows: np.ndarray | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `(indices, similarity)`: query indices (B,) and their inner products (B, N_gallery).

    `similarity` is a buffer that the next block overwrites. Equal gallery rows get exactly equal scores.

    Args:
        query: (N_query, D), with the same dtype as `gallery` (see `as_feature_pair`).
        gallery: (N_gallery, D).
        rows: Query indices, in this order; all of them by default.
        block_bytes: Size of the buffer.
    """
    rows = np.arange(len(query)) if rows is None else rows
    distinct, place = _distinct_rows(gallery)
    repeated = len(distinct) < len(gallery)
    if repeated:
        size, gallery = len(gallery), gallery[distinct]
        block_bytes //= 2
    else:
        size = len(gallery)
    height = max(1, min(len(rows), block_bytes // (size * gallery.itemsize)))
    product = np.empty((height, len(gallery)), gallery.dtype)
    spread = np.empty((height, size), gallery.dtype) if repeated else product
    for start in range(0, len(rows), height):
        indices = rows[start : start + height]
        block = np.matmul(query[indices], gallery.T, out=product[: len(indices)])
        if repeated:
            block = np.take(block, place, axis=1, out=spread[: len(indices)], mode="clip")
        yield indices, block


def _distinct_rows(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first index of each distinct row, and the number of its distinct row for each row."""
    number: dict[bytes, int] = {}
    first, place = [], np.empty(len(features), np.intp)
    for index, row in enumerate(features):
        # + 0.0 turns -0.0 into 0.0, which is equal but has other bytes
        digest = hashlib.blake2b(row + 0.0, digest_size=16).digest()
        place[index] = number.setdefault(digest, len(number))
        if place[index] == len(first):
            first.append(index)
    return np.asarray(first, np.intp), place
