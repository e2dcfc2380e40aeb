"""A gallery that a disk has altered is never searched as if it were whole: it says so, and indexing again mends it."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.checksums import row_checksums
from sketch_prompt.gallery.store import DamagedFeaturesError


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", {"cat": 4, "dog": 3})


@pytest.fixture
def saved(photos, tmp_path):
    Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    return tmp_path / "gallery"


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def feature_file(gallery):
    (path,) = (gallery / "features").iterdir()
    return path


def place_of(path, name, byte=0):
    """Where in a safetensors file a tensor's byte lies."""
    size = int.from_bytes(path.read_bytes()[:8], "little")
    return 8 + size + json.loads(path.read_bytes()[8 : 8 + size])[name]["data_offsets"][0] + byte


def mended(gallery, photos):
    """Index again; how many photos that embedded."""
    model = make_model()
    Gallery.build(model, photos, gallery, progress=False)
    fresh = Gallery.build(make_model(), photos, progress=False)
    again = Gallery.load(gallery, make_model())
    ours, theirs = (dict(zip(found.photos.paths, found.features)) for found in (again, fresh))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6)
    assert [hit.path for hit in again.search(picture(1), 3)] == [
        hit.path for hit in fresh.search(picture(1), 3)
    ]
    return model.embedded


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("name", ["features", "digests", "checksums"])
def test_one_flipped_bit_of_the_features_is_named_and_only_its_photo_embedded_again(saved, photos, name, bit):
    path = feature_file(saved)
    flip(path, place_of(path, name, byte=2 + bit), bit)
    with pytest.raises(ValueError, match=r"is damaged: .*Index (the|its) photos into"):
        Gallery.load(saved, make_model()).search(picture(1), 3)
    assert mended(saved, photos) == 1
    assert mended(saved, photos) == 0


def test_a_photo_whose_features_are_no_numbers_is_embedded_again(saved, photos):
    path = feature_file(saved)
    with safe_open(path, "np") as file:
        tensors, metadata = {name: file.get_tensor(name).copy() for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["features"][3] = np.nan
    tensors["checksums"] = row_checksums(tensors["digests"], tensors["features"])
    save_file(tensors, path, metadata)
    with pytest.raises(DamagedFeaturesError, match="some features in it have changed"):
        Gallery.load(saved, make_model()).search(picture(1), 3)
    assert mended(saved, photos) == 1


def test_features_that_were_written_before_there_were_checksums_are_read(saved, photos):
    path = feature_file(saved)
    with safe_open(path, "np") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in ("digests", "features")}, file.metadata()
    save_file(tensors, path, metadata)
    assert mended(saved, photos) == 0


@pytest.mark.parametrize("what", ["gallery.json", "photos-*.parquet", "skipped-*.jsonl"])
def test_a_flipped_bit_of_any_other_file_is_named_and_mended_without_embedding(saved, photos, what):
    (photos / "cat" / "broken.jpg").write_bytes(b"no image")
    Gallery.build(make_model(), photos, saved, progress=False)
    path = next(saved.glob(what))
    flip(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"is damaged: .*Index its photos into it again"):
        Gallery.load(saved, make_model())
    assert mended(saved, photos) == 0


def test_every_bit_of_the_manifest_is_covered(saved):
    path = saved / "gallery.json"
    whole = path.read_bytes()
    written = json.loads(whole)
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        flip(path, place, place % 8)
        try:
            altered = json.loads(path.read_bytes())
        except ValueError:
            altered = None
        if altered != written and not (altered and altered.get("checksum") != written["checksum"]):
            with pytest.raises(ValueError):
                Gallery.load(saved, make_model())
        path.write_bytes(whole)


def test_an_index_that_a_disk_has_altered_is_built_anew(tmp_path, caplog):
    photos = write_photos(tmp_path / "many", {"cat": 150, "dog": 150})
    Gallery.build(make_model(), photos, tmp_path / "gallery", index="hnsw", progress=False)
    expected = Gallery.load(tmp_path / "gallery", make_model()).search(picture(5), 5)
    assert "rebuilt" not in caplog.text
    path = next((tmp_path / "gallery").glob("index-*.faiss"))
    flip(path, path.stat().st_size // 2)
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert "checksum" in caplog.text and "it is rebuilt" in caplog.text
    assert [hit.path for hit in again.search(picture(5), 5)] == [hit.path for hit in expected]


def test_what_killed_writers_left_behind_is_cleared_by_the_next_one(saved, photos):
    for name in (
        ".writing-1-gallery.json",
        ".writing-1-index-x.faiss",
        "features/.tmpAbCdEf",
        "features/.writing-1-x",
    ):
        (saved / name).write_bytes(b"half")
    Gallery.build(make_model(), photos, saved, progress=False)
    assert not [
        name for _, _, files in os.walk(saved) for name in files if name.startswith((".writing", ".tmp"))
    ]


def test_a_row_checksum_changes_with_every_bit():
    rows = np.random.default_rng(0).integers(0, 256, (1, 37), np.uint8)
    whole = row_checksums(rows)
    for place in range(37):
        for bit in range(8):
            altered = rows.copy()
            altered[0, place] ^= 1 << bit
            assert row_checksums(altered) != whole
    assert row_checksums(rows[:, :20], rows[:, 20:]) == whole


def test_a_gallery_whose_features_are_gone_says_so_and_is_filled_again(saved, photos):
    shutil.rmtree(saved / "features")
    with pytest.raises(ValueError, match="7 photos have no features"):
        Gallery.load(saved, make_model())
    assert mended(saved, photos) == 7


def test_an_approximate_gallery_whose_features_are_gone_is_filled_again(tmp_path):
    photos = write_photos(tmp_path / "many", {"cat": 150, "dog": 150})
    Gallery.build(make_model(), photos, tmp_path / "gallery", index="hnsw", progress=False)
    shutil.rmtree(tmp_path / "gallery" / "features")
    model = make_model()
    again = Gallery.build(model, photos, tmp_path / "gallery", index="hnsw", progress=False)
    assert model.embedded == 300 and again.index.describe()["kind"] == "hnsw"


def test_a_model_whose_type_of_numbers_is_altered_is_damage_too(saved, photos):
    path = feature_file(saved)
    path.write_bytes(path.read_bytes().replace(b'\\"dtype\\": \\"float32\\"', b'\\"dtype\\": \\"f|oat32\\"'))
    with pytest.raises(ValueError, match="7 photos have no features"):
        Gallery.load(saved, make_model())
    assert mended(saved, photos) == 7
