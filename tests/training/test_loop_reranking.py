"""Training a method that scores pairs: how much the pair weighs is chosen on held-out classes, and saved."""

import json

import pytest

from sketch_prompt import SketchPromptModel, ZseSbirModel
from sketch_prompt.evaluation import fusion
from sketch_prompt.training.log import TrainingLog
from sketch_prompt.training.loop import train

ZSE = {
    "method": "zse-sbir",
    "n_prompts": 1,
    "tune_layer_norms": True,
    "tokenizer_channels": [4, 4],
    "cross_ffn": 16,
    "relation_channels": 8,
    "relation_pairs": "batch",
    "mismatched_sketch": "second",
}


@pytest.fixture
def zse(recipe):
    def build(**sections):
        return recipe(model=ZSE, **sections)

    return build


def chosen(config):
    (line,) = [
        line for line in TrainingLog.lines(config.output_dir / "log.jsonl") if line["event"] == "rerank"
    ]
    return line


def test_the_weight_of_the_pair_is_chosen_on_held_out_classes_and_saved_with_the_model(zse, monkeypatch):
    monkeypatch.setattr(fusion, "WEIGHTS", (0.0, 0.07))
    batches = []
    forward = ZseSbirModel.forward
    monkeypatch.setattr(
        ZseSbirModel, "forward", lambda *args, **kw: batches.append(kw) or forward(*args, **kw)
    )
    config = zse(evaluation={"sample": 8, "test": False})
    train(config)
    assert all("mismatched_sketch_pixel_values" in batch for batch in batches) and batches
    line = chosen(config)
    scores = dict(map(tuple, line["scores"]))
    assert set(scores) == {0.0, 0.07} and scores[line["weight"]] == max(scores.values())
    model = SketchPromptModel.from_pretrained(config.output_dir)
    assert model.config.rerank_weight == line["weight"]
    assert not list(config.output_dir.glob("sketch-prompt-pairs-*"))


def test_all_seen_classes_are_trained_on_with_the_weight_that_held_out_ones_chose(zse):
    config = zse(data={"refit": True}, evaluation={"test": False})
    train(config)
    weight = json.loads((config.output_dir / "selection/config.json").read_text())["rerank_weight"]
    assert json.loads((config.output_dir / "config.json").read_text())["rerank_weight"] == weight


def test_without_a_weight_none_is_chosen(recipe):
    config = recipe(model=ZSE | {"rerank_weight": None}, evaluation={"test": False})
    train(config)
    assert SketchPromptModel.from_pretrained(config.output_dir).config.rerank_weight is None
