from pathlib import Path

import pytest
import yaml

from sketch_prompt.data.benchmarks import benchmark_names, default_level
from sketch_prompt.models.auto import SketchPromptConfig
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.sources import bundled_names
from sketch_prompt.training.ablation import read_rows
from sketch_prompt.training.config import TrainingConfig

RECIPES = sorted((Path(__file__).parents[2] / "hub_configs").iterdir())
pytestmark = pytest.mark.parametrize("folder", RECIPES, ids=lambda folder: folder.name)


def test_a_recipe_is_named_after_its_method_and_benchmark(folder):
    config = TrainingConfig.load(folder)
    fine_grained = config.data.level == "instance" and default_level(config.data.benchmark) == "category"
    name = f"{config.model.method}-{config.data.benchmark}"
    # "-fg" where the method has a recipe for either level of the benchmark.
    assert folder.name == name or (folder.name == f"{name}-fg" and fine_grained)
    assert config.data.benchmark in benchmark_names()


def test_config_json_is_what_the_recipe_trains(folder):
    saved = SketchPromptConfig.from_pretrained(folder)
    assert saved.to_dict() == TrainingConfig.load(folder).method_config().to_dict()


def test_preprocessor_config_json_is_what_the_recipe_trains_with(folder):
    fields = TrainingConfig.load(folder).processor
    saved = SketchPromptImageProcessor.from_pretrained(folder).to_dict()
    assert saved == SketchPromptImageProcessor(**fields).to_dict()


def test_the_processor_fits_a_bundled_base_model(folder):
    config = TrainingConfig.load(folder)
    if config.model.base_model in bundled_names():
        fitted = SketchPromptImageProcessor.from_base_model(config.model.base_model, **config.processor)
        assert fitted.to_dict() == SketchPromptImageProcessor(**config.processor).to_dict()


def test_every_row_of_an_ablation_is_a_recipe_that_differs(folder):
    path = folder / "ablations.yaml"
    if path.is_file():
        whole = TrainingConfig.load(folder).to_dict()
        for changes in read_rows(path).values():
            assert TrainingConfig.load(folder, changes).to_dict() != whole


def test_every_hyper_parameter_says_whose_it_is(folder):
    text = (folder / "training.yaml").read_text()
    recipe = yaml.safe_load(text)
    for section in ("model", "optimisation"):
        for key in recipe[section].keys() - {"method", "learning_rates"}:
            line = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
            whose = ("paper", "reference", "replication", "ours", "bundled")
            assert any(word in line.partition("#")[2] for word in whose), line
