"""Two processes never write into one folder, and a killed one does not keep the next one out."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from sketch_prompt.locking import LockedError, only_writer
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import RecipeError

HOLDER = """
    import multiprocessing, pathlib, sys, time
    from sketch_prompt.locking import only_writer
    with only_writer(pathlib.Path(sys.argv[1]), "is training in"):
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(120,), daemon=True).start()
        print("locked", multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a folder, and has a child that outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline().split()[1])
    yield process
    process.kill()
    process.wait()
    os.kill(child, signal.SIGKILL)


def test_a_second_training_in_one_folder_is_refused_and_changes_nothing(recipe, holder, tmp_path):
    config = recipe()
    with pytest.raises(LockedError, match=r"another process is training in .*run; wait for it"):
        train(config)
    assert [path.name for path in config.output_dir.iterdir()] == [".lock"]


def test_a_killed_process_does_not_keep_the_next_one_out(holder, tmp_path):
    holder.kill()
    holder.wait()
    with only_writer(tmp_path / "run", "is training in"):
        pass


def test_a_lock_is_let_go_by_an_error_too(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), only_writer(tmp_path, "writes into"):
            raise KeyError


def test_another_seed_is_another_run(recipe):
    config = recipe(optimisation={"epochs": 1}, data={"validation_classes": 0})
    train(config)
    with pytest.raises(RecipeError, match=r"was trained with run.seed=0, not 2: change it back"):
        train(recipe(optimisation={"epochs": 2}, data={"validation_classes": 0}, run={"seed": 2}))
