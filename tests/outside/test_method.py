"""A method in someone else's package: installed, it does all that the methods of this package do, unedited."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from fakes import processes

HERE = Path(__file__).parent
PROJECTS = [HERE / "toy_method_project", HERE / "toy_shapes_project"]

# The commands of a user, in one process because starting one takes seconds.
COMMANDS = """
import json, sys
from typer.testing import CliRunner
from sketch_prompt.cli import app
outputs = []
for command in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    outputs.append(result.stdout)
print(json.dumps(outputs))
"""


def run(folder, *arguments):
    path = os.pathsep.join([*map(str, PROJECTS), os.environ.get("PYTHONPATH", "")])
    cache = {"HF_DATASETS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = processes.run(*arguments, cwd=folder, env=os.environ | {"PYTHONPATH": path} | cache)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A folder in which the method was trained, evaluated, searched with and explained; and what was printed."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "photos").mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / "photos" / f"{number}.png")
    drawing = Image.new("RGB", (64, 64), "white")
    drawing.paste("black", (20, 20, 44, 24))
    drawing.save(folder / "drawing.png")
    commands = [
        "train toy-method-shapes run.output_dir=run run.progress=false",
        "evaluate run --benchmark toy-shapes --json",
        "index photos -o gallery --model run",
        "search gallery drawing.png --json",
        "explain drawing.png photos/0.png -m run -o matches.png",
    ]
    printed = run(folder, "-c", COMMANDS, json.dumps([command.split() for command in commands]))
    return folder, json.loads(printed.splitlines()[-1])


def test_it_is_trained_by_its_own_recipe_and_evaluated_by_name(used):
    folder, printed = used
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results["method"] == "toy-method" and results["steps"] == 6
    report = json.loads(printed[1])
    assert report["method"] == "toy-method" and report["metrics"] == results["test"]["metrics"]
    card = (folder / "run" / "README.md").read_text()
    assert "toy-method" in card and "A frozen CLIP without" not in card


def test_it_searches_a_gallery_and_explains_itself(used):
    folder, printed = used
    assert len(json.loads(printed[3])["results"]) == 3
    assert Image.open(folder / "matches.png").size[0] > 0


def test_it_is_loaded_by_the_auto_classes_without_anyone_importing_it(used):
    code = (
        "import sketch_prompt; from transformers import AutoModel; model = AutoModel.from_pretrained('run');"
        "print(type(model).__module__, model.config.margin)"
    )
    assert run(used[0], "-c", code).split() == ["toy_method", "0.2"]


def test_it_passes_the_shipped_contract_in_its_own_test_file(tmp_path):
    checks = PROJECTS[0] / "checks" / "toy_contract.py"
    passed = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks)
    assert " passed" in passed and "failed" not in passed
