"""Benchmarks load from the archives as they were downloaded."""

import zipfile

import datasets
import py7zr
import pytest

from sketch_prompt.data.archives import ArchiveError
from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.splits import published_split


@pytest.fixture
def load(tmp_path):
    return lambda *args, **options: load_benchmark(*args, cache_dir=tmp_path / "cache", **options)


def zipped(path, folder, inside):
    """A zip of everything in a folder, below `inside`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inside}/{file.relative_to(folder)}".lstrip("/"))
    return path


def test_sketchy_loads_from_its_7z_and_the_zip_of_the_extension(load, tmp_path, write_images):
    names = [name.replace(" ", "_") for name in published_split("sketchy-25").class_names]
    base = tmp_path / "made" / "256x256"
    write_images(base / "photo/tx_000000000000", {name: ["a.jpg"] for name in names})
    write_images(base / "sketch/tx_000000000000", {name: ["a-1.png"] for name in names})
    write_images(tmp_path / "extension", {name: ["ext_1.jpg", "ext_2.jpg"] for name in names})
    (tmp_path / "downloads").mkdir()
    with py7zr.SevenZipFile(tmp_path / "downloads" / "rendered_256x256.7z", "w") as archive:
        archive.writeall(base, "256x256")
    zipped(tmp_path / "downloads" / "extended_photo.zip", tmp_path / "extension", "EXTEND_image_sketchy")
    data = load("sketchy-25", tmp_path / "downloads")
    assert data["test_photo"].num_rows == 75 and data["test_sketch"].num_rows == 25
    raw = data["test_photo"].cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert raw["bytes"] is None and str(tmp_path / "cache") in raw["path"]
    assert load("sketchy-25", tmp_path / "downloads")["test_photo"].num_rows == 75


@pytest.mark.parametrize("inside", [("QuickDraw_images_final", "QuickDraw_sketches_final"), ("", "")])
def test_quickdraw_loads_from_its_zips_with_or_without_an_inner_folder(load, tmp_path, write_images, inside):
    names = [name.replace(" ", "_") for name in published_split("quickdraw-30").class_names]
    for kind, inner in zip(("images", "sketches"), inside):
        write_images(tmp_path / kind, {name: ["a.png"] for name in names})
        zipped(tmp_path / "downloads" / f"QuickDraw_{kind}_final.zip", tmp_path / kind, inner)
    data = load("quickdraw-30", tmp_path / "downloads")
    assert data["train_photo"].num_rows == 80 and data["test_sketch"].num_rows == 30


@pytest.mark.parametrize("inside", ["", "my data"])
def test_one_archive_may_be_given_in_place_of_a_folder(load, tmp_path, sketch_folder, inside):
    (sketch_folder / "split.yaml").write_text("seen: [cat, dog]\nunseen: [cup]\n")
    archive = zipped(tmp_path / "own.zip", sketch_folder, inside)
    data = load("sketch-folder", archive)
    assert data["train_photo"].num_rows == 6 and data["test_photo"].num_rows == 3


def test_folders_win_over_archives_beside_them(load, tmp_path, sketch_folder):
    (sketch_folder / "old.zip").write_bytes(b"damaged, and not needed")
    assert load("sketch-folder", sketch_folder, unseen_fraction=1.0)["test_photo"].num_rows == 15
    assert not (tmp_path / "cache" / "sketch_prompt_archives").exists()


def test_an_unsafe_archive_is_refused_and_nothing_is_written(load, tmp_path):
    archive = tmp_path / "own.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("photo/cat/a.png", b"x")
        opened.writestr("../../evil.png", b"x")
    with pytest.raises(ArchiveError, match=r"own\.zip is refused"):
        load("sketch-folder", archive)
    assert not list(tmp_path.rglob("evil.png")) and not list(tmp_path.rglob("a.png"))


def test_archives_without_the_benchmark_are_an_error_that_shows_the_layout(load, tmp_path, write_images):
    write_images(tmp_path / "other", {"cat": ["a.png"]})
    archive = zipped(tmp_path / "other.zip", tmp_path / "other", "")
    with pytest.raises(FileNotFoundError, match="has no known packaging"):
        load("sketchy-21", archive)
