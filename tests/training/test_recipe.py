"""A recipe is found by its name from any folder; a path still works; what is neither is answered with a name."""

import sys
from pathlib import Path

import pytest

from sketch_prompt.training.recipe import RecipeError, find_recipe, read_recipe, recipe_folders


def test_a_name_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("clip-at-mini")["model"]["method"] == "clip-at"
    assert find_recipe("clip-at-mini") == recipe_folders()["clip-at-mini"]


def test_a_folder_or_file_of_the_users_own_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip-at-mini").mkdir()
    assert find_recipe("clip-at-mini") == recipe_folders()["clip-at-mini"]  # it holds no recipe
    Path("clip-at-mini/training.yaml").write_text("model: {method: splip}")
    assert read_recipe("clip-at-mini") == read_recipe("clip-at-mini/training.yaml")
    assert read_recipe(tmp_path / "clip-at-mini")["model"]["method"] == "splip"


@pytest.mark.parametrize("name", ["clip-at-mimi", "hub_configs/clip-at-mini", "elsewhere/clip-at-mini.yaml"])
def test_what_is_neither_a_path_nor_a_name_is_answered_with_the_nearest_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RecipeError, match=f"there is no recipe '{name}': did you mean the recipe 'clip-at-mini'"
    ):
        find_recipe(name)


def test_recipes_of_another_installed_package_are_found_by_name(tmp_path, monkeypatch):
    recipe = tmp_path / "toy_recipes" / "toy-mini" / "training.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("model: {method: toy}")
    (tmp_path / "toy_recipes" / "__init__.py").touch()
    metadata = tmp_path / "toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[sketch_prompt.recipes]\ntoy = toy_recipes\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_recipe("toy-mini") == recipe.parent
    assert "clip-at-mini" in recipe_folders()
    sys.modules.pop("toy_recipes")
