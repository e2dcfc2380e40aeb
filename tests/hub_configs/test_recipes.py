import re
import shlex
from pathlib import Path

import pytest
import yaml

from ablation import read_rows
from sketch_prompt.data.benchmarks import benchmark_names, default_level
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.sources import bundled_names
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import recipe_folders

RECIPES = sorted(path.parent for path in (Path(__file__).parents[2] / "hub_configs").glob("*/training.yaml"))
pytestmark = pytest.mark.parametrize("folder", RECIPES, ids=lambda folder: folder.name)


def test_a_recipe_is_found_by_its_name_and_is_the_only_file_kept_by_hand(folder):
    assert recipe_folders()[folder.name] == folder
    assert {path.name for path in folder.iterdir()} <= {"training.yaml", "ablations.yaml"}


def test_a_recipe_is_named_after_its_method_and_benchmark(folder):
    config = TrainingConfig.load(folder)
    fine_grained = config.data.level == "instance" and default_level(config.data.benchmark) == "category"
    name = f"{config.model.method}-{config.data.benchmark}"
    # "-fg" where the method has a recipe for either level of the benchmark, "-reference" for the values of the
    # published code where there is one for the paper's, "-vit" for a vision transformer that trains as a whole.
    assert (
        folder.name in (name, f"{name}-reference")
        or (folder.name == f"{name}-fg" and fine_grained)
        or (folder.name == f"{name}-vit" and config.model.fields["backbone"] == "vit")
    )
    assert config.data.benchmark in benchmark_names()


def test_the_processor_takes_its_size_from_the_base_model(folder):
    recipe = TrainingConfig.load(folder)
    assert "size" not in recipe.processor
    if recipe.model.base_model in bundled_names():
        fitted = SketchPromptImageProcessor.from_base_model(recipe.model.base_model, **recipe.processor)
        assert fitted.size == 64


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
            whose = ("paper", "reference", "ours", "bundled")
            assert any(word in line.partition("#")[2] for word in whose), line


def test_commands_in_a_header_are_recipes_as_printed(folder):
    text = (folder / "training.yaml").read_text()
    head = text[: text.index("\nmodel:")]
    commands = [line.strip("# ").strip() for line in head.splitlines() if "scripts/train.py" in line]
    for command in commands:
        words = shlex.split(re.sub(r"<[^>]*>", "FOLDER", command.partition("scripts/train.py")[2]))
        config = TrainingConfig.load(Path(words[0]).name, words[1:])
        assert config.model.method
    if folder.name.endswith("-vit"):
        model, how = TrainingConfig.load(folder).model.fields, TrainingConfig.load(folder).optimisation
        assert (how.max_steps, how.batch_size, how.learning_rate, how.schedule) == (
            20_000,
            15,
            1e-5,
            "constant",
        )
        assert how.mixed_precision is None and how.weight_decay == 0.01
        assert (model["vision_dropout"], model["dropout"], model["cross_init"]) == (0.1, 0.1, "clones")
        assert TrainingConfig.load(folder).processor["normalization"] == "half"
