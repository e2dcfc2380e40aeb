"""Cut images into tiles and shuffle them, in two different orders for each image."""

import math

import torch
from torch import Tensor


def shuffle_tiles(images: Tensor, permutations: Tensor) -> Tensor:
    """Cut images into n x n tiles and put them together in another order.

    If the size is not a multiple of n, the remaining pixels at the right and lower edge do not move.

    Args:
        images: (B, C, H, W)
        permutations: (B, n * n), for each image the tile at each position, row by row.

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


def two_orders(rows: int, tiles: int) -> tuple[Tensor, Tensor]:
    """Two different random permutations for each row, (rows, tiles) each: CLIP-AT's gamma_1 and gamma_2."""
    first = torch.rand(rows, tiles).argsort(1)
    # Permuting the places by anything but the identity gives another permutation, all equally likely.
    return first, first.gather(1, other_orders(rows, tiles))


def other_orders(rows: int, places: int) -> Tensor:
    """Random permutations (rows, places), none of them the identity."""
    orders = torch.rand(rows, places).argsort(1)
    identity = torch.arange(places)
    while (same := (orders == identity).all(1)).any():
        orders[same] = torch.rand(int(same.sum()), places).argsort(1)
    return orders
