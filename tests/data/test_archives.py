import io
import os
import stat
import tarfile
import zipfile

import py7zr
import pytest

from fakes.archives import make, tar_info
from sketch_prompt.data import archives
from sketch_prompt.data.archives import ArchiveError, archives_in, is_archive, unpack

CONTENT = {"photo/cat/a.png": b"picture", "lists/train.txt": b"photo/cat/a.png 0\n", "README.md": b"read me"}
KINDS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "7z"]


def everything_below(folder):
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder)
        for name in names
    }


@pytest.fixture
def refused(tmp_path):
    """Checks that an archive is refused with a message and that nothing of it is left anywhere."""

    def check(archive, message):
        before = everything_below(tmp_path)
        with pytest.raises(ArchiveError, match=message) as error:
            unpack(archive, tmp_path / "out")
        assert str(archive) in str(error.value)
        assert everything_below(tmp_path) == before
        assert not os.path.exists(tmp_path / "out") or os.listdir(tmp_path / "out") == []

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_images_and_lists_are_unpacked_into_a_folder_named_like_the_archive(tmp_path, kind):
    target = unpack(make(tmp_path / f"Sketchy.v1.{kind}", CONTENT), tmp_path / "out")
    assert os.path.basename(target) == "Sketchy.v1"
    assert everything_below(target) == {"photo/cat/a.png", "lists/train.txt"}
    with open(os.path.join(target, "photo/cat/a.png"), "rb") as file:
        assert file.read() == b"picture"


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
def test_an_archive_is_unpacked_once_and_again_when_it_changed(tmp_path, kind):
    archive = make(tmp_path / f"a.{kind}", CONTENT)
    target = unpack(archive, tmp_path / "out")
    os.remove(os.path.join(target, "photo/cat/a.png"))
    assert unpack(archive, tmp_path / "out") == target
    assert not os.path.exists(os.path.join(target, "photo/cat/a.png"))
    make(archive, CONTENT | {"photo/cat/b.png": b"another"})
    assert "photo/cat/b.png" in everything_below(unpack(archive, tmp_path / "out"))


OUTSIDE = [
    "../evil.png",
    "a/../../evil.png",
    "/tmp/evil.png",
    "C:\\evil.png",
    "..\\evil.png",
    "\\\\host\\evil.png",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_entry_outside_of_the_target_refuses_the_archive(tmp_path, refused, kind, name):
    archive = make(tmp_path / f"a.{kind}", CONTENT | {name: b"evil"})
    refused(archive, "would be outside of the target folder")


def test_a_7z_entry_outside_of_the_target_refuses_the_archive(tmp_path, refused, monkeypatch):
    # py7zr refuses to write such a name, so one is put in the place of a harmless one of the same length.
    archive = tmp_path / "a.7z"
    monkeypatch.setattr(
        py7zr.SevenZipFile, "_sanitize_archive_arcname", staticmethod(lambda name: name), raising=False
    )
    with py7zr.SevenZipFile(archive, "w") as opened:
        opened.writestr(b"evil", "good.png")
        opened.header.files_info.files[-1]["filename"] = "../e.png"
    refused(archive, "would be outside of the target folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_refuse_a_tar(tmp_path, refused, kind):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as opened:
        opened.addfile(tar_info("photo/a.png", b"x"), io.BytesIO(b"x"))
        opened.addfile(tar_info("photo/b.png", type=kind, linkname="/etc/passwd"))
    refused(archive, r"'photo/b.png' is a link or a device")


def test_links_refuse_a_zip(tmp_path, refused):
    archive = tmp_path / "a.zip"
    info = zipfile.ZipInfo("photo/b.png")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("photo/a.png", b"x")
        opened.writestr(info, "/etc/passwd")
    refused(archive, r"'photo/b.png' is a link")


def test_links_refuse_a_7z(tmp_path, refused):
    (tmp_path / "source").mkdir()
    os.symlink("/etc/passwd", tmp_path / "source" / "b.png")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as opened:
        opened.writeall(tmp_path / "source", "photo")
    refused(tmp_path / "a.7z", r"'photo/b.png' is a link or a device")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
def test_an_archive_that_grows_too_much_is_refused(tmp_path, refused, monkeypatch, kind):
    monkeypatch.setattr(archives, "FREE_GROWTH", 1000)
    refused(make(tmp_path / f"a.{kind}", {"photo/a.png": bytes(1_000_000)}), "would unpack to more than")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_archive_is_an_error_and_leaves_nothing(tmp_path, refused, kind, share):
    archive = make(tmp_path / f"a.{kind}", {f"photo/{i}.png": os.urandom(60_000) for i in range(4)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    refused(archive, "damaged or incomplete")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
def test_altered_bytes_are_found(tmp_path, refused, kind):
    archive = make(tmp_path / f"a.{kind}", {"photo/a.png": os.urandom(5000)})
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 255
    archive.write_bytes(content)
    refused(archive, "damaged or incomplete")


@pytest.mark.parametrize("damage", ["header", "border", "within header", "zeroed header", "no end"])
def test_a_tar_that_ends_early_is_an_error(tmp_path, refused, damage):
    archive = make(tmp_path / "a.tar", {f"photo/{i}.png": bytes([i]) * 700 for i in range(1, 31)})
    content = bytearray(archive.read_bytes())
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    eleventh, after = members[10].offset, members[-1].offset_data + 1024
    if damage == "header":
        content[eleventh + 150] ^= 1
    elif damage == "zeroed header":
        content[eleventh : eleventh + 512] = bytes(512)
    else:
        content = content[: {"border": eleventh, "within header": eleventh + 100, "no end": after}[damage]]
    archive.write_bytes(content)
    refused(archive, "damaged or incomplete")


def test_what_is_no_archive_is_an_error(tmp_path, refused):
    for kind in KINDS:
        (tmp_path / f"a.{kind}").write_bytes(b"no archive, whatever its name")
        refused(tmp_path / f"a.{kind}", "damaged or incomplete")


def test_an_encrypted_archive_is_an_error_that_says_what_to_do(tmp_path, refused):
    archive = make(tmp_path / "a.zip", {"photo/a.png": b"x"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, "encrypted: unpack it yourself")
    with py7zr.SevenZipFile(tmp_path / "b.7z", "w", password="secret") as opened:
        opened.writestr(b"x", "photo/a.png")
    refused(tmp_path / "b.7z", "encrypted: unpack it yourself")
    with py7zr.SevenZipFile(tmp_path / "c.7z", "w", password="secret", header_encryption=True) as opened:
        opened.writestr(b"x", "photo/a.png")
    refused(tmp_path / "c.7z", "encrypted: unpack it yourself")


def test_entries_that_clash_are_an_error(tmp_path, refused):
    archive = make(tmp_path / "a.tar", {"photo/a.png": b"x", "photo/a.png/b.png": b"y"})
    refused(archive, "clashes with another")


def test_archives_are_known_by_their_names(tmp_path):
    for name in ("b.ZIP", "a.tar.gz", "c.7z", "d.rar", "e.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.zip").mkdir()
    assert [os.path.basename(path) for path in archives_in([tmp_path])] == ["a.tar.gz", "b.ZIP", "c.7z"]
    assert is_archive(str(tmp_path / "c.7z")) and not is_archive(str(tmp_path / "folder.zip"))
