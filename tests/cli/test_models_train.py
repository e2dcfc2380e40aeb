"""`sketch-prompt train`: seeds, keys, recipes by name."""

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from sketch_prompt.cli import app
from sketch_prompt.cli.command import _repeat_options
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.training.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimisationConfig,
    RunConfig,
    TrainingConfig,
)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (["r", "--seeds", "0", "1", "2"], ["r", "--seeds", "0", "--seeds", "1", "--seeds", "2"]),
        (["--seeds", "3", "r", "a.b=1"], ["--seeds", "3", "r", "a.b=1"]),
        (["--seeds", "0", "1", "-o", "7", "r"], ["--seeds", "0", "--seeds", "1", "-o", "7", "r"]),
        (["--seeds", "0", "--seeds", "1", "2"], ["--seeds", "0", "--seeds", "1", "--seeds", "2"]),
    ],
)
def test_several_seeds_may_follow_one_option(given, understood):
    assert _repeat_options(given, ("--seeds",)) == understood


def test_the_help_names_every_key_of_a_recipe():
    text = run("train", "--help").stdout
    sections = {
        "model": ModelConfig,
        "data": DataConfig,
        "optimisation": OptimisationConfig,
        "evaluation": EvaluationConfig,
        "run": RunConfig,
    }
    words = set(text.split())
    for section, fields in sections.items():
        names = {field.name for field in dataclasses.fields(fields)} - {"fields"}
        assert {section, *names} - {name.rstrip(",") for name in words} == set()
    settings = SketchPromptImageProcessor().settings
    assert {"processor", "normalization", *settings} - words == set()


def test_show_prints_the_recipe_with_every_key_and_trains_nothing(tmp_path):
    result = run("train", "clip-at-mini", "--epochs", 3, "--show", "-o", tmp_path / "run")
    assert result.exit_code == 0 and not (tmp_path / "run").exists()
    (tmp_path / "shown.yaml").write_text(result.stdout)
    assert TrainingConfig.load(tmp_path / "shown.yaml").optimisation.epochs == 3


def test_seeds_are_runs_of_their_own_that_are_compared(tmp_path):
    short = ["optimisation.max_steps=2", "optimisation.batch_size=8", "data.validation_classes=0"]
    short += [
        "data.num_workers=0",
        "run.progress=false",
        f"data.options={{instances_per_class: 2, cache_dir: {tmp_path / 'cache'}}}",
    ]
    result = run("train", "clip-at-mini", "--seeds", 0, 1, "-o", tmp_path / "run", *short)
    assert result.exit_code == 0, result.output
    assert "Runs on mini" in result.stdout and "±" in result.stdout
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["seed-0", "seed-1"]
    compared = json.loads(run("compare", tmp_path / "run", "--json").stdout)
    (variant,) = compared["variants"]
    assert variant["seeds"] == [0, 1] and variant["deviation"]["mAP@all"] is not None


def test_one_seed_or_several_not_both():
    result = run("train", "clip-at-mini", "--seed", 1, "--seeds", 1, 2)
    assert result.exit_code == 2 and "give --seed or --seeds" in result.stderr
