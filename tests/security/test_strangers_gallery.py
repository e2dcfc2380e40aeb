"""A gallery that somebody else made, or altered, opens no file of this machine that its user did not name."""

import json
import shutil
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.photos import make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.data.reading import UnreadableImageError


@pytest.fixture
def private(tmp_path):
    """What nobody may get to see: a key, and a picture."""
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "id_rsa").write_bytes(b"PRIVATE KEY")
    picture(77).save(folder / "passport.png")
    return folder


@pytest.fixture
def saved(model, photos, tmp_path):
    """A gallery of this user's photos, in a folder."""
    Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    return tmp_path / "gallery"


def alter_manifest(gallery, **values):
    path = gallery / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def alter_rows(file, /, **columns):
    """Put other values into the first rows of a table."""
    table = pq.read_table(file)
    for name, values in columns.items():
        old = table.column(name).to_pylist()
        new = pa.array([*values, *old[len(values) :]], table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), new)
    pq.write_table(table, file)


def names_in(gallery):
    return [str(path) for path in gallery.photos.paths]


def opened(gallery, photo):
    """What `content` or `image` gave out; empty if both refused."""
    given = []
    for read in (gallery.content, gallery.image):
        with suppress(UnreadableImageError):
            given.append(read(photo))
    return given


@pytest.mark.parametrize("name", ["id_rsa", "passport.png"])
@pytest.mark.parametrize("way", ["absolute", "dots", "root", "link"])
def test_a_folder_from_a_stranger_opens_no_file(saved, private, photos, name, way):
    if way == "link":
        (photos / "out").symlink_to(private)
    path = {"absolute": str(private / name), "dots": f"../private/{name}", "link": f"out/{name}"}.get(
        way, name
    )
    alter_rows(next(saved.glob("photos-*.parquet")), path=[path])
    if way == "root":
        alter_manifest(saved, root=str(private))
    for named in ({}, {"photos_dir": photos}):
        gallery = Gallery.load(saved, make_model(), **named)
        assert path in names_in(gallery)
        assert opened(gallery, 0) == []
        hits = gallery.search(picture(77), len(gallery))
        gallery.plot(hits)


def test_the_folder_in_a_strangers_gallery_is_not_believed(saved, private):
    alter_manifest(saved, root="/")
    gallery = Gallery.load(saved, make_model())
    assert gallery.root is None
    with pytest.raises(ValueError, match="give the folder to refresh from"):
        gallery.refresh()


def test_a_strangers_gallery_shows_photos_below_the_folder_that_the_user_names(
    saved, photos, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    shutil.move(photos, tmp_path / "handed over")
    gallery = Gallery.load(saved, make_model())
    with pytest.raises(UnreadableImageError, match="say in which folder its photos are"):
        gallery.image("cat/0.jpg")
    gallery = Gallery.load(saved, make_model(), photos_dir=tmp_path / "handed over")
    assert gallery.image("cat/0.jpg").size == (40, 40)


def test_indexing_ones_own_folder_into_a_strangers_gallery_makes_it_ones_own(saved, private, photos):
    rows = next(saved.glob("photos-*.parquet"))
    alter_rows(rows, path=[str(private / "passport.png")])
    gallery = Gallery.build(make_model(), photos, saved, progress=False)
    assert not any("passport" in name for name in names_in(gallery))
    again = Gallery.load(saved, make_model())
    assert len(again) == 9 and all(again.image(photo).size == (40, 40) for photo in again.photos)


@pytest.mark.parametrize("include_photos", [False, True])
@pytest.mark.parametrize("name", ["id_rsa", "passport.png"])
def test_a_gallery_of_the_hub_opens_no_file(hub_folder, photos, private, tmp_path, name, include_photos):
    folder = hub_folder
    Gallery.build(make_model(), photos, progress=False).push_to_hub("x", include_photos=include_photos)
    rows = next(folder.glob("data/*.parquet"))
    path = str(private / name)
    image = {"image": [{"bytes": None, "path": path}]} if include_photos else {}
    alter_rows(rows, path=[path], **image)
    gallery = Gallery.from_hub("x", make_model())
    assert opened(gallery, 0) == []
    shutil.rmtree(folder)
    with pytest.raises(UnreadableImageError):
        gallery.push_to_hub("again", include_photos=True)
    gallery.save(tmp_path / "kept")
    assert opened(Gallery.load(tmp_path / "kept", make_model()), 0) == []


def test_only_pictures_are_uploaded_even_from_ones_own_gallery(hub_folder, model, photos):
    folder = hub_folder
    gallery = Gallery.build(model, photos, progress=False)
    (photos / "cat" / "0.jpg").write_bytes(b"PRIVATE KEY")
    with pytest.raises(UnreadableImageError, match="not an image"):
        gallery.push_to_hub("x", include_photos=True)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [5, 5]}, "ids of its photos do not ascend"),
        ({"id": [-1]}, "ids of its photos do not ascend"),
        ({"id": [None]}, "ids of its photos do not ascend"),
        ({"path": ["same", "same"]}, "names of its photos are not all there, or not all different"),
        ({"path": [None]}, "names of its photos are not all there"),
        ({"digest": [None]}, "digests of its photos are not all there"),
        ({"digest": ["x" * 32]}, "digests of its photos are not all there"),
        ({"features": [np.full(16, np.nan)]}, "features of its photos are not of length 1"),
        ({"features": [np.full(16, 1e30)]}, "features of its photos are not of length 1"),
    ],
)
def test_rows_of_the_hub_are_checked(hub_folder, model, photos, columns, message):
    folder = hub_folder
    gallery = Gallery.build(model, photos, progress=False)
    gallery.push_to_hub("x")
    if "features" in columns:
        columns = {
            "features": [values[:1].repeat(gallery.features.shape[1]) for values in columns["features"]]
        }
    alter_rows(next(folder.glob("data/*.parquet")), **columns)
    with pytest.raises(ValueError, match=message):
        Gallery.from_hub("x", model)


def test_a_table_of_the_hub_that_is_no_gallerys_is_refused(hub_folder, model, photos):
    folder = hub_folder
    Gallery.build(model, photos, progress=False).push_to_hub("x")
    rows = next(folder.glob("data/*.parquet"))
    table = pq.read_table(rows)
    strings = pa.array(["a"] * len(table))
    for column in ("features", "id"):
        pq.write_table(table.drop([column]).append_column(column, strings), rows)
        with pytest.raises(ValueError, match="x is no gallery, or a damaged one"):
            Gallery.from_hub("x", model)
    rows.write_bytes(b"PAR1 garbage")
    with pytest.raises(ValueError, match="x is no gallery, or a damaged one"):
        Gallery.from_hub("x", model)
