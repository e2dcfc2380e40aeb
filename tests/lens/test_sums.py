"""Sums of parts are the sums of the whole, and nothing that is not a number gets in."""

import pytest
import torch

from sketch_prompt.lens import FeatureMeans, LensSums, Sample

FOLDS = torch.tensor([0, 1, 2, 0, -1])


def data(n=50, dim=6):
    random = torch.Generator().manual_seed(0)
    sketches, photos = torch.randn(2, n, dim, generator=random)
    return sketches, torch.randint(5, (n,), generator=random), photos


def summed(parts, weights=None):
    sketches, labels, photos = data()
    sums = LensSums(FOLDS, 6, partners=True)
    for rows in parts:
        sums.add(sketches[rows], labels[rows], photos[rows], None if weights is None else weights[rows])
    return sums


def same(one, other):
    names = ("counts", "sketches", "squared_norms", "grams", "partners", "crosses", "squares")
    return all(torch.allclose(getattr(one, n), getattr(other, n), atol=1e-12, rtol=0) for n in names)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_batches_add_up_to_the_whole(size):
    assert same(summed(torch.arange(50).split(size)), summed([torch.arange(50)]))


def test_the_sums_are_those_of_their_names():
    sketches, labels, photos = (column.double() for column in data())
    sums = summed([torch.arange(50)])
    for fold in range(3):
        rows = FOLDS[labels.long()] == fold
        assert torch.allclose(sums.grams[fold], sketches[rows].T @ sketches[rows])
        assert torch.allclose(sums.crosses[fold], sketches[rows].T @ photos[rows])
        assert torch.allclose(sums.squares[fold], photos[rows].square().sum())
    assert torch.allclose(sums.mean, sketches.mean(0))
    assert sums.counts.tolist() == torch.bincount(labels.long()).tolist()


def test_a_weight_of_two_is_the_drawing_twice():
    weights = torch.ones(50)
    weights[3] = 2
    assert same(
        summed([torch.arange(50)], weights), summed([torch.cat([torch.arange(50), torch.tensor([3])])])
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_no_numbers_are_refused(value):
    sketches, labels, photos = data()
    sketches[4, 2] = value
    with pytest.raises(ValueError, match="1 of 50 features hold NaN or infinity"):
        LensSums(FOLDS, 6).add(sketches, labels)
    with pytest.raises(ValueError, match="NaN or infinity"):
        LensSums(FOLDS, 6, partners=True).add(photos, labels, sketches)
    with pytest.raises(ValueError, match="NaN or infinity"):
        FeatureMeans(5, 6).add(sketches, labels)


def test_wrong_widths_labels_and_weights_are_refused():
    sketches, labels, _ = data()
    with pytest.raises(ValueError, match=r"must be \(50, 7\)"):
        LensSums(FOLDS, 7).add(sketches, labels)
    with pytest.raises(ValueError, match="from 0 to 1"):
        LensSums([0, 1], 6).add(sketches, labels)
    with pytest.raises(ValueError, match="weights"):
        LensSums(FOLDS, 6).add(sketches, labels, weights=-torch.ones(50))
    with pytest.raises(ValueError, match="give the partners"):
        LensSums(FOLDS, 6, partners=True).add(sketches, labels)


def test_means_are_by_group_and_over_all():
    sketches, labels, _ = data()
    labels[labels == 2] = 1
    means = FeatureMeans(5, 6)
    for rows in torch.arange(50).split(9):
        means.add(sketches[rows], labels[rows])
    assert torch.allclose(means.mean, sketches.double().mean(0))
    assert torch.allclose(means.means[1], sketches[labels == 1].double().mean(0))
    assert means.means[2].isnan().all()


def test_a_sample_is_the_same_however_the_rows_were_shared_out():
    sketches, labels, _ = data()
    rows = torch.arange(50)
    whole, parts = Sample(3), Sample(3)
    whole.add(sketches, labels, rows)
    parts.add(sketches[1::2], labels[1::2], rows[1::2])
    parts.add(sketches[::2], labels[::2], rows[::2])
    assert torch.equal(whole.features, parts.features)
    assert torch.equal(whole.groups, parts.groups)
    first = [row for group in range(5) for row in (labels == group).nonzero()[:3, 0].tolist()]
    assert torch.equal(whole.features, sketches[first])


def test_a_sample_does_not_grow_with_the_data():
    sample = Sample(2)
    for start in range(0, 30_000, 500):
        sample.add(torch.zeros(500, 2), torch.arange(500) % 10, torch.arange(start, start + 500))
        assert sum(len(part[0]) for part in sample._parts) <= 5_000
    assert len(sample.features) == 20
