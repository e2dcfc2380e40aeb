"""A sweep over a recipe: which values it tries, what it never looks at, and that it goes on where it was stopped."""

import math
from types import SimpleNamespace

import pytest

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import DivergedError
from sketch_prompt.training.recipe import RecipeError
from sketch_prompt.training.sweep import Range, sweep

RATE = "optimisation.learning_rate=1e-4:1e-1:log"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimisation.learning_rate=1e-4:1e-1:log", Range("optimisation.learning_rate", 1e-4, 1e-1, True)),
        ("model.n_prompts=1:6", Range("model.n_prompts", 1, 6)),
        ("optimisation.weight_decay=0:0.1", Range("optimisation.weight_decay", 0.0, 0.1)),
        ("model.layer_norms=[shared, separate]", Range("model.layer_norms", choices=("shared", "separate"))),
    ],
)
def test_ranges_are_read(text, expected):
    assert Range.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["a=1:2", "a.b=2:1", "a.b=0:1:log", "a.b=1:2:linear", "a.b=x:y", "a.b=[", "a.b"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(RecipeError, match="is not a range: write"):
        Range.parse(text)


def runs(seen, stop_after=math.inf, diverge=()):
    """A training that is the better the nearer its learning rate is to 0.01."""

    def run(config: TrainingConfig):
        if len(seen) >= stop_after:
            raise KeyboardInterrupt
        seen.append(config)
        if len(seen) in diverge:
            raise DivergedError("the loss is nan at step 1")
        score = 1 - abs(math.log10(config.optimisation.learning_rate) + 2)
        return SimpleNamespace(validation=score, metric="mAP@all")

    return run


@pytest.fixture
def study(tmp_path):
    pytest.importorskip("optuna", reason="needs the extra 'sweep': pip install 'sketch-prompt[sweep]'")
    return tmp_path / "sweep"


def test_the_best_values_become_a_recipe_and_no_trial_looks_at_unseen_classes(study):
    seen = []
    found = sweep("clip-at-mini", [RATE], study, 12, ["optimisation.epochs=1"], run=runs(seen, diverge=(2,)))
    assert len(seen) == 12 and found.trials == 11
    assert found.best > 0.5 and found.values["optimisation.learning_rate"] == pytest.approx(0.01, rel=3)
    for number, config in enumerate(seen):
        assert not config.evaluation.test and not config.evaluation.baseline and not config.data.refit
        assert config.data.validation_classes > 0 and config.optimisation.epochs == 1
        assert config.output_dir == study / f"trial-{number}"
    best = TrainingConfig.load(found.recipe)
    assert best.optimisation.learning_rate == found.values["optimisation.learning_rate"]
    assert best.evaluation.test and best.data.refit == TrainingConfig.load("clip-at-mini").data.refit


def test_a_sweep_that_was_stopped_goes_on(study):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        sweep("clip-at-mini", [RATE], study, 6, run=runs(seen, stop_after=3))
    found = sweep("clip-at-mini", [RATE], study, 6, run=runs(seen))
    assert len(seen) == 6 and found.trials == 6
    assert sweep("clip-at-mini", [RATE], study, 6, run=runs(seen)) == found and len(seen) == 6


def test_without_held_out_classes_nothing_is_compared(study):
    with pytest.raises(RecipeError, match="validation_classes is 0"):
        sweep("clip-at-mini", [RATE], study, 2, ["data.validation_classes=0", "data.refit=false"])
    with pytest.raises(RecipeError, match="there are no ranges"):
        sweep("clip-at-mini", [], study, 2)
