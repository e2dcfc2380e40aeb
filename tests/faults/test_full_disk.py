"""A full disk ends training and indexing with one line, and the same command then ends as if there had been room."""

import textwrap

import pytest
import torch
from safetensors.torch import load_file

from fakes.photos import make_model, picture, write_photos
from fakes.processes import run
from sketch_prompt import Gallery
from sketch_prompt.atomic import atomic_write
from sketch_prompt.terminal import message_of
from sketch_prompt.training.loop import train

NO_ROOM = "there is no room to write"


def with_little_room(program, *arguments, limit):
    """Run a program none of whose files may grow beyond `limit` bytes, as on a disk that is full."""
    return run("-c", textwrap.dedent(program), *arguments, file_limit=limit)


def test_training_says_so_in_one_line_and_ends_the_same_afterwards(recipe, tmp_path):
    config = recipe(optimisation={"epochs": 1}, data={"validation_classes": 0})
    (tmp_path / "recipe.yaml").write_text(config.to_yaml())
    program = """
        import sys
        from sketch_prompt.cli import app
        app(["train", sys.argv[1]])
    """
    done = with_little_room(program, tmp_path / "recipe.yaml", limit=20_000)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert done.returncode == 1 and len(lines) == 1 and NO_ROOM in lines[0]
    assert "Traceback" not in done.stderr and "Make room and run the same command again" in lines[0]
    train(config)
    whole = recipe(
        optimisation={"epochs": 1},
        data={"validation_classes": 0},
        run={"output_dir": str(tmp_path / "whole")},
    )
    train(whole)
    ours, theirs = (load_file(c.output_dir / "adapter_model.safetensors") for c in (config, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("limit", [3_000, 9_000])
def test_indexing_says_so_in_one_line_and_ends_the_same_afterwards(tmp_path, limit):
    photos = write_photos(tmp_path / "photos", {"cat": 30, "dog": 30})
    program = """
        import sys
        from sketch_prompt.cli import app
        app(["index", sys.argv[1], "-o", sys.argv[2], "-m", "mini-frozen-clip"])
    """
    done = with_little_room(program, photos, tmp_path / "gallery", limit=limit)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert done.returncode == 1 and len(lines) == 1 and NO_ROOM in lines[0]
    assert "Traceback" not in done.stderr
    again = Gallery.build("mini-frozen-clip", photos, tmp_path / "gallery", progress=False)
    fresh = Gallery.build("mini-frozen-clip", photos, progress=False)
    assert len(again) == 60
    assert [hit.path for hit in again.search(picture(3), 5)] == [
        hit.path for hit in fresh.search(picture(3), 5)
    ]


def test_a_gallery_that_found_no_room_is_the_one_of_before(tmp_path, monkeypatch):
    photos = write_photos(tmp_path / "photos", {"cat": 3})
    Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    write_photos(tmp_path / "photos", {"dog": 3}, first=50)

    def full(path, durable=False):
        if str(path).endswith("gallery.json"):
            raise OSError(28, "No space left on device", str(path))
        return atomic_write(path, durable)

    with monkeypatch.context() as patch:
        patch.setattr("sketch_prompt.gallery.saving.atomic_write", full)
        with pytest.raises(OSError) as caught:
            Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    assert message_of(caught.value).startswith(NO_ROOM)
    assert len(Gallery.load(tmp_path / "gallery", make_model())) == 3
    assert len(Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)) == 6
