"""Choosing the number of steps on held-out classes, and training on all seen classes for as many."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from sketch_prompt import SketchPromptModel
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.log import TrainingLog
from sketch_prompt.training.loop import Trainer, train
from sketch_prompt.training.recipe import RecipeError


def adapter(folder):
    return load_file(folder / "adapter_model.safetensors")


def test_refit_trains_on_all_seen_classes_for_the_steps_that_held_out_ones_chose(recipe, tmp_path):
    config = recipe(data={"refit": True}, optimisation={"schedule": "cosine"})
    result = train(config)
    chosen = json.loads((config.output_dir / "selection/results.json").read_text())
    assert (chosen["classes"], chosen["test"]) == (2, None)
    assert result.classes == 4 and result.test is not None
    assert result.steps == result.best_step == chosen["best_step"] < chosen["steps"] + 1
    assert result.validation == chosen["validation"]
    assert json.loads((config.output_dir / "results.json").read_text())["validation"] == chosen["validation"]
    whole = {"max_steps": result.steps, "schedule": "cosine", "schedule_steps": chosen["steps"]}
    plain = recipe(
        data={"validation_classes": 0}, optimisation=whole, run={"output_dir": str(tmp_path / "plain")}
    )
    train(plain)
    for name, tensor in adapter(plain.output_dir).items():
        assert torch.equal(adapter(config.output_dir)[name], tensor)
    # The recipe that lies beside the model is the one that trains it.
    saved = TrainingConfig.load(config.output_dir)
    assert (saved.data.refit, saved.data.validation_classes) == (False, 0)
    assert saved.optimisation == plain.optimisation


def test_the_schedule_of_the_refit_is_the_one_that_the_steps_were_chosen_under(recipe):
    rates = {"learning_rate": 1e-3, "learning_rates": {}, "schedule": "linear", "epochs": 1}
    config = recipe(optimisation=rates | {"max_steps": 2, "schedule_steps": 4}, run={"log_every": 1})
    train(config)
    lines = [line for line in TrainingLog.lines(config.output_dir / "log.jsonl") if line["event"] == "step"]
    assert [line["learning_rate"]["prompts"] for line in lines] == pytest.approx([7.5e-4, 5e-4])


def test_a_refit_goes_on_where_it_was_cut_off(recipe):
    config = recipe(data={"refit": True})
    train(config)
    before = adapter(config.output_dir)
    again = train(recipe(data={"refit": True}, run={"resume": "must"}))
    assert again.classes == 4
    for name, tensor in adapter(config.output_dir).items():
        assert torch.equal(before[name], tensor)


def test_refit_without_held_out_classes_is_refused(recipe):
    with pytest.raises(RecipeError, match=r"validation_classes must be above 0 to choose with for refit"):
        recipe(data={"refit": True, "validation_classes": 0})


def refit_with_lens(recipe, method):
    """A short run that fits a lens and chooses on held-out classes whether to keep it."""
    rates = {"epochs": 1, "learning_rates": {}}
    return train(recipe(model={"method": method, "lens": "none"}, data={"refit": True}, optimisation=rates))


def _with_held_out_scores(monkeypatch, plain, lens):
    """Runs in which the held-out classes are found with these scores, without and with a lens."""

    def evaluated(trainer, ranking=None):
        score = plain if trainer.model.adapter.lens_mean is None else lens
        return SimpleNamespace(report=SimpleNamespace(metrics={trainer.config.evaluation.metric: score}))

    monkeypatch.setattr(Trainer, "_evaluate_held_out", evaluated)


@pytest.mark.parametrize("method", ["sketch-lens", "clip-at"])
def test_a_lens_that_held_out_classes_rejected_does_not_return_with_the_refit(recipe, monkeypatch, method):
    _with_held_out_scores(monkeypatch, plain=0.5, lens=0.4)
    result = refit_with_lens(recipe, method)
    model = SketchPromptModel.from_pretrained(result.output_dir)
    assert model.adapter.lens_mean is None and model.config.lens is None and model.config.lens_fit is None
    assert result.classes == 4 and result.validation == 0.5 and result.test.lens is None
    assert "On held-out seen classes" not in (result.output_dir / "README.md").read_text()


@pytest.mark.parametrize("method", ["sketch-lens", "clip-at"])
def test_a_lens_that_helped_is_fitted_on_all_classes_and_the_card_says_by_how_much(
    recipe, monkeypatch, method
):
    _with_held_out_scores(monkeypatch, plain=0.4, lens=0.5)
    result = refit_with_lens(recipe, method)
    model = SketchPromptModel.from_pretrained(result.output_dir)
    assert model.adapter.lens_mean is not None and len(model.config.lens_classes) == 4
    assert model.config.lens_fit["held_out"]["plain"] == 0.4
    card = (result.output_dir / "README.md").read_text()
    assert "On held-out seen classes, mAP@all is 50.0 % with the lens and 40.0 % without it" in card
