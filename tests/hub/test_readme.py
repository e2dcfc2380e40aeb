"""The README's section on publishing, followed literally against the Hub on loopback."""

import os
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.sources import find_checkpoint

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def working_folder(hub, tmp_path, monkeypatch):
    """What the section speaks of: a run, a gallery, a folder of pictures, a drawing and two photos."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    os.symlink(find_checkpoint("mini-clip-at"), tmp_path / "runs" / "first")
    for name in ("cat", "cup", "tree"):
        for domain, colour in (("photo", "teal"), ("sketch", "white")):
            (tmp_path / "pictures" / domain / name).mkdir(parents=True)
            Image.new("RGB", (24, 24), colour).save(tmp_path / "pictures" / domain / name / "1.png")
    Gallery.build("mini-frozen-clip", tmp_path / "pictures" / "photo", progress=False).save(
        tmp_path / "gallery"
    )
    for name in ("drawing.png", "1.jpg", "2.jpg"):
        Image.new("RGB", (40, 40), "white").save(tmp_path / name)
    return tmp_path


def test_the_section_on_publishing_runs_as_it_stands(working_folder, hub):
    section = README.read_text(encoding="utf-8").split("## Publish\n")[1].split("\n## ")[0]
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", section, re.DOTALL):
        if language == "python":
            exec(block, {})
            continue
        for line in filter(None, block.splitlines()):
            program, *arguments = shlex.split(line, comments=True)
            done = CliRunner().invoke(app, arguments)
            assert program == "sketch-prompt" and done.exit_code == 0, f"{line}: {done.output}"
    assert set(hub["me/clip-at-first"].refs) == {"main", "v1"}
    for name in ("me/my-processor", "datasets/me/my-photos", "datasets/me/my-benchmark"):
        assert name in hub
