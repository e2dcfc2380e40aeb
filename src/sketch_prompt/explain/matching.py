"""From the features of patches to pairs of patches."""

import numpy as np
import torch
from torch import Tensor, nn

Grid = tuple[int, int]
"""Rows and columns of patches."""

INK_CONTRAST = 0.25  # of the darkest stroke's contrast with the paper: fainter is a line's soft edge
BLANK_CONTRAST = 15 / 255  # JPEG noise around white stays below


def patch_similarity(
    sketch_features: Tensor, photo_features: Tensor, sketch_grid: Grid, photo_grid: Grid
) -> Tensor:
    """How alike patches are, in what sets them apart from the rest of their image.

    What all patches of an image share says which domain it is of, so it is taken away; what is left is compared by
    inner product, which favours patches that stand out over plain ones. A patch is its features beside the mean over
    its 3 x 3 neighbourhood, whose place it shares whatever way the object is turned.

    Args:
        sketch_features: (P_s, d) in the order of `sketch_grid`, row by row.
        photo_features: (P_p, d)
        sketch_grid: rows and columns with rows * columns = P_s.
        photo_grid: likewise for P_p.

    Returns:
        (P_s, P_p) in [-1, 1], float32; 1 would be two equal patches, each of which stands out most in its image.

    Raises:
        ValueError: the features do not fill the grid.
    """
    sketch, photo = _describe(sketch_features, sketch_grid), _describe(photo_features, photo_grid)
    return sketch @ photo.T


def _describe(features: Tensor, grid: Grid) -> Tensor:
    """Centred features beside their neighbourhood's, (P, 2 d), the longest of length one."""
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
    """Which patches of a sketch hold ink: the others are paper, of which nothing can be said.

    Args:
        colours: (3, H, W) in [0, 1], H and W multiples of the grid's rows and columns.
        grid: rows and columns of patches.

    Returns:
        (rows * columns,) bool, all False for a blank sketch.
    """
    darkness = 1 - colours.float().amin(0)
    paper, darkest = darkness.min(), darkness.max()
    by_patch = darkness.unflatten(0, (grid[0], -1)).unflatten(2, (grid[1], -1)).amax((1, 3)).flatten()
    contrast = darkest - paper
    return (by_patch > paper + INK_CONTRAST * contrast) & (contrast > BLANK_CONTRAST)


# On MiniSketch's seen classes weaker matches are right less often than patches of the object paired at random.
WEAKEST_MATCH = 0.25


def match_one_to_one(similarity: Tensor, candidates: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The most similar pair, then the most similar of what is left, and so on.

    It ends where similarity falls below a quarter of the first pair's, or is not positive.

    No sketch patch and photo patch prefer each other to the partners they get (a stable matching), and mutual
    nearest neighbours are always partners.

    Args:
        similarity: (P_s, P_p)
        candidates: (P_s,) bool, the sketch patches to match.

    Returns:
        Pairs (M, 2) of sketch and photo patch, each at most once, and their similarity (M,), descending.
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
