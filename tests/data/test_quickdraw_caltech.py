"""The bundled benchmark of real drawings and photos."""

import hashlib
import json

import pytest

from sketch_prompt import load_benchmark
from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
from sketch_prompt.data.quickdraw_caltech.builder import photo_files


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache):
    return load_benchmark("quickdraw-caltech", cache_dir=cache)


def test_seen_classes_are_trained_on_and_unseen_ones_are_tested(data):
    sizes = {part: len(table) for part, table in data.items()}
    assert sizes == {"train_sketch": 679, "train_photo": 900, "test_sketch": 229, "test_photo": 300}
    names = data["test_photo"].features["label"].names
    assert tuple(names) == SEEN_CLASSES + UNSEEN_CLASSES
    for part, table in data.items():
        shown = {names[label] for label in table["label"][:]}
        assert shown == set(SEEN_CLASSES if part.startswith("train") else UNSEEN_CLASSES)


def test_pictures_are_small_photos_and_drawings_of_the_size_asked_for(data, cache):
    for row in range(0, 300, 50):
        assert max(data["test_photo"][row]["image"].size) == 128
    assert data["test_sketch"][0]["image"].size == (256, 256)
    options = {"sketch_size": 64, "stroke_width": 2.0, "cache_dir": cache}
    other = load_benchmark("quickdraw-caltech", split={"seen": ["ant"], "unseen": ["Stop_sign"]}, **options)
    assert other["test_sketch"][0]["image"].size == (64, 64)
    assert other["test_sketch"].features["label"].names == ["ant", "stop sign"]


def test_all_classes_may_be_tested_and_none_trained_on(cache):
    options = {"sketch_size": 32, "cache_dir": cache}
    data = load_benchmark("quickdraw-caltech", split={"seen": [], "unseen": ["ant", "car"]}, **options)
    assert [len(table) for table in data.values()][:2] == [0, 0] and len(data["test_photo"]) == 60


def test_photos_of_seen_classes_join_the_gallery_in_the_generalized_setting(cache):
    data = load_benchmark("quickdraw-caltech", setting="gzs", cache_dir=cache)
    assert len(data["test_photo"]) == 300 + 900 // 5 and len(data["train_photo"]) == 900 * 4 // 5


def test_a_class_that_it_does_not_have_is_refused(cache):
    with pytest.raises(ValueError, match="has no class zebra; it has airplane, ant"):
        load_benchmark("quickdraw-caltech", split={"seen": ["ant"], "unseen": ["zebra"]}, cache_dir=cache)


def test_it_has_the_classes_and_photos_of_the_shared_folder(shared):
    folder = shared("data/caltech40")
    pairs = json.loads((folder / "pairs.json").read_text())
    assert sorted(SEEN_CLASSES) == sorted(pairs["seen"])
    assert sorted(UNSEEN_CLASSES) == sorted(pairs["unseen"])
    for name, photos in photo_files().items():
        originals = {
            f"{pairs['pairs'][name]}/{path.name}" for path in (folder / pairs["pairs"][name]).iterdir()
        }
        assert set(photos) == originals


def test_no_photo_is_there_twice():
    contents = [image for photos in photo_files().values() for image in photos.values()]
    assert len({hashlib.sha256(image).digest() for image in contents}) == len(contents) == 1200
