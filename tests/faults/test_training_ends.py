"""A run of training ends, whatever happens to its data, and leaves no process behind."""

import multiprocessing
import shutil
import subprocess
import sys
import textwrap

import pytest

from fakes.shapes import SEEN
from sketch_prompt.training import loop
from sketch_prompt.training.log import LossMeter
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import RecipeError


@pytest.fixture
def data(sketch_folder, tmp_path):
    """A copy of the data that a test may damage."""
    return shutil.copytree(sketch_folder, tmp_path / "data")


def damage(folder):
    for file in folder.glob("*.png"):
        file.write_bytes(b"no image")


def damage_when_training_starts(monkeypatch, folders):
    start = loop.Trainer._start

    def then_damage(self):
        start(self)
        for folder in folders:
            damage(folder)

    monkeypatch.setattr(loop.Trainer, "_start", then_damage)


@pytest.mark.parametrize("domain", ["photo", "sketch"])
def test_a_class_without_a_readable_image_is_named_before_training(recipe, data, domain):
    damage(data / domain / "disc")
    config = recipe(data={"data_dir": str(data), "validation_classes": 0})
    with pytest.raises(RecipeError, match=rf"none of the 6 {domain} images of disc .*not an image"):
        train(config)
    assert not (config.output_dir / "log.jsonl").exists()


def test_many_classes_without_a_readable_image_are_counted(recipe, data):
    for name in SEEN:
        for domain in ("photo", "sketch"):
            damage(data / domain / name)
    with pytest.raises(RecipeError, match=r"; and 3 more\. Repair"):
        train(recipe(data={"data_dir": str(data), "validation_classes": 0}))


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_images_that_are_damaged_while_training_end_it(recipe, data, monkeypatch, num_workers):
    damage_when_training_starts(monkeypatch, [data / "photo" / name for name in SEEN])
    with pytest.raises(
        RecipeError, match=r"^data: no readable triplet in 100 draws.*not an image, .*more$"
    ) as caught:
        train(recipe(data={"data_dir": str(data), "num_workers": num_workers}))
    assert "Traceback" not in str(caught.value)
    # The exception is still held, and with it the frames it came through.
    assert multiprocessing.active_children() == []


def test_an_error_of_the_training_itself_ends_its_processes(recipe, monkeypatch):
    def failing(self, *losses):
        raise RuntimeError("power cut")

    monkeypatch.setattr(LossMeter, "add", failing)
    with pytest.raises(RuntimeError, match="power cut") as caught:
        train(recipe(data={"num_workers": 2}))
    assert caught.value is not None and multiprocessing.active_children() == []


def test_a_process_that_trains_on_damaged_images_exits(recipe, data, tmp_path):
    config = recipe(data={"data_dir": str(data), "num_workers": 2})
    (tmp_path / "recipe.yaml").write_text(config.to_yaml())
    program = f"""
        import pathlib, sys
        from sketch_prompt.training import loop
        from sketch_prompt.training.config import TrainingConfig
        start = loop.Trainer._start
        def then_delete(self):
            start(self)
            for file in pathlib.Path({str(data)!r}).glob("photo/*/*.png"):
                file.unlink()
        loop.Trainer._start = then_delete
        try:
            loop.train(TrainingConfig.load(sys.argv[1]))
        except ValueError as error:
            failure = error  # held until the end, as an interactive session holds it
            sys.exit("ended: " + str(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "recipe.yaml"],
        capture_output=True,
        text=True,
        timeout=300,  # without an end of the workers it would never return
    )
    assert done.returncode == 1 and "ended: data: no readable triplet in 100 draws" in done.stderr
