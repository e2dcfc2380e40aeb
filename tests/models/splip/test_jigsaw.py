"""SpLIP's jigsaw by hand: the bank, the tiles, the solver."""

import itertools

import pytest
import torch

from sketch_prompt.models.splip.jigsaw import MAX_PERMUTATIONS, JigsawSolver, permutation_bank
from sketch_prompt.models.tiles import shuffle_tiles


def distances(bank):
    return [sum(x != y for x, y in zip(a, b)) for a, b in itertools.combinations(bank.tolist(), 2)]


def test_the_bank_holds_different_permutations_and_not_the_identity():
    bank = permutation_bank()
    assert bank.shape == (MAX_PERMUTATIONS, 9)
    assert len(set(map(tuple, bank.tolist()))) == MAX_PERMUTATIONS
    assert all(sorted(row) == list(range(9)) for row in bank.tolist())
    assert list(range(9)) not in bank.tolist()


@pytest.mark.parametrize(("size", "distance"), [(2, 9), (9, 9), (10, 8), (36, 8), (72, 8)])
def test_mutual_hamming_distance_is_the_greatest_that_a_bank_of_the_size_can_have(size, distance):
    """Permutations of 9 that differ in d places pairwise are at most 9! / (d - 1)!: 9 for d = 9, 72 for d = 8."""
    assert min(distances(permutation_bank(size))) == distance


def test_a_smaller_bank_is_the_beginning_of_a_larger_one():
    assert torch.equal(permutation_bank(20), permutation_bank(72)[:20])


@pytest.mark.parametrize("size", [9, 32, 64])
def test_tiles_go_where_the_permutation_says(size):
    generator = torch.Generator().manual_seed(size)
    images = torch.randn(4, 3, size, size + 1, generator=generator)
    orders = permutation_bank()[torch.tensor([0, 5, 40, 71])]
    shuffled = shuffle_tiles(images, orders)
    h, w = size // 3, (size + 1) // 3
    for image, result, order in zip(images, shuffled, orders.tolist()):
        expected = image.clone()
        for place, tile in enumerate(order):
            to_y, to_x = place // 3 * h, place % 3 * w
            y, x = tile // 3 * h, tile % 3 * w
            expected[:, to_y : to_y + h, to_x : to_x + w] = image[:, y : y + h, x : x + w]
        assert torch.equal(result, expected)


def test_the_inverse_permutation_puts_the_tiles_back():
    images = torch.randn(2, 3, 32, 32)
    orders = permutation_bank()[[3, 50]]
    assert torch.equal(shuffle_tiles(shuffle_tiles(images, orders), orders.argsort(1)), images)


def test_the_solver_tells_its_two_inputs_apart():
    torch.manual_seed(0)
    solver = JigsawSolver(width=16, n_permutations=5, heads=2, feedforward=8).eval()
    clue, shuffled = torch.randn(2, 3, 16)
    assert solver(clue, shuffled).shape == (3, 5)
    assert not torch.allclose(solver(clue, shuffled), solver(shuffled, clue))
    assert sum(type(m).__name__ == "TransformerEncoderLayer" for m in solver.modules()) == 2


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="solver_heads must be a divisor of 16"):
        JigsawSolver(width=16, n_permutations=5, heads=3, feedforward=8)
