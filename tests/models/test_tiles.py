"""Shuffling the tiles of images."""

import pytest
import torch

from sketch_prompt.models.tiles import shuffle_tiles


@pytest.mark.parametrize(("grid", "height", "width"), [(2, 8, 8), (3, 9, 12), (2, 7, 9), (3, 11, 10)])
def test_every_place_gets_the_tile_it_was_given_and_the_rest_stays(grid, height, width):
    images = torch.randn(4, 3, height, width)
    permutations = torch.rand(4, grid * grid).argsort(1)
    shuffled = shuffle_tiles(images, permutations)
    h, w = height // grid, width // grid
    for image, result, permutation in zip(images, shuffled, permutations.tolist()):
        expected = image.clone()
        for place, tile in enumerate(permutation):
            (i, j), (k, m) = divmod(place, grid), divmod(tile, grid)
            moved = image[:, k * h : k * h + h, m * w : m * w + w]
            expected[:, i * h : i * h + h, j * w : j * w + w] = moved
        assert torch.equal(result, expected)
