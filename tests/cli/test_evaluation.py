"""How `evaluate` prepares pictures."""

from types import SimpleNamespace

import pytest

from sketch_prompt.cli.evaluation import _choose_processor
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.training.config import TrainingConfig

MODEL = SimpleNamespace(config=SimpleNamespace(base_model="mini-clip"))


@pytest.fixture
def own():
    return SketchPromptProcessor.from_base_model("mini-clip", photo_resize="squash")


def test_pictures_are_prepared_as_a_recipe_says_at_the_size_of_the_model(own):
    settings = _choose_processor(own, MODEL, "clip-at-mini", {}).image_processor.settings
    recipe = TrainingConfig.load("clip-at-mini").processor
    assert {name: settings[name] for name in recipe if name != "normalization"} == {
        name: value for name, value in recipe.items() if name != "normalization"
    }
    assert settings["size"] == 64


def test_pictures_are_prepared_as_for_a_checkpoint(own):
    settings = _choose_processor(own, MODEL, "mini-clip-at", {}).image_processor.settings
    assert settings == SketchPromptProcessor.from_pretrained("mini-clip-at").image_processor.settings


def test_crop_and_line_width_are_set_on_top(own):
    changed = {"sketch_crop_margin": True, "sketch_line_width": 2.0}
    settings = _choose_processor(own, MODEL, None, changed).image_processor.settings
    assert settings == own.image_processor.settings | changed
    assert _choose_processor(own, MODEL, None, {}) is own


def test_what_is_neither_a_recipe_nor_a_checkpoint_is_said(own):
    with pytest.raises(FileNotFoundError, match="clip-at-mimi"):
        _choose_processor(own, MODEL, "clip-at-mimi", {})
