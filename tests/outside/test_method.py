"""A method in someone else's package: installed, it does all that the methods of this package do, unedited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

HERE = Path(__file__).parent
PROJECTS = [HERE / "toy_method_project", HERE / "toy_shapes_project"]


def run(folder, *arguments):
    path = os.pathsep.join([*map(str, PROJECTS), os.environ.get("PYTHONPATH", "")])
    cache = {"HF_DATASETS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | cache,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    run(folder, "sketch_prompt", "train", "toy-method-shapes", "run.output_dir=run", "run.progress=false")
    for number, colour in enumerate(("red", "green", "blue")):
        (folder / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), colour).save(folder / "photos" / f"{number}.png")
    drawing = Image.new("RGB", (64, 64), "white")
    drawing.paste("black", (20, 20, 44, 24))
    drawing.save(folder / "drawing.png")
    return folder


def test_it_is_trained_by_its_own_recipe_and_evaluated_by_name(trained):
    results = json.loads((trained / "run" / "results.json").read_text())
    assert results["method"] == "toy-method" and results["steps"] == 6
    report = json.loads(
        run(trained, "sketch_prompt", "evaluate", "run", "--benchmark", "toy-shapes", "--json")
    )
    assert report["method"] == "toy-method" and report["metrics"] == results["test"]["metrics"]
    card = (trained / "run" / "README.md").read_text()
    assert "toy-method" in card and "baseline" not in card


def test_it_is_loaded_by_the_auto_classes_without_anyone_importing_it(trained):
    code = (
        "import sketch_prompt; from transformers import AutoModel; model = AutoModel.from_pretrained('run');"
        "print(type(model).__module__, model.config.margin)"
    )
    (trained / "load.py").write_text(code)
    assert run(trained, "load").split() == ["toy_method", "0.2"]


def test_it_searches_a_gallery_and_explains_itself(trained):
    run(trained, "sketch_prompt", "index", "photos", "-o", "gallery", "--model", "run")
    found = json.loads(run(trained, "sketch_prompt", "search", "gallery", "drawing.png", "--json"))
    assert len(found["results"]) == 3
    run(trained, "sketch_prompt", "explain", "drawing.png", "photos/0.png", "-m", "run", "-o", "matches.png")
    assert Image.open(trained / "matches.png").size[0] > 0


def test_it_passes_the_shipped_contract_in_its_own_test_file(tmp_path):
    passed = run(
        tmp_path, "pytest", "-q", "-p", "no:cacheprovider", PROJECTS[0] / "checks" / "toy_contract.py"
    )
    assert " passed" in passed and "failed" not in passed
