import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from sketch_prompt import atomic
from sketch_prompt.atomic import atomic_write, clear_leftovers, failed_writes_are_os_errors


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "new" / "report.json"
    with atomic_write(target) as temporary:
        temporary.write_text("{}")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        assert not target.exists()
    assert target.read_text() == "{}"


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_must_last_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(
        atomic, "sync", lambda path: done.append((Path(path).name, (tmp_path / "a").exists()))
    )
    with atomic_write(tmp_path / "a", durable=True) as temporary:
        temporary.write_text("x")
    assert done == [(f".writing-{os.getpid()}-a", False), (tmp_path.name, True)]


@pytest.mark.parametrize("writer", ["safetensors", "torch", "python"])
def test_every_writer_says_of_a_full_disk_that_it_is_full(writer):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OSError, match="No space left on device") as caught, failed_writes_are_os_errors(full):
        if writer == "torch":
            torch.save(torch.zeros(10_000), full)
        elif writer == "python":
            with full.open("wb", buffering=0) as file:
                file.write(bytes(10_000))
        else:
            raise _safetensors_error()
    assert caught.value.errno == errno.ENOSPC


def _safetensors_error():
    """What safetensors says of an error of the operating system, but with the number of a full disk."""
    try:
        save_file({"x": np.zeros(10)}, "/nowhere/at/all")
    except Exception as error:
        return type(error)(str(error).replace("os error 2", f"os error {errno.ENOSPC}"))


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="power cut"), failed_writes_are_os_errors("x"):
        raise RuntimeError("power cut")


def test_what_killed_writers_left_behind_is_cleared_and_nothing_else(tmp_path):
    for name in (".writing-12-gallery.json", ".tmpAbC123", "gallery.json", ".hidden"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".saving-x").mkdir()
    (tmp_path / ".saving-x" / "config.json").write_text("{}")
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "gallery.json"]
