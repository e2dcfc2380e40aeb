import pytest
import torch
from accelerate import Accelerator

from sketch_prompt.training.log import LossMeter, TrainingLog, hyper_parameters


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


def test_a_log_is_one_json_object_a_line(tmp_path, accelerator):
    log = TrainingLog(tmp_path / "log.jsonl", accelerator)
    log.write("step", 1, loss=0.5, terms={"triplet": 0.2})
    log.write("validation", 1, metrics={"mAP@all": 0.1})
    assert TrainingLog.lines(log.path) == [
        {"event": "step", "step": 1, "loss": 0.5, "terms": {"triplet": 0.2}},
        {"event": "validation", "step": 1, "metrics": {"mAP@all": 0.1}},
    ]


def test_resuming_drops_what_came_after_the_checkpoint_and_a_line_cut_short(tmp_path, accelerator):
    log = TrainingLog(tmp_path / "log.jsonl", accelerator)
    for step in range(1, 6):
        log.write("step", step)
    with log.path.open("a") as file:
        file.write('{"event": "st')
    again = TrainingLog(log.path, accelerator, resumed_step=3)
    again.write("step", 4)
    assert [line["step"] for line in TrainingLog.lines(log.path)] == [1, 2, 3, 4]
    assert TrainingLog.lines(TrainingLog(log.path, accelerator).path) == []


def test_the_meter_averages_since_the_last_reading(accelerator):
    meter = LossMeter(accelerator, triplets=8)
    for value in (1.0, 3.0):
        meter.add(torch.tensor(value), {"triplet": torch.tensor(value / 2)})
    values, statistics, speed = meter.read()
    assert statistics == {}
    assert values == {"loss": 2.0, "triplet": 1.0} and speed > 0
    meter.add(torch.tensor(5.0), {"triplet": torch.tensor(5.0)})
    assert meter.read()[0]["loss"] == 5.0


def test_the_meter_averages_a_term_over_the_passes_that_had_it(accelerator):
    meter = LossMeter(accelerator, triplets=8)
    meter.add(torch.tensor(1.0), {"triplet": torch.tensor(1.0)})
    for hard in (4.0, 6.0):
        meter.add(torch.tensor(4.0), {"triplet": torch.tensor(1.0), "hard_triplet": torch.tensor(hard)})
    assert meter.read()[0] == {"loss": 3.0, "triplet": 1.0, "hard_triplet": 5.0}


def test_the_meter_averages_statistics_apart_from_losses(accelerator):
    meter = LossMeter(accelerator, triplets=8)
    for margin in (0.2, 0.4):
        meter.add(torch.tensor(1.0), {"triplet": torch.tensor(1.0)}, {"margin": torch.tensor(margin)})
    means, statistics, _ = meter.read()
    assert means == {"loss": 1.0, "triplet": 1.0}
    assert statistics == {"margin": pytest.approx(0.3)}


def test_trackers_get_the_recipe_as_plain_values(recipe):
    found = hyper_parameters(recipe().to_dict())
    assert found["optimisation.learning_rate"] == 1e-3 and found["model.method"] == "clip-at"
    assert found["optimisation.learning_rates.layer_norms"] == 1e-4
    assert found["optimisation.betas"] == "[0.9, 0.999]" and found["run.save_every"] == "null"
    assert all(isinstance(value, int | float | str) for value in found.values())
