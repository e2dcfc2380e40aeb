"""HTML for notebooks."""

import pytest
import torch
from PIL import Image

from sketch_prompt import SketchPromptModel, notebook
from sketch_prompt.processing import SketchPromptImageProcessor, SketchPromptProcessor


@pytest.mark.parametrize("value", ["<b>", "a & b", "\"'", "\u202etxt.exe", "\x1b[31m"])
def test_texts_are_escaped_and_steer_nothing(value):
    shown = notebook.text(value)
    assert not set(shown) & {"<", ">", '"', "\u202e", "\x1b"}
    table = notebook.table([value], [[value]], value)
    assert "<b>" not in table and "\u202e" not in table


def test_a_picture_is_in_the_page_and_no_larger_than_asked_for():
    shown = notebook.image(Image.new("RGB", (400, 100)), 100, "<name>")
    assert shown.startswith('<img src="data:image/jpeg;base64,') and 'width="100" height="25"' in shown
    assert 'alt="&lt;name&gt;"' in shown
    assert "cannot be read" in notebook.image(None, 100)


def test_scores_are_numbers_without_a_graph():
    processor = SketchPromptProcessor(SketchPromptImageProcessor(size=32))
    features = torch.ones(2, 3, requires_grad=True)
    scores = processor.score(features, features)
    assert scores.tolist() == [[3, 3], [3, 3]] and scores.grad_fn is None


def test_a_model_says_how_many_numbers_training_changes(capsys):
    model = SketchPromptModel.from_pretrained("mini-clip-at")
    model.print_trainable_parameters()
    trained, total = model.get_nb_trainable_parameters()
    assert trained == sum(parameter.numel() for parameter in model.trainable_parameters().values())
    assert 0 < trained < total
    assert capsys.readouterr().out.startswith(f"trainable params: {trained:,} || all params: {total:,} ||")
