"""HEIC, AVIF and RAW files, made here."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fakes.camera import avif, dng, heic
from sketch_prompt import Gallery
from sketch_prompt.data import camera_files
from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.imaging import to_rgb


@pytest.fixture
def scene():
    """A green disc in the left half of something red."""
    picture = Image.new("RGB", (400, 300), (200, 60, 40))
    ImageDraw.Draw(picture).ellipse((20, 70, 180, 230), fill=(20, 180, 60))
    return picture


def disc_is_at(picture, x, y):
    """Whether a picture is green at a place (shares of its sides) and red at the one across from it."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    here = pixels[int(y * picture.height), int(x * picture.width)]
    there = pixels[int((1 - y) * picture.height), int((1 - x) * picture.width)]
    return here[1] > here[0] + 50 and there[0] > there[1] + 50


@pytest.mark.parametrize("encode", [heic, avif])
def test_heic_and_avif_are_read_like_any_picture(tmp_path, scene, encode):
    (tmp_path / "photo").write_bytes(encode(scene))
    for source in (encode(scene), tmp_path / "photo"):
        picture = read_image(source)
        assert picture.size == (400, 300) and disc_is_at(picture, 0.25, 0.5)


def test_of_a_raw_file_the_preview_is_read(scene):
    picture = read_image(dng(scene.resize((1200, 900)), preview=scene))
    assert picture.size == (400, 300) and disc_is_at(picture, 0.25, 0.5)


@pytest.mark.parametrize("preview", [False, True])
def test_a_raw_file_without_a_preview_worth_taking_is_developed_at_half_size(scene, preview):
    picture = read_image(dng(scene.resize((1200, 900)), scene.resize((100, 75)) if preview else None))
    assert picture.size == (600, 450) and disc_is_at(picture, 0.25, 0.5)


@pytest.mark.parametrize(
    ("orientation", "size", "disc"), [(3, (400, 300), (0.75, 0.5)), (6, (300, 400), (0.5, 0.25))]
)
def test_a_raw_file_is_shown_as_the_camera_was_held(scene, orientation, size, disc):
    for preview, factor in ((scene, 1), (None, 1.5)):
        picture = to_rgb(read_image(dng(scene.resize((1200, 900)), preview, orientation)))
        assert picture.size == tuple(round(factor * side) for side in size)
        assert disc_is_at(picture, *disc)


def test_a_picture_that_is_only_called_a_raw_file_is_read_as_what_it_is(tmp_path, scene):
    scene.save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.nef")
    assert read_image(tmp_path / "photo.nef").size == (400, 300)


@pytest.mark.parametrize(("name", "package"), [("a.heic", "pillow-heif"), ("a.dng", "rawpy")])
def test_without_the_reader_the_reason_says_what_to_install(monkeypatch, tmp_path, scene, name, package):
    (tmp_path / name).write_bytes(heic(scene) if name == "a.heic" else dng(scene))
    monkeypatch.setattr(camera_files, "find_spec", lambda _: None)
    with pytest.raises(UnreadableImageError, match=rf"{package}.*pip install 'sketch-prompt\[photos\]'"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("encode", [heic, avif, dng])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_file_that_was_cut_off_is_unreadable_and_nothing_worse(tmp_path, scene, encode, share):
    suffix = {heic: ".heic", avif: ".avif", dng: ".dng"}[encode]
    content = encode(scene)
    (tmp_path / f"photo{suffix}").write_bytes(content[: round(share * len(content))])
    with pytest.raises(UnreadableImageError, match="photo"):
        read_image(tmp_path / f"photo{suffix}")


def test_a_gallery_holds_and_finds_photos_of_telephones_and_cameras(tmp_path, scene):
    files = {"a.heic": heic(scene), "b.DNG": dng(scene.resize((800, 600)), scene), "c.avif": avif(scene)}
    (tmp_path / "photos").mkdir()
    for name, content in files.items():
        (tmp_path / "photos" / name).write_bytes(content)
    gallery = Gallery.build("mini-clip-at", tmp_path / "photos", progress=False)
    assert gallery.skipped == [] and sorted(gallery.photos.paths) == sorted(files)
    for path in gallery.photos.paths:
        assert disc_is_at(to_rgb(gallery.image(path)), 0.25, 0.5)
