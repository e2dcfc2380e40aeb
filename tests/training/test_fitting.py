"""What a recipe leaves to the base model and the machine."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file

from sketch_prompt.training import fitting
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.fitting import build_accelerator, fit_to_machine
from sketch_prompt.training.recipe import RecipeError

ACCELERATE = Path(__file__).parents[2] / "hub_configs" / "accelerate"


def load(*overrides, recipe="clip-at-sketchy-21"):
    return TrainingConfig.load(recipe, overrides)


@pytest.mark.parametrize("base_model", ["mini-clip", "small-clip"])
def test_pictures_have_the_size_that_the_base_model_sees(base_model):
    from sketch_prompt.processing import SketchPromptProcessor

    config = fit_to_machine(load(f"model.base_model={base_model}"))
    processor = SketchPromptProcessor.from_base_model(base_model, **config.processor)
    assert processor.image_processor.size == 64


def test_another_size_is_an_error_that_names_the_key_before_any_data_are_looked_for():
    from sketch_prompt.training.loop import train

    config = load("model.base_model=mini-clip", "processor.size=224", "data.data_dir=/nowhere")
    with pytest.raises(
        RecipeError,
        match=r"processor.size=224 .* mini-clip, which takes images of 64 x 64.*processor.size=64",
    ):
        train(config)


def test_a_base_model_whose_preprocessing_says_another_size_is_followed(tmp_path):
    import json
    import shutil

    from sketch_prompt.sources import find_checkpoint

    shutil.copytree(find_checkpoint("mini-clip"), tmp_path / "clip")
    path = tmp_path / "clip" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": 224, "crop_size": 224}))
    assert fit_to_machine(load(f"model.base_model={tmp_path / 'clip'}")).processor["size"] == 64


def test_no_more_processes_read_images_than_there_are_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    config = load("model.base_model=mini-clip")
    assert config.data.num_workers == 8
    assert (
        fit_to_machine(config).data.num_workers == 2
        and fit_to_machine(config, processes=2).data.num_workers == 1
    )
    assert fit_to_machine(load("model.base_model=mini-clip", "data.num_workers=0")).data.num_workers == 0
    assert fit_to_machine(config).origins == config.origins != {}


def test_a_method_with_a_tower_of_its_own_keeps_its_size():
    config = load("model.backbone=vit", "processor.size=32", recipe="zse-sbir-mini")
    assert fit_to_machine(config).processor["size"] == 32


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_processes_that_share_weights_are_refused_with_the_reason(kind, monkeypatch):
    monkeypatch.setattr(fitting, "Accelerator", lambda **options: SimpleNamespace(distributed_type=kind))
    with pytest.raises(RecipeError, match=f"{kind.value} is not supported: evaluation"):
        build_accelerator(load())


@pytest.mark.parametrize("path", sorted(ACCELERATE.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_configurations_that_are_shipped(path):
    config = load_config_from_file(str(path))
    assert config.distributed_type == DistributedType.MULTI_CPU and config.num_processes == 2
    assert path.name in path.read_text().splitlines()[0]  # the command that uses it
