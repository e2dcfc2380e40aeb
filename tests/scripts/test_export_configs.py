"""A recipe's configurations are written as a model trained by it would have them."""

import sys

import export_configs
from sketch_prompt.models.auto import SketchPromptConfig
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.training.config import TrainingConfig


def test_the_files_of_a_recipe_load_as_its_model_and_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export_configs.py", "splip-mini", "-o", str(tmp_path)])
    export_configs.main()
    folder, recipe = tmp_path / "splip-mini", TrainingConfig.load("splip-mini")
    config = SketchPromptConfig.from_pretrained(folder)
    assert config.method == "splip" and config.base_model == "mini-clip"
    assert {name: getattr(config, name) for name in recipe.model.fields} == recipe.model.fields
    processor = SketchPromptImageProcessor.from_pretrained(folder)
    expected = SketchPromptImageProcessor.from_base_model("mini-clip", **recipe.processor)
    assert processor.to_dict() == expected.to_dict()
