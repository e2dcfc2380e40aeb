"""Folders with everything in them that should not be there."""

import io
import os
import random
import struct
import zlib

import pytest
from PIL import Image

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery


def encoded(seed, format="JPEG"):
    buffer = io.BytesIO()
    picture(seed).save(buffer, format)
    return buffer.getvalue()


def png_bomb():
    """60,000 x 60,000 pixels in a few bytes."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000)))


def write_hostile(folder, count):
    """`count` files that are no readable photo, by name; their contents differ."""
    generator = random.Random(0)
    written = []
    for number in range(count):
        kind = number % 10
        name, content = f"{number}.jpg", encoded(1000 + number)
        if kind == 0:
            content = content[: len(content) // 2]
        elif kind == 1:
            content = b""
        elif kind == 2:
            name, content = f"{number}.png", b"%PDF-1.4 " + generator.randbytes(200)
        elif kind == 3:
            name, content = f"{number}.txt", b"some notes"
        elif kind == 4:
            name, content = f"{number}.png", png_bomb() + bytes([number % 256])
        elif kind == 5:
            content = generator.randbytes(500)
        elif kind == 6:
            name, content = f"名前 ü \u202e{number}\n😀.jpeg", b"\xff\xd8\xff\xe0" + generator.randbytes(100)
        elif kind == 7:
            name, content = f"{number}.gif", b"GIF89a" + b"\xff" * 20
        elif kind == 8:
            name, content = f".{number}.jpg", content
        else:
            name, content = f"{number}.tiff", b"II*\x00" + struct.pack("<I", 0xFFFFFFF0)
        (folder / name).write_bytes(content)
        written.append(name)
    return written


@pytest.fixture
def hostile(tmp_path):
    folder = write_photos(tmp_path / "photos", {"good": 6})
    bad = folder / "bad"
    bad.mkdir()
    written = {str(bad / name) for name in write_hostile(bad, 100)}
    for name in ("to nothing.jpg", "to itself.jpg"):
        (bad / name).symlink_to(tmp_path / "nothing" if "nothing" in name else bad / name)
        written.add(str(bad / name))
    (bad / "loop").symlink_to(folder)
    (bad / "loop2").symlink_to(bad)
    os.mkfifo(bad / "pipe.jpg")
    with open(bad / "sparse.jpg", "wb") as file:
        file.truncate(2**34)
    written |= {str(bad / name) for name in ("loop", "loop2", "pipe.jpg", "sparse.jpg")}
    broken_name = os.path.join(os.fsencode(bad), b"not text \xff.jpg")
    with open(broken_name, "wb") as file:
        file.write(encoded(5))
    written.add(broken_name.decode("utf-8", "replace"))
    # Photos all the same: by their content, under odd names, and by links.
    (bad / "really a photo.txt").write_bytes(encoded(2000))
    (bad / "png called jpg.jpg").write_bytes(encoded(2001, "PNG"))
    (bad / "Ünïcödé 名前 😀\u202e\n.jpg").write_bytes(encoded(2002))
    (bad / "link.jpg").symlink_to(folder / "good" / "0.jpg")
    return folder, written


def test_every_bad_file_is_skipped_and_listed_and_every_good_one_found(hostile, model, tmp_path):
    folder, written = hostile
    gallery = Gallery.build(model, folder, tmp_path / "gallery", progress=False)
    assert {skip.path for skip in gallery.skipped} == written
    assert len(gallery.skipped) == len(written) and all(skip.reason for skip in gallery.skipped)
    assert len(gallery) == 10 and model.embedded == 9  # the link's content is known
    assert gallery.search(picture(3), 1)[0].path == str(folder / "good" / "3.jpg")
    odd = gallery.search(picture(2002), 1)[0]
    assert odd.path.endswith("😀\u202e\n.jpg") and gallery.image(odd).size == (40, 40)
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert {skip.path for skip in again.skipped} == written
    changes = again.refresh(progress=False)
    assert (changes.embedded, changes.added, changes.removed) == (0, 0, 0)
    assert {skip.path for skip in again.skipped} == written


def test_readers_in_other_processes_skip_the_same(hostile, model):
    folder, written = hostile
    gallery = Gallery.build(model, folder, num_workers=2, progress=False)
    assert {skip.path for skip in gallery.skipped} == written and len(gallery) == 10


def test_what_becomes_readable_is_added_and_what_breaks_is_listed(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    (photos / "cat" / "0.jpg").write_bytes(b"broken")
    changes = gallery.refresh(progress=False)
    assert (changes.removed, len(gallery)) == (1, 8)
    assert [skip.path for skip in gallery.skipped] == [str(photos / "cat" / "0.jpg")]
    picture(0).save(photos / "cat" / "0.jpg")
    assert gallery.refresh(progress=False).added == 1 and gallery.skipped == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_listed(model, photos):
    (photos / "cat" / "0.jpg").chmod(0)
    (photos / "dog").chmod(0)
    try:
        gallery = Gallery.build(model, photos, progress=False)
    finally:
        (photos / "dog").chmod(0o755)
    assert {skip.path: skip.reason for skip in gallery.skipped} == {
        str(photos / "cat" / "0.jpg"): "no permission to read it",
        str(photos / "dog"): "no permission to read it",
    }
    assert len(gallery) == 5


def test_a_file_that_vanishes_while_it_is_indexed_is_listed(model, photos, monkeypatch):
    from sketch_prompt.gallery import photo_sources as module

    scan = module.scan

    def scan_and_delete(root, follow_links):
        found = scan(root, follow_links)
        (photos / "cat" / "0.jpg").unlink()
        return found

    monkeypatch.setattr(module, "scan", scan_and_delete)
    gallery = Gallery.build(model, photos, progress=False)
    assert len(gallery) == 8
    assert [tuple(skip) for skip in gallery.skipped] == [(str(photos / "cat" / "0.jpg"), "no such file")]


def test_a_folder_without_any_photo_is_an_empty_gallery_that_can_be_saved(model, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    gallery = Gallery.build(model, tmp_path / "photos", tmp_path / "gallery", progress=False)
    assert len(gallery) == 0 and len(gallery.skipped) == 1
    assert Gallery.load(tmp_path / "gallery", make_model()).search(picture(0)) == []


def test_links_between_folders_are_followed_once(model, tmp_path):
    folder = write_photos(tmp_path / "photos", {"real": 2})
    other = write_photos(tmp_path / "other", {"x": 2}, first=50)
    (folder / "a link that sorts first").symlink_to(folder / "real")
    (folder / "elsewhere").symlink_to(other)
    gallery = Gallery.build(model, folder, progress=False)
    assert sorted(gallery.photos.paths) == [
        "elsewhere/x/0.jpg",
        "elsewhere/x/1.jpg",
        "real/0.jpg",
        "real/1.jpg",
    ]
    assert [skip.reason for skip in gallery.skipped] == ["a link to a folder that is listed already"]


def test_large_drawings_and_those_that_are_none_are_handled(model, photos, tmp_path):
    gallery = Gallery.build(model, photos, progress=False)
    noise = Image.frombytes("RGB", (2600, 2600), random.Random(1).randbytes(2600 * 2600 * 3))
    noise.save(tmp_path / "large.png", compress_level=0)
    assert (tmp_path / "large.png").stat().st_size > 20_000_000
    assert len(gallery.search(tmp_path / "large.png", 3)) == 3
    for content in (b"", b"text", png_bomb(), encoded(1)[:300]):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.png: "):
            gallery.search(tmp_path / "bad.png")
