from collections import Counter

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sketch_prompt.data.batch_samplers import OneCategoryBatchSampler, PKBatchSampler


def table(labels, instances=None):
    instances = range(len(labels)) if instances is None else instances
    return datasets.Dataset.from_dict({"label": list(labels), "instance_id": [str(i) for i in instances]})


def paired(sizes):
    """Tables with `sizes[c]` photos of class c, each with one sketch."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return table(labels), table(labels), labels


sizes_of_classes = st.lists(st.integers(1, 9), min_size=2, max_size=6)


@settings(deadline=None)
@given(sizes_of_classes, st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_one_category_batches_hold_one_class_and_use_every_sketch_once(sizes, batch_size, epoch, drop_last):
    sketches, photos, labels = paired([size + batch_size for size in sizes])
    sampler = OneCategoryBatchSampler(sketches, photos, batch_size, drop_last=drop_last, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    for batch in batches:
        assert len({labels[t.sketch] for t in batch}) == 1
        assert len(batch) == batch_size or not drop_last
        assert all(labels[t.photo] == labels[t.sketch] != labels[t.negative] for t in batch)
    anchors = Counter(t.sketch for batch in batches for t in batch)
    assert set(anchors.values()) == {1}
    if not drop_last:
        assert len(anchors) == len(labels)


def test_one_category_batches_at_instance_level_take_negatives_from_the_class():
    sketches, photos, labels = paired([5, 7])
    for batch in OneCategoryBatchSampler(sketches, photos, 3, level="instance"):
        for t in batch:
            assert t.photo == t.sketch != t.negative and labels[t.negative] == labels[t.sketch]


@settings(deadline=None, max_examples=200)
@given(sizes_of_classes, st.integers(2, 4), st.integers(1, 4), st.integers(0, 3))
def test_pk_batches_hold_p_classes_of_k_sketches_and_use_none_twice(sizes, p, k, epoch):
    if len(sizes) < p:
        sizes = [*sizes, *[3] * (p - len(sizes))]
    sketches, photos, labels = paired(sizes)
    sampler = PKBatchSampler(sketches, photos, p, k, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) >= 1
    for batch in batches:
        assert Counter(Counter(labels[t.sketch] for t in batch).values()) == {k: p}
    anchors = Counter(t.sketch for batch in batches for t in batch)
    assert all(n == 1 for i, n in anchors.items() if sizes[labels[i]] >= k)


def test_pk_batches_use_every_sketch_of_even_classes():
    sketches, photos, _ = paired([12] * 6)
    batches = list(PKBatchSampler(sketches, photos, 3, 4))
    assert len(batches) == 6
    assert {t.sketch for batch in batches for t in batch} == set(range(72))


def test_a_small_class_repeats_its_sketches_within_its_share():
    sketches, photos, labels = paired([2, 8])
    (batch,) = PKBatchSampler(sketches, photos, 2, 4)
    assert Counter(t.sketch for t in batch if labels[t.sketch] == 0) == {0: 2, 1: 2}


@pytest.mark.parametrize(
    "make",
    [
        lambda s, p, **options: OneCategoryBatchSampler(s, p, 3, **options),
        lambda s, p, **options: PKBatchSampler(s, p, 3, 2, **options),
    ],
    ids=["one category", "PK"],
)
class TestEveryBatchSampler:
    def test_processes_share_the_batches_without_overlap(self, make):
        sketches, photos, _ = paired([7, 8, 9, 10, 5])
        parts = [list(make(sketches, photos, num_replicas=3, rank=rank)) for rank in range(3)]
        assert len({len(part) for part in parts}) == 1
        anchors = [t.sketch for part in parts for batch in part for t in batch]
        assert len(anchors) == len(set(anchors))
        whole = list(make(sketches, photos))
        assert [part[0] for part in parts] == whole[:3]

    def test_batches_depend_on_seed_and_epoch_alone(self, make):
        def draw(seed, epoch):
            sampler = make(*paired([7, 8, 9, 10])[:2], seed=seed)
            sampler.set_epoch(epoch)
            return list(sampler)

        assert draw(1, 2) == draw(1, 2)
        assert draw(1, 2) != draw(1, 3) and draw(1, 2) != draw(2, 2)

    def test_a_data_loader_takes_them(self, make):
        sampler = make(*paired([7, 8, 9, 10])[:2])

        class Echo:
            def __getitem__(self, triplet):
                return triplet.sketch

        loaded = [batch.tolist() for batch in DataLoader(Echo(), batch_sampler=sampler)]
        assert loaded == [[t.sketch for t in batch] for batch in sampler]

    def test_more_processes_than_batches_is_an_error(self, make):
        with pytest.raises(ValueError, match="batches for 50 processes"):
            make(*paired([7, 8, 9, 10])[:2], num_replicas=50)


def test_impossible_batches_are_errors_that_say_why():
    sketches, photos, _ = paired([3, 3])
    with pytest.raises(ValueError, match=r"need as many classes with sketches; there are 2"):
        PKBatchSampler(sketches, photos, 3, 2)
    with pytest.raises(ValueError, match="at least 1"):
        PKBatchSampler(sketches, photos, 0, 2)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        OneCategoryBatchSampler(sketches, photos, 0)
