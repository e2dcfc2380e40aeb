"""A gallery that somebody else made, or altered, opens no file of this machine that its user did not name."""

import json
import shutil
import socket
import threading
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.data.reading import UnreadableImageError
from sketch_prompt.gallery.saving import DamagedGalleryError


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
    """Another manifest, as its author would have it: with checksums that fit, or none."""
    path = gallery / "gallery.json"
    manifest = json.loads(path.read_text()) | values
    del manifest["checksum"], manifest["checksums"]
    path.write_text(json.dumps(manifest))


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
    for read in (gallery.collection.content, gallery.image):
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
    alter_manifest(saved, **({"root": str(private)} if way == "root" else {}))
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
    alter_manifest(saved)
    gallery = Gallery.build(make_model(), photos, saved, progress=False)
    assert not any("passport" in name for name in names_in(gallery))
    again = Gallery.load(saved, make_model())
    assert len(again) == 9 and all(again.image(photo).size == (40, 40) for photo in again.photos)


@pytest.fixture
def altered_on_the_hub(hub, model, photos, tmp_path):
    """Puts a gallery on the Hub whose rows somebody has altered; returns its name there."""

    def put(alter, include_photos=False):
        Gallery.build(model, photos, progress=False).push_to_hub("me/x", include_photos=include_photos)
        for name, content in hub["datasets/me/x"].files().items():
            path = tmp_path / "altered" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        alter(next((tmp_path / "altered").glob("data/*.parquet")))
        hub.add("you/x", tmp_path / "altered", kind="dataset")
        return "you/x"

    return put


def uploaded_tables(hub, name):
    return [file for file in (hub[name].files() if name in hub else ()) if file.endswith(".parquet")]


@pytest.mark.parametrize("include_photos", [False, True])
@pytest.mark.parametrize("name", ["id_rsa", "passport.png"])
def test_a_gallery_of_the_hub_opens_no_file(altered_on_the_hub, hub, private, tmp_path, name, include_photos):
    path = str(private / name)
    image = {"image": [{"bytes": None, "path": path}]} if include_photos else {}
    place = altered_on_the_hub(lambda rows: alter_rows(rows, path=[path], **image), include_photos)
    gallery = Gallery.from_hub(place, make_model())
    assert opened(gallery, 0) == []
    with pytest.raises(UnreadableImageError):
        gallery.push_to_hub("me/again", include_photos=True)
    assert uploaded_tables(hub, "datasets/me/again") == []
    gallery.save(tmp_path / "kept")
    assert opened(Gallery.load(tmp_path / "kept", make_model()), 0) == []


def test_only_pictures_are_uploaded_even_from_ones_own_gallery(hub, model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    (photos / "cat" / "0.jpg").write_bytes(b"PRIVATE KEY")
    with pytest.raises(UnreadableImageError, match="not an image"):
        gallery.push_to_hub("me/x", include_photos=True)
    assert uploaded_tables(hub, "datasets/me/x") == []


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
def test_rows_of_the_hub_are_checked(altered_on_the_hub, model, columns, message):
    width = model.config.clip_config.projection_dim
    columns = {
        name: [np.resize(value, width) for value in values] if name == "features" else values
        for name, values in columns.items()
    }
    place = altered_on_the_hub(lambda rows: alter_rows(rows, **columns))
    with pytest.raises(ValueError, match=message):
        Gallery.from_hub(place, model)


def _other_type(rows, column):
    table = pq.read_table(rows)
    pq.write_table(table.drop([column]).append_column(column, pa.array(["a"] * len(table))), rows)


@pytest.mark.parametrize(
    "alter",
    [
        lambda rows: _other_type(rows, "features"),
        lambda rows: _other_type(rows, "id"),
        lambda rows: rows.write_bytes(b"PAR1 garbage"),
    ],
)
def test_a_table_of_the_hub_that_is_no_gallerys_is_refused(altered_on_the_hub, model, alter):
    place = altered_on_the_hub(alter)
    with pytest.raises(ValueError, match="you/x is not a gallery, or it is damaged"):
        Gallery.from_hub(place, model)


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "gallery.json", 7, None])
@pytest.mark.parametrize("what", ["photos", "skipped"])
def test_a_gallery_names_no_file_outside_of_its_folder(saved, name, what):
    shutil.copy(next(saved.glob("photos-*")), saved.parent / "outside.parquet")
    files = json.loads((saved / "gallery.json").read_text())["files"]
    alter_manifest(saved, files=files | {what: name})
    with pytest.raises(DamagedGalleryError, match="is not the name of a file of a gallery"):
        Gallery.load(saved, make_model())


def test_an_index_of_a_stranger_is_not_read_but_built_anew(tmp_path, monkeypatch, caplog):
    photos = write_photos(tmp_path / "photos", {"cat": 150, "dog": 150})
    Gallery.build(make_model(), photos, tmp_path / "gallery", index="hnsw", progress=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    next((tmp_path / "gallery").glob("index-*.faiss")).write_bytes(b"crafted")
    alter_manifest(tmp_path / "gallery")
    gallery = Gallery.load(tmp_path / "gallery", make_model())
    assert "it is not one that you made here" in caplog.text and len(gallery.search(picture(5), 5)) == 5


@pytest.fixture
def listener():
    """A server that notes what reaches it."""
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)

        def accept():
            while not done.is_set():
                with suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        received.append(connection.recv(100))

        done = threading.Event()
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", received
        done.set()
        thread.join()


def test_a_milvus_server_that_a_stranger_names_is_sent_nothing(saved, photos, listener, monkeypatch):
    pytest.importorskip("pymilvus", reason="the `scale` extra is not installed")
    address, received = listener
    monkeypatch.setenv("MILVUS_TOKEN", "root:SECRET")
    monkeypatch.delenv("MILVUS_URI", raising=False)
    index = {"name": "milvus", "address": address, "collection": "photos", "recall@10": 1.0}
    alter_manifest(saved, index=index)
    for use in (
        lambda: Gallery.load(saved, make_model()),
        lambda: Gallery.build(make_model(), photos, saved, progress=False),
    ):
        with pytest.raises(
            ValueError, match=f"in Milvus at {address}, but it is not one that you indexed here"
        ):
            use()
    assert received == []


def test_links_to_the_system_or_to_a_folder_around_are_not_followed_and_others_are_named(photos, private):
    for name, target in {"system": "/proc/self", "all": "/", "around": photos.parent, "out": private}.items():
        (photos / name).symlink_to(target)
    gallery = Gallery.build(make_model(), photos, progress=False)
    assert sorted(gallery.photos.categories) == ["cat", "dog", "out"]
    assert gallery.changes.links == [f"{photos / 'out'} -> {private}"]
    reasons = {path.removeprefix(str(photos)): reason for path, reason in gallery.changes.skipped}
    assert reasons["/system"] == "a link to a folder of the system"
    assert reasons["/all"] == reasons["/around"] == "a link to a folder around this one"
    assert "Followed 1 links out of the folder" in gallery.changes.describe(len(gallery))


def test_no_links_are_followed_where_that_is_asked_for(photos, private):
    (photos / "out").symlink_to(private)
    (photos / "cat" / "link.png").symlink_to(private / "passport.png")
    gallery = Gallery.build(make_model(), photos, follow_links=False, progress=False)
    assert len(gallery) == 9 and gallery.changes.links == []
    assert [reason for _, reason in gallery.changes.skipped] == ["a link", "a link"]
