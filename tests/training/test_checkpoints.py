import random

import numpy as np
import pytest
import torch

from sketch_prompt.training.checkpoints import (
    random_state,
    recover_folder,
    replacing_folder,
    set_random_state,
)


def fill(folder, text):
    with replacing_folder(folder) as new:
        (new / "file").write_text(text)


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "deep" / "last"
    fill(folder, "one")
    fill(folder, "two")
    assert (folder / "file").read_text() == "two"
    assert [path.name for path in folder.parent.iterdir()] == ["last"]


def test_a_failed_replacement_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "last"
    fill(folder, "one")
    with pytest.raises(OSError, match="disk full"), replacing_folder(folder) as new:
        (new / "file").write_text("half")
        raise OSError("disk full")
    assert recover_folder(folder) == folder and (folder / "file").read_text() == "one"
    fill(folder, "two")
    assert (folder / "file").read_text() == "two"


@pytest.mark.parametrize(("new_is_there", "found"), [(True, "new"), (False, "old")])
def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, new_is_there, found):
    for name in ["old"] + ["new"] * new_is_there:
        (tmp_path / f".last.{name}").mkdir()
        (tmp_path / f".last.{name}" / "file").write_text(name)
    assert (recover_folder(tmp_path / "last") / "file").read_text() == found


def test_a_kill_before_the_first_save_was_complete_leaves_nothing_to_resume(tmp_path):
    (tmp_path / ".last.new").mkdir()
    assert recover_folder(tmp_path / "last") is None


def test_every_generator_goes_on_where_it_was(tmp_path):
    def draw():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(()).item()

    draw()
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draw() for _ in range(3)]
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw() for _ in range(3)] == expected
