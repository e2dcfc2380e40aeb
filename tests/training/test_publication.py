"""What a run tells about itself, and that it gets to the Hub."""

import json
import re

import pytest
import torch
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from fakes.clip import images
from sketch_prompt import SketchPromptModel
from sketch_prompt.cli import app
from sketch_prompt.hub.facts import TrainingFacts
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train
from sketch_prompt.training.origins import read_origins
from sketch_prompt.training.publication import public_recipe


def features(model):
    with torch.no_grad():
        return model.get_sketch_features(images(3))


def short(recipe, **run):
    return recipe(optimisation={"max_steps": 2, "batch_size": 4}, run=run)


def test_a_run_is_pushed_at_its_end_and_names_no_folder(hub, recipe, tmp_path):
    result = train(short(recipe, hub_model_id="me/run", hub_private=True))
    repository = hub["me/run"]
    assert repository.private and list(repository.titles.values())[-1] == "End of training"
    files = repository.files()
    assert not any(
        "checkpoints" in name or name in ("results.json", "log.jsonl", "training.yaml") for name in files
    )
    for name, content in files.items():
        if not name.endswith("safetensors"):
            assert b"pytest-of" not in content and str(tmp_path).encode() not in content, name
    again = SketchPromptModel.from_pretrained("me/run")
    assert torch.equal(features(again), features(SketchPromptModel.from_pretrained(result.output_dir)))


def test_the_card_of_a_run_says_what_it_reached_beside_chance_and_the_frozen_clip(hub, recipe):
    result = train(short(recipe, hub_model_id="me/run"))
    card = ModelCard(hub["me/run"].files()["README.md"].decode())
    first = next(iter(result.test.metrics))
    assert re.search(
        rf"\| {re.escape(first)} \| \*\*\d+\.\d\d\*\* \| .* \| \d+\.\d\d \| \d+\.\d\d \|", card.text
    )
    for words in (
        "frozen CLIP | chance |",
        "optimiser steps | 2 ",
        "| `optimisation.max_steps` | `2` |",
        "seed | ",
    ):
        assert words in card.text
    assert {e.metric_type for e in card.data.eval_results} == set(result.test.metrics)
    facts = SketchPromptModel.from_pretrained("me/run").facts
    assert facts.benchmark == "sketch-folder" and facts.recipe["optimisation"]["batch_size"] == 4
    assert (
        facts.measurements[0].frozen_clip.keys()
        == facts.measurements[0].chance.keys()
        == result.test.metrics.keys()
    )


def test_every_save_is_pushed_where_the_recipe_says_so_and_a_push_that_fails_ends_no_run(
    hub, recipe, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    config = recipe(
        optimisation={"max_steps": 4, "batch_size": 4},
        run={"hub_model_id": "me/run", "hub_strategy": "every_save", "save_every": 1},
    )
    hub.fail("/commit/", "503", times=1)
    train(config)
    titles = list(hub["me/run"].titles.values())
    assert titles[-1] == "End of training" and "Training in progress, step 2" in titles
    assert "Training in progress, step 1" not in titles


def test_a_token_that_may_not_write_ends_the_run_before_it_begins(hub, recipe):
    config = short(recipe, hub_model_id="you/run")
    with pytest.raises(PermissionError, match="this token may not write to you/run"):
        train(config)
    assert not (config.output_dir / "config.json").exists()


def test_a_push_that_fails_at_the_end_says_how_to_push_the_run(hub, recipe, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    config = short(recipe, hub_model_id="me/run")
    hub.fail("/preupload/", "503", times=99)
    with pytest.raises(ConnectionError, match=r"To push it: sketch-prompt push .* me/run"):
        train(config)
    hub.faults.clear()
    done = CliRunner().invoke(
        app, ["push", str(config.output_dir), "me/run", "--revision", "late", "--tag", "shapes"]
    )
    assert done.exit_code == 0 and done.output.startswith(f"{hub.url}/me/run/commit/"), done.output
    assert "- shapes" in hub["me/run"].files("late")["README.md"].decode()


def test_the_command_pushes_galleries_and_benchmarks_too(hub, tmp_path, sketch_folder):
    from sketch_prompt import Gallery, load_benchmark

    Gallery.build("mini-frozen-clip", sketch_folder / "photo", progress=False).save(tmp_path / "gallery")
    command = [
        "push",
        str(tmp_path / "gallery"),
        "shapes",
        "--include-photos",
        "--private",
        "--license",
        "mit",
    ]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert hub["datasets/me/shapes"].private
    assert "license: mit" in hub["datasets/me/shapes"].files()["README.md"].decode()
    command = ["push", "sketch-folder", "me/benchmark", "--data-dir", str(sketch_folder)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert len(load_benchmark("me/benchmark")["train_sketch"]) == 24


def test_origins_are_the_comments_of_the_recipe_and_say_what_was_typed():
    origins = read_origins("clip-at-mini", ["optimisation.epochs=3", "optimisation.learning_rates.prompts=1"])
    assert origins["model.n_prompts"] == "paper, reference"
    assert origins["optimisation.epochs"] == origins["optimisation.learning_rates"] == "chosen for this run"
    assert read_origins("clip-at-mini")["optimisation.learning_rates"].startswith("layer_norms: ours")
    assert TrainingConfig.load("clip-at-mini").origins["optimisation.batch_size"].startswith("paper")


def test_the_recipe_that_is_published_has_no_folders_and_says_every_value(recipe, tmp_path):
    public = public_recipe(recipe(data={"options": {"unpack_dir": str(tmp_path), "seed": 3}}))
    assert public["data"]["options"] == {"seed": 3} and "data_dir" not in public["data"]
    assert "base_model" not in public["model"] and public["optimisation"]["optimizer"] == "adamw"
    assert str(tmp_path) not in json.dumps(public)


def test_facts_that_are_damaged_are_none(tmp_path):
    assert not TrainingFacts.read(tmp_path)
    (tmp_path / "training.json").write_text('{"measurements": 3}')
    assert not TrainingFacts.read(tmp_path)
