"""A gallery whose features take fewer bits in memory: same hits, a choice that stays, nothing embedded again."""

import json

import numpy as np
import pytest

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "many", {"cat": 150, "dog": 150})


def hits(gallery):
    return [(hit.path, hit.score) for hit in gallery.search(picture(5), 5)]


def test_a_gallery_keeps_its_precision_and_changes_it_without_embedding(photos, tmp_path):
    folder, model = tmp_path / "gallery", make_model()
    full = Gallery.build(model, photos, folder, progress=False)
    features = {path.name: path.read_bytes() for path in (folder / "features").iterdir()}
    for precision in ("binary", "int8", "float16"):
        model = make_model()
        changed = Gallery.build(model, photos, folder, precision=precision, progress=False)
        assert model.embedded == 0 and changed.index.describe()["precision"] == precision
        assert hits(changed) == hits(full)
        assert hits(Gallery.build(make_model(), photos, folder, progress=False)) == hits(full)
        again = Gallery.load(folder, make_model())
        assert again.index.describe()["precision"] == precision and hits(again) == hits(full)
        saved = json.loads((folder / "gallery.json").read_text())["index"]
        assert saved["asked_precision"] == saved["precision"] == precision
    assert {path.name: path.read_bytes() for path in (folder / "features").iterdir()} == features
    back = Gallery.build(make_model(), photos, folder, precision="auto", progress=False)
    assert back.index.describe() == {"backend": "numpy", "kind": "exact", "precision": "float32"}
    assert not list(folder.glob("index-*"))


def test_a_gallery_of_before_there_was_a_choice_opens(photos, tmp_path):
    from sketch_prompt.checksums import json_checksum

    folder = tmp_path / "gallery"
    expected = hits(Gallery.build(make_model(), photos, folder, index="hnsw", progress=False))
    path = folder / "gallery.json"
    manifest = json.loads(path.read_text())
    for name in ("asked_precision", "precision"):
        del manifest["index"][name]
    del manifest["checksum"]
    path.write_text(json.dumps({**manifest, "checksum": json_checksum(manifest)}))
    again = Gallery.load(folder, make_model())
    assert again.index.describe()["precision"] == "float16" and hits(again) == expected


def test_photos_come_and_go_in_one_bit_a_number(photos):
    gallery = Gallery.build(make_model(), photos, precision="binary", progress=False)
    first = gallery.search(picture(5), 3)
    gallery.remove(first[0])
    assert [hit.id for hit in gallery.search(picture(5), 2)] == [hit.id for hit in first[1:]]
    gallery.add(picture(5), names=["again"])
    assert len(gallery) == 300 and np.isfinite(gallery.search(picture(5), 1)[0].score)


def test_the_index_of_a_gallery_is_tuned_with_drawings(photos):
    gallery = Gallery.build(make_model(), photos, progress=False)
    drawings = gallery.index.drawings()
    assert drawings.shape == (384, gallery.features.shape[1]) and np.isfinite(drawings).all()
    assert len(np.unique(drawings, axis=0)) > 100
