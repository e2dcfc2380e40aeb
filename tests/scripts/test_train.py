"""The training script as users start it: a process of its own, killed, resumed, and on two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fakes.processes import Program
from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.training.log import TrainingLog
from sketch_prompt.training.loop import train

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
TIMEOUT = 240


@pytest.fixture
def write(recipe, tmp_path):
    """Writes a recipe to a file for a script to read."""

    def write(name: str, **sections) -> tuple[Path, Path]:
        folder = tmp_path / name
        config = recipe(run={"output_dir": str(folder)}, **sections)
        path = tmp_path / f"{name}.yaml"
        path.write_text(config.to_yaml())
        return path, folder

    return write


ENVIRONMENT = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def start(*arguments, **options) -> Program:
    return Program(SCRIPT, *arguments, env=ENVIRONMENT, **options)


def wait_for_step(folder: Path, step: int, process: Program) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not any(line["step"] >= step for line in TrainingLog.lines(folder / "log.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.01)


def assert_close_adapters(folder: Path, other: Path, **tolerance) -> None:
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (folder, other))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        # The softmax of attention does not feel a key's bias: its gradient is rounding, which Adam scales up.
        if name.endswith("k_proj.bias"):
            continue
        torch.testing.assert_close(tensor, theirs[name], **tolerance)


def test_a_run_killed_by_sigkill_goes_on_to_the_same_end(write, recipe, tmp_path):
    optimisation = {"epochs": 20}
    path, folder = write("cut", optimisation=optimisation)
    process = start(path, "run.save_every=1", "run.log_every=1")
    wait_for_step(folder, 8, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (folder / "results.json").exists()
    killed_at = max(line["step"] for line in TrainingLog.lines(folder / "log.jsonl"))
    assert killed_at < 60
    process = start(path, "run.log_every=1")
    stdout, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, stderr
    assert "clip-at on sketch-folder" in stdout and "checkpoint after step" in stderr
    steps = [e["step"] for e in TrainingLog.lines(folder / "log.jsonl") if e["event"] == "step"]
    assert steps == list(range(1, 61))
    whole = recipe(run={"output_dir": str(tmp_path / "whole")}, optimisation=optimisation)
    train(whole)
    assert_close_adapters(
        folder / "checkpoints/last", whole.output_dir / "checkpoints/last", atol=1e-6, rtol=0
    )


def test_two_processes_train_and_evaluate_as_one(write, recipe, tmp_path):
    sections = {"optimisation": {"epochs": 2}, "model": {"trainable": "reference"}, "data": {"refit": True}}
    path, folder = write("two", **sections)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, str(SCRIPT), str(path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    config = recipe(run={"output_dir": str(tmp_path / "one")}, **sections)
    alone = train(config)
    assert_close_adapters(folder, alone.output_dir, atol=1e-5, rtol=1e-4)
    reported = json.loads((folder / "results.json").read_text())
    assert reported["steps"] == alone.steps
    model, processor = (
        SketchPromptModel.from_pretrained(folder),
        SketchPromptProcessor.from_pretrained(folder),
    )
    benchmark = load_benchmark(config.data.benchmark, config.data.data_dir, **config.data.options)
    task = Task("one process", ks=[5])
    report = evaluate_model(model, processor, benchmark, task, batch_size=16, progress=False).report
    assert (reported["test"]["queries"], reported["test"]["photos"]) == (report.queries, report.photos)
    assert reported["test"]["metrics"] == pytest.approx(report.metrics, abs=1e-6)


def test_ctrl_c_in_a_terminal_saves_the_run_workers_or_not(write):
    path, folder = write("stopped", data={"num_workers": 1}, optimisation={"epochs": 60})
    options = ("run.log_every=1", "optimisation.mixed_precision=bf16")
    process = start(path, *options, start_new_session=True)
    wait_for_step(folder, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130 and "the same command continues the run" in stderr, stderr
    assert (folder / "checkpoints/last/training_state.pt").exists()


def test_a_users_mistake_is_one_line_and_an_exit_code(write):
    path, _ = write("wrong")
    process = start(path, "optimisation.epoch=3")
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "Error: unknown key optimisation.epoch; did you mean 'epochs'?" in stderr
    assert "Traceback" not in stderr
