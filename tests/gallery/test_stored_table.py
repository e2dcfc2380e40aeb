"""The table of a large gallery, read from the disk part by part; a part is four photos here."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.data.reading import UnreadableImageError
from sketch_prompt.gallery import stored_table as module
from sketch_prompt.gallery.saving import DamagedGalleryError
from sketch_prompt.gallery.stored_table import IdRuns, StoredTable, write_parts
from sketch_prompt.gallery.table import Photo, PhotoTable


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 4)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 6)
    monkeypatch.setattr(module, "_KEPT_PARTS", 2)


@pytest.fixture
def saved(model, photos, tmp_path):
    Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    return tmp_path / "gallery"


def table_file(gallery):
    (path,) = gallery.glob("photos-*.parquet")
    return path


def found(gallery, **options):
    return [(hit.path, hit.score, hit.category) for hit in gallery.search(picture(3), 99, **options)]


def rows(ids):
    names = ["ü.jpg", "a b.png", "deep/down/c.jpg"]
    return PhotoTable.of(
        Photo(
            id,
            f"{id % 3}/{id} {names[id % 3]}",
            [None, "cat", "dog"][id % 3],
            f"{id:032x}",
            id - 1,
            id << 40,
            -1,
        )
        for id in ids
    )


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 400), min_size=1, max_size=30).map(sorted))
def test_a_stored_table_is_the_table_that_was_written(tmp_path_factory, ids):
    path, table, places = tmp_path_factory.mktemp("table") / "photos-1.parquet", rows(ids), np.array(ids) * 7
    stored = StoredTable(path, write_parts(table, path, places))
    stored.verify()
    assert len(stored) == len(table) and list(stored) == list(table) and stored[-1] == table[len(table) - 1]
    for name in ("paths", "digests", "sizes", "ids"):
        assert getattr(stored, name).tolist() == getattr(table, name).tolist()
    assert stored.places.tolist() == places.tolist()
    assert stored.rows == table.rows and stored.categories == table.categories
    assert [stored.paths[0], *stored.paths[1:]] == table.paths.tolist()
    chosen = np.arange(len(ids))[::-2]
    assert stored.digests[chosen].tolist() == table.digests[chosen].tolist()
    assert list(stored.take(chosen[::-1])) == list(table.take(chosen[::-1]))
    assert list(stored.extended(rows([900]))) == list(table.extended(rows([900])))
    for filters in ({"path": "1/*"}, lambda photo: photo.size % 2 == 0):
        assert stored.select(filters).tolist() == table.select(filters).tolist()
    for category in table.categories:
        assert stored.select({"category": category}).tolist() == table.select({"category": category}).tolist()


@settings(max_examples=100, deadline=None)
@given(
    st.sets(st.integers(-3, 60), max_size=40).map(sorted), st.lists(st.integers(-9, 80)), st.integers(1, 9)
)
def test_runs_of_ids_answer_as_the_array_does(ids, wanted, part):
    ids, wanted = np.array(ids, np.int64), np.array(wanted, np.int64)
    runs = IdRuns(ids[start : start + part] for start in range(0, len(ids), part))
    assert len(runs) == len(ids) and runs[:].tolist() == np.asarray(runs).tolist() == ids.tolist()
    assert (
        runs[2:7].tolist() == ids[2:7].tolist() and runs[ids % 2 == 0].tolist() == ids[ids % 2 == 0].tolist()
    )
    if len(ids):
        assert runs.searchsorted(wanted).tolist() == ids.searchsorted(wanted).tolist()


def test_an_opened_gallery_reads_its_table_from_the_disk_and_finds_the_same(saved, photos):
    fresh, again = Gallery.build(make_model(), photos, progress=False), Gallery.load(saved, make_model())
    assert isinstance(again.photos, StoredTable) and not isinstance(fresh.photos, StoredTable)
    for options in (
        {},
        {"filters": {"category": "cat"}},
        {"filters": {"path": "free*"}},
        {"group_copies": True},
    ):
        assert found(again, **options) == found(fresh, **options)
    hit = again.search(picture(3), 1)[0]
    assert again.image(hit).size == again.image("cat/3.jpg").size == again.image(hit.id).size
    with pytest.raises(ValueError, match="no photo with the id 99"):
        again.image(99)


def test_opening_and_searching_look_up_no_digest(saved, monkeypatch):
    from sketch_prompt.gallery.store import FeatureStore

    monkeypatch.setattr(FeatureStore, "_all_places", lambda self: pytest.fail("digests were looked up"))
    gallery = Gallery.load(saved, make_model())
    assert len(found(gallery)) == 9
    assert len(gallery.collection.vectors()[np.array([8, 0, 3])]) == 3


def test_a_search_checks_the_parts_that_it_shows_and_no_others(saved):
    gallery = Gallery.load(saved, make_model())
    assert gallery.search(picture(3), 1)[0].path.endswith("cat/3.jpg")
    assert gallery.photos._checked.tolist() == [True, False, False, True]


def test_photos_come_and_go_in_a_gallery_that_was_opened(saved, photos):
    gallery = Gallery.load(saved, make_model())
    gallery.remove("cat/1.jpg")
    write_photos(photos, {"horse": 2}, first=300)
    (photos / "dog" / "0.jpg").rename(photos / "dog" / "other.jpg")
    (photos / "cat" / "1.jpg").unlink()
    changes = gallery.refresh(progress=False)
    assert (changes.added, changes.renamed, changes.embedded, len(gallery)) == (2, 1, 2, 10)
    gallery.save(saved)
    again = Gallery.load(saved, make_model())
    assert again.photos.ids.tolist() == gallery.photos.ids.tolist() and found(again) == found(gallery)
    again.save(saved.parent / "copy")  # from one file into another
    assert found(Gallery.load(saved.parent / "copy", make_model())) == found(gallery)


def test_a_gallery_stays_whole_while_another_process_replaces_its_table(saved, photos):
    gallery = Gallery.load(saved, make_model())
    expected = [photo.path for photo in Gallery.load(saved, make_model()).photos]
    write_photos(photos, {"horse": 2}, first=300)
    Gallery.build(make_model(), photos, saved, progress=False)
    assert [photo.path for photo in gallery.photos] == expected


def test_a_gallery_of_before_there_were_parts_opens_as_ones_own(saved, photos, monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 4096)  # as every gallery was written
    Gallery.build(make_model(), photos, saved, progress=False)
    path = saved / "gallery.json"
    manifest = json.loads(path.read_text())
    assert (manifest.pop("parts"), manifest.pop("blocks")) == ([], [])
    del manifest["checksum"]
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(module, "PART_ROWS", 4)
    gallery = Gallery.load(saved, make_model())
    assert not isinstance(gallery.photos, StoredTable) and gallery.root == photos
    Gallery.build(make_model(), photos, saved, progress=False)
    again = Gallery.load(saved, make_model())
    assert isinstance(again.photos, StoredTable) and again.root == photos and found(again) == found(gallery)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_every_flipped_bit_of_the_table_is_named_when_it_is_read_and_mended_without_embedding(saved, photos):
    path = table_file(saved)
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int).tolist():
        flip(path, place)
        with pytest.raises(DamagedGalleryError, match="Index its photos into it again"):
            list(Gallery.load(saved, make_model()).photos)
        path.write_bytes(whole)
    flip(path, len(whole) // 2)
    model = make_model()
    Gallery.build(model, photos, saved, progress=False)
    assert model.embedded == 0 and len(list(Gallery.load(saved, make_model()).photos)) == 9


def test_a_table_whose_features_were_put_elsewhere_finds_them_by_their_digests(saved, photos):
    expected = found(Gallery.load(saved, make_model()))
    (block,) = (saved / "features").iterdir()
    block.rename(block.with_name("renamed.safetensors"))
    assert found(Gallery.load(saved, make_model())) == expected
    shutil.rmtree(saved / "features")
    with pytest.raises(ValueError, match="9 photos have no features"):
        Gallery.load(saved, make_model())


def test_a_strangers_table_opens_no_file(saved, photos, tmp_path):
    picture(77).save(tmp_path / "passport.png")
    gallery = Gallery.load(saved, make_model())
    photo = gallery.photos[0]
    altered = gallery.photos.replaced(
        np.array([0]), [Photo(**{**vars(photo), "path": str(tmp_path / "passport.png")})]
    )
    parts = write_parts(altered, table_file(saved), gallery.photos.places)
    with pytest.raises(DamagedGalleryError):  # the checksums are those of the table of before
        list(Gallery.load(saved, make_model()).photos)
    path = saved / "gallery.json"
    manifest = json.loads(path.read_text()) | {"parts": parts}
    del manifest["checksum"]
    path.write_text(json.dumps(manifest))
    for named in ({}, {"photos_dir": photos}):
        theirs = Gallery.load(saved, make_model(), **named)
        assert theirs.photos[0].path.endswith("passport.png")
        with pytest.raises(UnreadableImageError):
            theirs.image(theirs.photos[0])


def test_a_run_that_is_killed_while_it_writes_parts_leaves_the_gallery_of_before(saved, photos, monkeypatch):
    expected = found(Gallery.load(saved, make_model()))
    write_photos(photos, {"horse": 2}, first=300)
    for name in ("part_checksums", "pq.ParquetWriter"):
        with monkeypatch.context() as patch:
            target = f"sketch_prompt.gallery.stored_table.{name}"
            patch.setattr(target, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                Gallery.build(make_model(), photos, saved, progress=False)
        assert found(Gallery.load(saved, make_model())) == expected
    model = make_model()
    assert len(Gallery.build(model, photos, saved, progress=False)) == 11 and model.embedded == 0
