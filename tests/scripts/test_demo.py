"""The demo's table: one row a recipe for MiniSketch, whatever its method and level."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from sketch_prompt.models.auto import MODELS

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_quick_demo_trains_clip_at_and_all_every_recipe_for_minisketch(demo):
    assert list(demo.load_recipes("mini", everything=False)) == ["clip-at"]
    rows = demo.load_recipes("mini", everything=True)
    assert {recipe.data.benchmark for recipe in rows.values()} == {"mini"}
    assert {"clip-at": "category", "clip-at-fg": "instance", "dp-clip": "instance"}.items() <= {
        name: recipe.data.level for name, recipe in rows.items()
    }.items()
    assert {recipe.model.method for recipe in rows.values()} <= MODELS.keys()


def test_a_row_holds_means_and_deviations_over_the_seeds(demo):
    reports = [
        SimpleNamespace(metrics={"Acc@1": value}, intervals={"Acc@1": [value - 0.1, value + 0.1]})
        for value in (0.2, 0.4)
    ]
    interval = {"Acc@1 low": 0.2, "Acc@1 high": 0.4}
    assert demo.summarise(reports) == pytest.approx({"Acc@1": 0.3, "Acc@1 std": 0.02**0.5, **interval})
    plain = SimpleNamespace(metrics={"Acc@1": 0.2}, intervals={})
    assert demo.summarise([plain]) == {"Acc@1": 0.2}


def test_the_demo_shows_real_pictures_unless_told_otherwise(demo):
    assert demo.DEFAULT == "quickdraw-caltech"
    assert list(demo.load_recipes(demo.DEFAULT, everything=False)) == ["clip-at", "sketch-lens"]


def test_a_table_holds_the_rows_of_its_level_and_their_gain(demo, capsys):
    results = {
        "chance": {"Acc@1": 0.1, "mAP@all": 0.05},
        "frozen-clip": {"Acc@1": 0.2, "mAP@all": 0.3},
        "one": {"mAP@all": 0.5},
        "two": {"Acc@1": 0.5, "Acc@1 std": 0.1, "Acc@1 low": 0.4, "Acc@1 high": 0.6},
    }
    demo.print_table(results, ["Acc@1"], "instance level")
    text = capsys.readouterr().out
    assert "two" in text and "one" not in text and "+30.0, 3.0 std" in text and "40.0 - 60.0" in text
