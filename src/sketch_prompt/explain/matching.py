"""Match patches by their features."""

import numpy as np
import torch
from torch import Tensor, nn

Grid = tuple[int, int]
"""Rows and columns of patches."""

INK_CONTRAST = (
    0.25  # share of the darkest stroke's contrast with the paper; the soft edge of a line is fainter
)
BLANK_CONTRAST = 15 / 255  # more than JPEG noise around white


def patch_similarity(
    sketch_features: Tensor, photo_features: Tensor, sketch_grid: Grid, photo_grid: Grid
) -> Tensor:
    """Similarity of the patches of a sketch and of a photo.

    The mean over all patches of an image is subtracted first, since it depends mostly on the domain. Patches are then
    compared by inner product, so that distinctive patches count more than plain ones. A patch is described by its
    features and by the mean features of its 3 x 3 neighbourhood.

    Args:
        sketch_features: (P_s, d), row by row.
        photo_features: (P_p, d), row by row.
        sketch_grid: Rows and columns, with rows * columns = P_s.
        photo_grid: Rows and columns, with rows * columns = P_p.

    Returns:
        (P_s, P_p) in [-1, 1], float32.

    Raises:
        ValueError: The features do not fill the grid.
    """
    sketch, photo = _describe(sketch_features, sketch_grid), _describe(photo_features, photo_grid)
    return sketch @ photo.T


def _describe(features: Tensor, grid: Grid) -> Tensor:
    """Centred features of the patches and of their neighbourhoods (P, 2 d). The longest has length 1."""
    if features.dim() != 2 or len(features) != grid[0] * grid[1]:
        raise ValueError(
            f"features of shape {tuple(features.shape)} do not fill a grid of {grid[0]} x {grid[1]} patches"
        )
    centred = features.float() - features.float().mean(0)
    image = centred.T.unflatten(1, grid)[None]
    around = nn.functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    described = torch.cat([centred, around[0].flatten(1).T], dim=1)
    return described / described.norm(dim=1).max().clamp_min(torch.finfo(torch.float32).tiny)


def ink_patches(colours: Tensor, grid: Grid) -> Tensor:
    """The patches of a sketch that have ink.

    Args:
        colours: (3, H, W) in [0, 1]. H and W are multiples of the grid's rows and columns.
        grid: Rows and columns of patches.

    Returns:
        (rows * columns,) bool, all False for a blank sketch.
    """
    darkness = 1 - colours.float().amin(0)
    paper, darkest = darkness.min(), darkness.max()
    by_patch = darkness.unflatten(0, (grid[0], -1)).unflatten(2, (grid[1], -1)).amax((1, 3)).flatten()
    contrast = darkest - paper
    return (by_patch > paper + INK_CONTRAST * contrast) & (contrast > BLANK_CONTRAST)


# On the seen classes of MiniSketch, weaker matches are right less often than random pairs of patches of the object.
WEAKEST_MATCH = 0.25


def match_one_to_one(similarity: Tensor, candidates: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Match the most similar pair, then the most similar pair of the remaining patches, and so on.

    Pairs with less than a quarter of the first pair's similarity, or without a positive one, are not matched. The
    result is a stable matching: no two patches are more similar to each other than to their partners. Mutual nearest
    neighbours are always partners.

    Args:
        similarity: (P_s, P_p)
        candidates: (P_s,) bool, the sketch patches to match.

    Returns:
        Pairs (M, 2) of sketch and photo patches, each at most once, and their similarity (M,), descending.
    """
    values = similarity.masked_fill(~candidates[:, None], 0).double().cpu().numpy()
    strong = (values > 0) & (values >= WEAKEST_MATCH * values.max())
    order = np.argsort(-values, axis=None, kind="stable")[: np.count_nonzero(strong)]
    free = [np.ones(side, bool) for side in values.shape]
    pairs = []
    for i, j in zip(*np.unravel_index(order, values.shape)):
        if free[0][i] and free[1][j]:
            free[0][i] = free[1][j] = False
            pairs.append((i, j))
    matches = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return matches, values[matches[:, 0], matches[:, 1]].astype(np.float32)
