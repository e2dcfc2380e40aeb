"""A recipe is trained whole and with every change, once a seed, and nothing twice."""

import io
import json
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

import ablation
from ablation import ablate, ablation_table, read_rows
from sketch_prompt.training.recipe import RecipeError

ROWS = {"no triplet": ["model.triplet_weight=0"], "more/prompts": ["model.n_prompts=5"]}


@pytest.fixture
def runs(monkeypatch):
    """Every training run that was asked for, made up: the score is told by the recipe."""
    asked = []

    def train(config):
        asked.append(config)
        score = config.model.fields["n_prompts"] / 10 + config.run.seed / 100
        config.output_dir.mkdir(parents=True)
        (config.output_dir / "training.yaml").write_text(config.to_yaml())
        test = SimpleNamespace(metrics={"mAP@all": score}) if config.evaluation.test else None
        result = {"metric": "mAP@all", "validation": 0.1, "test": test and {"metrics": test.metrics}}
        (config.output_dir / "results.json").write_text(json.dumps(result))
        return SimpleNamespace(metric="mAP@all", validation=0.1, test=test)

    monkeypatch.setattr(ablation, "train", train)
    return asked


@pytest.fixture
def folder(recipe, tmp_path):
    path = tmp_path / "recipe"
    path.mkdir()
    (path / "training.yaml").write_text(recipe(model={"n_prompts": 3}).to_yaml())
    return path


def test_every_row_is_trained_with_its_changes_once_a_seed(folder, runs, tmp_path):
    scores = ablate(folder, ROWS, tmp_path / "out", range(2), ["optimisation.epochs=1"])
    assert scores == {
        name: {"mAP@all": pytest.approx([base, base + 0.01])}
        for name, base in (("full", 0.3), ("no triplet", 0.3), ("more/prompts", 0.5))
    }
    assert [config.run.seed for config in runs] == [0, 1] * 3
    assert {config.optimisation.epochs for config in runs} == {1}
    assert [config.model.fields.get("triplet_weight") for config in runs][2:4] == [0, 0]
    assert len({config.output_dir for config in runs}) == 6
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == scores


def test_what_is_finished_is_not_run_again_unless_the_recipe_changed(folder, runs, tmp_path):
    first = ablate(folder, ROWS, tmp_path / "out", range(1))
    assert ablate(folder, ROWS, tmp_path / "out", range(1)) == first and len(runs) == 3
    changed = {"no triplet": ["model.triplet_weight=0", "model.n_prompts=1"]}
    with pytest.raises(FileExistsError):  # the stub makes each folder once: it was run again
        ablate(folder, changed, tmp_path / "out", range(1))


def test_without_a_test_the_scores_are_those_on_held_out_classes(folder, runs, tmp_path):
    scores = ablate(folder, {}, tmp_path / "out", range(1), ["evaluation.test=false"])
    assert scores == {"full": {"mAP@all": [0.1]}}


def test_a_row_that_cannot_be_meant_stops_before_anything_is_trained(folder, runs, tmp_path):
    with pytest.raises(RecipeError, match="triplet_weihgt"):
        ablate(folder, {**ROWS, "typo": ["model.triplet_weihgt=0"]}, tmp_path / "out")
    assert not runs


def test_the_table_tells_the_distance_from_the_full_recipe():
    scores = {
        "full": {"Acc@1": [0.4, 0.5], "Acc@5": [0.8, 0.8]},
        "less": {"Acc@1": [0.3, 0.3], "Acc@5": [0.7, 0.7]},
    }
    table = ablation_table(scores, "title", {"chance": {"Acc@1": 0.025, "Acc@5": 0.125}})
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert "45.0 ± 7.1" in text and "30.0 ± 0.0" in text and "-15.0" in text and "12.5" in text


@pytest.mark.parametrize("text", ["- a list", "row: model.x=1", "row: [1]", "{"])
def test_rows_that_are_no_rows_are_refused_by_name(tmp_path, text):
    path = tmp_path / "ablations.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"ablations\.yaml"):
        read_rows(path)
    with pytest.raises(RecipeError, match="cannot read"):
        read_rows(tmp_path / "none.yaml")


def test_rows_are_read_in_their_order(tmp_path):
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump(ROWS, sort_keys=False))
    assert list(read_rows(tmp_path / "rows.yaml").items()) == list(ROWS.items())
