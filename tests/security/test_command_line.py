"""No input makes the command line show a traceback: every mistake is a message and an exit code."""

import json
import os

import py7zr
import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from fakes.photos import make_model
from sketch_prompt import Gallery, SketchPromptModel
from sketch_prompt.cli import app


@pytest.fixture
def place(tmp_path, photos):
    """A folder with one of everything that a command takes, most of it unusable."""
    Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    SketchPromptModel.from_pretrained("mini-clip-at").save_pretrained(tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    for name, change in {"typed": {"n_prompts": "three"}, "huge": {"n_prompts": 10**9}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config | change))
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.json").write_text("[1]")
    sketch = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(sketch).ellipse((10, 10, 50, 50), outline="black", width=3)
    sketch.save(tmp_path / "sketch.png")
    for name, value in {
        "list.pth": [1],
        "tensor.pth": torch.zeros(2),
        "names.pth": {1: torch.zeros(1)},
    }.items():
        torch.save(value, tmp_path / name)
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "strokes.ndjson").write_text('{"word": "x", "drawing": [[[1e999], [1]]]}\n')
    with py7zr.SevenZipFile(tmp_path / "secret.7z", "w", password="x", header_encryption=True) as archive:
        archive.writestr(b"x", "photo/a.png")
    (tmp_path / "merge.yaml").write_text("base: &b {x: 1}\nmodel:\n  <<: *b\n")
    (tmp_path / "nested.yaml").write_text("model: " + "[" * 3000)
    (tmp_path / "latin.yaml").write_bytes(b"model: {method: caf\xe9}")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


MISTAKES = [
    "evaluate mini-clip-at --benchmark mini --option foo=1",
    "evaluate mini-clip-at --benchmark mini --option seed=abc",
    "evaluate mini-clip-at --benchmark mini --option x={",
    "evaluate mini-clip-at --benchmark mini --option seed=!!timestamp+x",
    "evaluate {typed} --benchmark mini",
    "evaluate {huge} --benchmark mini",
    "evaluate {list} --benchmark mini",
    "evaluate {gallery} --benchmark mini",
    "evaluate mini-clip-at --benchmark sketch-folder --data-dir {secret.7z}",
    "evaluate mini-clip-at --benchmark mini --device nonsense",
    "search {gallery} {strokes.ndjson}",
    "search {gallery} {sketch.png} -m mini-clip-at",
    "search {gallery} --text a -m mini-zse-sbir",
    "search {checkpoint} {sketch.png}",
    "search {gallery} {dangling}",
    "index {sketch.png} -o {gallery}",
    "index {gallery} -o {gallery}",
    "index {photos} -o {sketch.png}",
    "explain {sketch.png} {list.pth} -o {gallery}/x.png",
    "explain {sketch.png} {sketch.png} -o {sketch.png}/x.png",
    "explain {sketch.png} {sketch.png} -o figure.nonsense",
    "convert clip-at {list.pth} -o {gallery}/c",
    "convert clip-at {tensor.pth} -o {gallery}/c",
    "convert clip-at {names.pth} -o {gallery}/c",
    "convert clip-at {empty.pth} -o {gallery}/c",
    "convert clip-at {photos} -o {gallery}/c",
    "convert nonsense {list.pth} -o {gallery}/c",
    "train {merge.yaml}",
    "train {nested.yaml}",
    "train {latin.yaml}",
    "train {gallery}",
    "train clip-at-mini run.seed=-1",
    "train clip-at-mini run.seed=1e30",
    "train clip-at-mini evaluation.ks=[0]",
    "train clip-at-mini evaluation.ks=[-5]",
    "train clip-at-mini processor.image_mean=abc",
    "train clip-at-mini processor.size=[1]",
    "train clip-at-mini data.validation_classes=.inf",
    "train clip-at-mini data.options={foo:+1}",
    "train clip-at-mini optimisation.learning_rate=.nan",
    "train clip-at-mini model.n_prompts=!!bool+x",
    "train clip-at-mini nonsense",
    "data check {secret.7z}",
    "data check {sketch.png}",
]


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_a_message(place, command, monkeypatch):
    monkeypatch.chdir(place)
    arguments = []
    for word in command.split():
        for path in place.iterdir():
            word = word.replace("{" + path.name + "}", str(path))
        arguments.append(word.replace("+", " "))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output and "probably a bug" not in result.output, result.output
    assert isinstance(result.exception, SystemExit) and result.output.strip()


def test_an_argument_that_is_no_utf_8_is_a_message(place):
    half = os.fsdecode(b"caf\xe9")
    for arguments in (
        ["search", place / "gallery", "--text", half],
        ["train", half],
        ["index", half, "-o", half],
    ):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 1 and "probably a bug" not in result.output, result.output


def test_a_figure_without_a_suffix_is_a_picture(place):
    sketch = str(place / "sketch.png")
    result = CliRunner().invoke(app, ["explain", sketch, sketch, "-o", str(place / "found")])
    assert result.exit_code == 0, result.output
    assert Image.open(place / "found").format == "PNG"
