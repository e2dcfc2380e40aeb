"""What can be loaded by name."""

import json

from typer.testing import CliRunner

from sketch_prompt.catalogue import SUGGESTED, read_catalogue, toy_warning
from sketch_prompt.cli import app
from sketch_prompt.sources import bundled_names


def test_every_bundled_checkpoint_is_described_and_no_other():
    catalogue = read_catalogue()
    assert [model.name for model in catalogue.models if model.is_bundled] == bundled_names()
    for model in catalogue.models:
        assert model.good_for and model.score and model.licence and model.source in catalogue.sources
        assert model.is_bundled or "/" in model.name


def test_the_command_prints_whole_names_on_a_narrow_terminal():
    shown = CliRunner().invoke(app, ["models"], env={"COLUMNS": "60"}).stdout
    for model in read_catalogue().models:
        assert model.name in shown
    assert "ImageNet-Sketch 42.3 %" in shown


def test_the_command_prints_json_for_other_programs():
    content = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert {"name", "megabytes", "licence", "score", "source"} <= set(content["models"][0])


def test_a_toy_is_called_one_and_a_better_model_named():
    assert SUGGESTED in toy_warning("mini-clip")
    assert toy_warning(SUGGESTED) is None


def test_indexing_real_photos_with_a_toy_says_so(tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / "a.jpg")
    arguments = ["index", tmp_path / "photos", "-o", tmp_path / "gallery", "-m", "mini-frozen-clip"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    assert result.exit_code == 0 and f"--base-model {SUGGESTED}" in result.stderr
