import datasets
import pytest

from sketch_prompt.data.samplers import TripletSampler
from sketch_prompt.training.batches import EpochBatches, build_sampler
from sketch_prompt.training.config import DataConfig
from sketch_prompt.training.recipe import RecipeError


def sampler(count=23, **options) -> TripletSampler:
    table = datasets.Dataset.from_dict({"label": [i % 3 for i in range(count)]})
    return TripletSampler(table, table, **options)


def test_the_triplets_of_a_step_do_not_depend_on_the_number_of_processes():
    alone = list(EpochBatches(sampler(), 8))
    shared = [list(EpochBatches(sampler(), 8, 2, num_replicas=2, rank=rank)) for rank in range(2)]
    assert len(alone) == 2
    for step, batch in enumerate(alone):
        parts = [micro for process in shared for micro in process[2 * step : 2 * step + 2]]
        assert [len(part) for part in parts] == [2, 2, 2, 2]
        assert sorted(t for part in parts for t in part) == sorted(batch)


def test_an_epoch_can_start_at_any_step():
    batches = EpochBatches(sampler(), 4, 2)
    batches.set_epoch(5)
    whole = list(batches)
    batches.set_epoch(5, start=3)
    assert list(batches) == whole[6:] and len(batches) == len(whole) - 6
    batches.set_epoch(6)
    assert list(batches) != whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 10, "accumulation_steps": 3}, "make it a multiple of 3"),
        ({"batch_size": 24}, "an epoch has only 23 triplets"),
    ],
)
def test_a_batch_that_cannot_be_is_an_error(options, message):
    with pytest.raises(RecipeError, match=message):
        EpochBatches(sampler(), **options)


def paired(classes=3, per_class=5) -> datasets.Dataset:
    labels = [i // per_class for i in range(classes * per_class)]
    return datasets.Dataset.from_dict({"label": labels, "instance_id": [str(i) for i in range(len(labels))]})


@pytest.mark.parametrize(("kind", "classes_in_a_batch"), [("one-category", 1), ("pk", 2)])
@pytest.mark.parametrize("level", ["category", "instance"])
def test_every_kind_of_batch_is_shared_by_processes_like_triplets_are(kind, classes_in_a_batch, level):
    table = paired(classes=4)
    data = DataConfig(benchmark="mini", level=level, batches=kind, sketches_per_class=2)
    sampler = build_sampler(data, table, table, 4, seed=0)
    alone = list(EpochBatches(sampler, 4))
    shared = [list(EpochBatches(sampler, 4, num_replicas=2, rank=rank)) for rank in range(2)]
    assert len(alone) == len(shared[0]) == len(shared[1]) >= 4
    for batch, *parts in zip(alone, *shared):
        assert sorted(parts[0] + parts[1]) == sorted(batch)
        assert len({triplet.sketch // 5 for triplet in batch}) == classes_in_a_batch
        for triplet in batch:
            own_class = triplet.negative // 5 == triplet.sketch // 5
            assert own_class == (level == "instance")
            if level == "instance":
                assert triplet.photo == triplet.sketch != triplet.negative


def test_one_category_batches_are_full_even_of_a_small_class():
    table = paired(classes=2, per_class=3)
    sampler = build_sampler(DataConfig(benchmark="mini", batches="one-category"), table, table, 4, seed=0)
    batches = list(EpochBatches(sampler, 4))
    assert [len(batch) for batch in batches] == [4, 4]
    assert {triplet.sketch for batch in batches for triplet in batch} == set(range(6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batches": "pk", "sketches_per_class": 3},
            "batch_size 4 is not a multiple of data.sketches_per_class 3",
        ),
        ({"batches": "pk", "sketches_per_class": 1}, "data.batches=pk: batches of 4 classes need"),
        ({"level": "instance"}, "data.level=instance, .*: instance-level triplets need sketches"),
    ],
)
def test_batches_that_the_data_cannot_give_are_an_error_that_names_the_keys(options, message):
    table = paired(classes=2, per_class=1)
    with pytest.raises(RecipeError, match=message):
        build_sampler(DataConfig(benchmark="mini", **options), table, table, 4, seed=0)
