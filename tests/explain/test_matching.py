import itertools

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sketch_prompt.explain import ink_patches, match_one_to_one, patch_similarity
from sketch_prompt.explain.matching import WEAKEST_MATCH


def described(features, grid):
    """Each patch's centred features and the mean over its neighbourhood, patch by patch."""
    centred = features - features.mean(0)
    rows, columns = grid
    out = []
    for row, column in itertools.product(range(rows), range(columns)):
        near = [
            centred[r * columns + c]
            for r in range(max(row - 1, 0), min(row + 2, rows))
            for c in range(max(column - 1, 0), min(column + 2, columns))
        ]
        out.append(torch.cat([centred[row * columns + column], torch.stack(near).mean(0)]))
    out = torch.stack(out)
    return out / max(vector.norm() for vector in out)


@pytest.mark.parametrize(
    ("sketch_grid", "photo_grid"), [((4, 4), (4, 4)), ((2, 5), (3, 7)), ((1, 3), (6, 1))]
)
def test_similarity_equals_the_one_computed_patch_by_patch(sketch_grid, photo_grid):
    generator = torch.Generator().manual_seed(0)
    sketch, photo = (
        torch.randn(rows * columns, 6, generator=generator) for rows, columns in (sketch_grid, photo_grid)
    )
    expected = described(sketch, sketch_grid) @ described(photo, photo_grid).T
    similarity = patch_similarity(sketch, photo, sketch_grid, photo_grid)
    assert_close(similarity, expected)
    assert similarity.abs().max() <= 1
    # what all patches of an image share says nothing
    assert_close(
        patch_similarity(sketch + 5, photo - 3, sketch_grid, photo_grid), expected, atol=1e-5, rtol=0
    )


def test_an_image_resembles_itself_and_one_of_equal_patches_nothing():
    features = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    similarity = patch_similarity(features, features, (3, 4), (3, 4))
    assert_close(similarity.max(), torch.tensor(1.0))
    assert not patch_similarity(torch.ones(12, 8), features, (3, 4), (3, 4)).any()
    half = patch_similarity(features.bfloat16(), features.bfloat16(), (3, 4), (3, 4))
    assert half.dtype == torch.float32
    assert_close(half, similarity, atol=0.02, rtol=0)
    with pytest.raises(ValueError, match=r"\(12, 8\) do not fill a grid of 3 x 5 patches"):
        patch_similarity(features, features, (3, 5), (3, 4))


def brute_force(similarity, candidates):
    """The strongest pair of what is left, searched anew each time."""
    left, right, found = set(np.flatnonzero(candidates)), set(range(similarity.shape[1])), []
    floor = None
    while left and right:
        pair = max(itertools.product(sorted(left), sorted(right)), key=lambda ij: similarity[ij])
        floor = WEAKEST_MATCH * similarity[pair] if floor is None else floor
        if similarity[pair] <= 0 or similarity[pair] < floor:
            break
        found.append(pair)
        left.remove(pair[0])
        right.remove(pair[1])
    return found


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (1, 4), (16, 16)])
def test_matches_equal_brute_force_one_to_one_and_descending(shape):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        similarity = torch.rand(shape, generator=generator) * 2 - 1
        candidates = torch.rand(shape[0], generator=generator) < 0.7
        matches, weights = match_one_to_one(similarity, candidates)
        assert [tuple(pair) for pair in matches] == brute_force(similarity.numpy(), candidates.numpy())
        assert np.array_equal(weights, similarity.numpy()[matches[:, 0], matches[:, 1]])
        assert np.all(np.diff(weights) <= 0)
        assert all(len(set(side)) == len(side) for side in matches.T)


def test_mutual_nearest_neighbours_are_partners():
    similarity = torch.rand(20, 30, generator=torch.Generator().manual_seed(3)) + 0.5
    partner = dict(match_one_to_one(similarity, torch.ones(20, dtype=torch.bool))[0])
    nearest, back = similarity.argmax(1), similarity.argmax(0)
    mutual = [i for i in range(20) if back[nearest[i]] == i]
    assert mutual and all(partner[i] == nearest[i] for i in mutual)


def test_nothing_alike_gives_no_match():
    matches, weights = match_one_to_one(-torch.rand(3, 4), torch.ones(3, dtype=torch.bool))
    assert matches.shape == (0, 2) and weights.shape == (0,)
    assert len(match_one_to_one(torch.rand(3, 4), torch.zeros(3, dtype=torch.bool))[0]) == 0


def test_ink_is_found_patch_by_patch_whatever_its_darkness():
    for ink in (0.0, 0.6, 0.85):
        paper = torch.ones(3, 6, 12)
        paper[:, 1, 1] = ink  # patch (0, 0) of 2 x 4
        paper[:, 5, 11] = ink  # patch (1, 3)
        paper[:, 0, 4] = 1 - 0.1 * (1 - ink)  # a soft edge, patch (0, 1)
        assert ink_patches(paper, (2, 4)).nonzero().flatten().tolist() == [0, 7]


def test_coloured_ink_counts_and_noise_on_blank_paper_does_not():
    paper = torch.ones(3, 4, 4)
    assert not ink_patches(paper, (2, 2)).any()
    assert not ink_patches(paper - 0.05 * torch.rand(3, 4, 4), (2, 2)).any()
    paper[2, 0, 0] = 0.0  # yellow
    assert ink_patches(paper, (2, 2)).tolist() == [True, False, False, False]
