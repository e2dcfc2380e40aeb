"""A benchmark in someone else's package: installed, it trains from a recipe and is evaluated like the others."""

import json
import os
from pathlib import Path

from fakes.processes import run

PROJECT = Path(__file__).parent / "toy_shapes_project"


CODE = """
from sketch_prompt.cli import app
train = ["train", "clip-at-toy-shapes", "run.output_dir=run", "run.progress=false"]
app(train, standalone_mode=False)
app(["evaluate", "run", "--benchmark", "toy-shapes", "-o", "evaluated"], standalone_mode=False)
"""


def test_an_installed_builder_is_trained_on_by_its_own_recipe_and_evaluated_by_name(tmp_path):
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, "HF_DATASETS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = run("-c", CODE, cwd=tmp_path, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    trained = json.loads((tmp_path / "run" / "results.json").read_text())
    assert trained["benchmark"] == "toy-shapes" and trained["steps"] == 6
    test = trained["test"]
    assert test["level"] == "instance" and set(test["metrics"]) == {"Acc@1", "Acc@5", "Acc@10"}
    assert test["differences"] == []  # its own published number of photos
    report = json.loads((tmp_path / "evaluated" / "report.json").read_text())
    assert report["metrics"] == test["metrics"]
