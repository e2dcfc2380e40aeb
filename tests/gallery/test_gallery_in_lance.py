"""A gallery whose vectors lie in a Lance table: the hits of exact search, filters, kills, strangers, its folder."""

import json

import numpy as np
import pytest

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery

lance = pytest.importorskip("lance", reason="needs the extra 'lance': pip install 'sketch-prompt[lance]'")
from sketch_prompt.gallery.indexes import lance as module  # noqa: E402
from sketch_prompt.gallery.indexes.lance import LanceIndex, _condition  # noqa: E402


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", {"cat": 6, "dog": 5})


def hits(gallery, **options):
    return [(hit.path, hit.score) for hit in gallery.search(picture(5), 4, **options)]


def test_a_gallery_in_lance_finds_what_an_exact_one_finds_while_photos_come_and_go(photos, tmp_path):
    folder = tmp_path / "gallery"
    ours = Gallery.build(make_model(), photos, folder, index="lance", progress=False)
    exact = Gallery.build(make_model(), photos, progress=False)
    assert hits(ours) == hits(exact)
    only = {"filters": {"category": "dog"}}
    assert hits(ours, **only) == hits(exact, **only)
    (photos / "cat" / "0.jpg").unlink()
    picture(40).save(photos / "dog" / "new.png")
    Gallery.build(make_model(), photos, folder, progress=False)
    exact.refresh(progress=False)
    again = Gallery.load(folder, make_model())
    assert again.index.describe()["backend"] == "lance" and hits(again) == hits(exact)
    assert len(list(folder.glob("vectors-*.lance"))) == 1


def test_a_process_that_is_killed_between_table_and_gallery_leaves_the_gallery_of_before(photos, tmp_path):
    folder = tmp_path / "gallery"
    before = hits(Gallery.build(make_model(), photos, folder, index="lance", progress=False))
    cut_off = Gallery.load(folder, make_model())
    cut_off.remove(cut_off.search(picture(5), 2))
    cut_off.add(picture(77), names=["new"])  # and it ends here, without save
    again = Gallery.load(folder, make_model())
    assert hits(again) == before
    again.remove(again.search(picture(5), 1))
    again.save(folder)
    assert hits(Gallery.load(folder, make_model())) == hits(again)
    assert len(Gallery.load(folder, make_model()).index) == 10


def test_a_table_that_is_gone_or_a_strangers_is_made_anew(photos, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "gallery"
    expected = hits(Gallery.build(make_model(), photos, folder, index="lance", progress=False))
    (table,) = folder.glob("vectors-*.lance")
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "of somebody else"))
        strange = Gallery.load(folder, make_model(), photos_dir=photos)
        assert hits(strange) == expected and "not one that you made here" in caplog.text
        assert list(folder.glob("vectors-*.lance")) == [table]
    table.rename(tmp_path / "elsewhere.lance")
    assert hits(Gallery.load(folder, make_model())) == expected


def test_a_gallery_in_memory_moves_into_a_folder_with_its_table(photos, tmp_path):
    gallery = Gallery.build(make_model(), photos, index="lance", progress=False)
    gallery.save(tmp_path / "one")
    gallery.save(tmp_path / "two")
    for name in ("one", "two"):
        saved = json.loads((tmp_path / name / "gallery.json").read_text())["index"]
        assert (tmp_path / name / saved["table"]).is_dir()
        assert hits(Gallery.load(tmp_path / name, make_model())) == hits(gallery)


def test_many_vectors_are_found_through_lists(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_LISTS", 500)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((1000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, ids = LanceIndex(), np.arange(1000)
    index.open(tmp_path)
    index.build(ids, vectors)
    described = index.describe()
    assert described["kind"] == "ivf-pq" and described["recall@10"] >= 0.9
    index.update(
        ids[:50], np.arange(1000, 1010), np.arange(50, 1010), np.concatenate([vectors[50:], vectors[:10]])
    )
    assert len(index) == 960
    found = index.search(vectors[:5], 1).ids[:, 0]
    np.testing.assert_array_equal(found, np.arange(1000, 1005))


@pytest.mark.parametrize(
    ("ids", "condition"),
    [
        ([3], "id IN (3)"),
        ([1, 2, 3, 9], "(id BETWEEN 1 AND 3) OR id IN (9)"),
        ([5, 6, 8, 9], "(id BETWEEN 5 AND 6) OR (id BETWEEN 8 AND 9)"),
    ],
)
def test_ids_that_follow_one_another_are_a_range(ids, condition):
    assert _condition(np.array(ids)) == condition
