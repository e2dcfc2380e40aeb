import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketch_prompt.data.samplers import TripletIndex, TripletSampler


def table(labels, instances=None):
    instances = [str(i) for i in range(len(labels))] if instances is None else [str(i) for i in instances]
    return datasets.Dataset.from_dict({"label": list(labels), "instance_id": instances})


@st.composite
def labelled(draw):
    """Labels and instances of sketches and photos in which every class has a photo."""
    n_classes = draw(st.integers(2, 5))
    classes = st.integers(0, n_classes - 1)
    photos = list(range(n_classes)) + draw(st.lists(classes, max_size=20))
    sketches = draw(st.lists(classes, min_size=1, max_size=30))
    order = draw(st.permutations(range(len(photos))))
    photos = [photos[i] for i in order]
    instances = st.integers(0, 3)
    return (
        np.array(sketches),
        np.array(photos),
        np.array([f"{c}/{draw(instances)}" for c in sketches]),
        np.array([f"{c}/{draw(instances)}" for c in photos]),
    )


@settings(deadline=None)
@given(labelled(), st.integers(0, 2**32), st.integers(0, 100))
def test_category_triplets_use_every_sketch_once_with_a_photo_of_its_class_and_one_of_another(
    data, seed, epoch
):
    sketches, photos, *_ = data
    sampler = TripletSampler(table(sketches), table(photos), seed=seed)
    sampler.set_epoch(epoch)
    triplets = list(sampler)
    assert sorted(t.sketch for t in triplets) == list(range(len(sketches)))
    assert len(sampler) == len(triplets)
    for t in triplets:
        assert photos[t.photo] == sketches[t.sketch] != photos[t.negative]


@settings(deadline=None)
@given(labelled(), st.integers(0, 2**32))
def test_instance_triplets_use_the_own_photo_and_another_photo_of_the_class(data, seed):
    sketches, photos, drawn, shown = data
    possible = {
        i
        for i, (c, name) in enumerate(zip(sketches, drawn))
        if (shown == name).any() and (shown[photos == c] != name).any()
    }
    if not possible:
        with pytest.raises(ValueError, match="none of the sketches"):
            TripletSampler(table(sketches, drawn), table(photos, shown), level="instance")
        return
    triplets = list(TripletSampler(table(sketches, drawn), table(photos, shown), level="instance", seed=seed))
    assert {t.sketch for t in triplets} == possible and len(triplets) == len(possible)
    for t in triplets:
        assert shown[t.photo] == drawn[t.sketch] != shown[t.negative]
        assert photos[t.negative] == sketches[t.sketch]


@settings(deadline=None)
@given(labelled(), st.integers(1, 4), st.integers(0, 5))
def test_processes_share_an_epoch_without_overlap_in_equal_parts(data, num_replicas, epoch):
    sketches, photos, *_ = data
    parts = []
    for rank in range(num_replicas):
        sampler = TripletSampler(table(sketches), table(photos), num_replicas=num_replicas, rank=rank)
        sampler.set_epoch(epoch)
        parts.append(list(sampler))
        assert len(sampler) == len(parts[-1])
    assert len({len(part) for part in parts}) == 1
    anchors = [t.sketch for part in parts for t in part]
    assert len(set(anchors)) == len(anchors) > len(sketches) - num_replicas


def test_triplets_depend_on_seed_and_epoch_alone():
    def draw(seed, epoch):
        sampler = TripletSampler(table([0, 1, 2] * 20), table([0, 1, 2] * 20), seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(1, 5) == draw(1, 5)
    assert draw(1, 5) != draw(1, 6) and draw(1, 5) != draw(2, 5)
    assert len({t.seed for t in draw(1, 5)}) == 60


def test_positives_and_negative_classes_are_uniform():
    photos = [0] * 5 + [1] * 95 + [2] * 5
    index = TripletIndex([0], photos)
    positives, negatives = index.draw(np.zeros(20_000, int), np.random.default_rng(0))
    assert np.bincount(positives, minlength=5) == pytest.approx(np.full(5, 4000), rel=0.1)
    assert (negatives >= 100).mean() == pytest.approx(0.5, abs=0.02)


def test_a_sketch_is_replaced_by_another_anchor_of_its_class():
    index = TripletIndex([0, 1, 0, 0], [0, 1])
    rng = np.random.default_rng(0)
    assert {index.draw_sketch_like(0, rng) for _ in range(50)} == {2, 3}
    assert index.draw_sketch_like(1, rng) == 1


def test_what_cannot_be_sampled_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"at least two classes.*without a photo: \[1\]"):
        TripletIndex([0, 1], [0, 0, 2])
    with pytest.raises(ValueError, match="there are 1"):
        TripletIndex([0], [0])
    with pytest.raises(ValueError, match="'category' or 'instance'"):
        TripletIndex([0], [0, 1], level="class")
    with pytest.raises(ValueError, match="needs sketch_instances"):
        TripletIndex([0], [0, 1], level="instance")
    with pytest.raises(ValueError, match="rank must be from 0 to 1"):
        TripletSampler(table([0, 1]), table([0, 1]), num_replicas=2, rank=2)
