"""Images cut into a grid of tiles and put together in another order."""

import math

import torch
from torch import Tensor


def shuffle_tiles(images: Tensor, permutations: Tensor) -> Tensor:
    """Cut images into n x n tiles and put them together in another order.

    If the size is not a multiple of n, the remaining pixels at the right and lower edge stay where they are.

    Args:
        images: (B, C, H, W)
        permutations: (B, n * n), for each image the tile that goes into each place, row by row.

    Returns:
        (B, C, H, W)
    """
    count, channels, height, width = images.shape
    grid = math.isqrt(permutations.shape[1])
    h, w = height // grid, width // grid
    whole = images[..., : h * grid, : w * grid]
    tiles = whole.reshape(count, channels, grid, h, grid, w).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    rows = torch.arange(count, device=images.device)[:, None]
    moved = tiles[rows, permutations.to(images.device)].unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5)
    shuffled = images.clone()
    shuffled[..., : h * grid, : w * grid] = moved.reshape(whole.shape)
    return shuffled
