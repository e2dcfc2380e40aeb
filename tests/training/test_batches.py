import datasets
import pytest

from sketch_prompt.data.samplers import TripletSampler
from sketch_prompt.training.batches import EpochBatches
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
