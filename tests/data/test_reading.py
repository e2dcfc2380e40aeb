import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from sketch_prompt.data.reading import MAX_PIXELS, UnreadableImageError, read_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG of a few bytes that claims to be large."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


def test_every_kind_of_source_gives_the_same_image(tmp_path, noise):
    path = tmp_path / "a.png"
    noise.save(path)
    content = path.read_bytes()
    sources = [
        path,
        str(path),
        content,
        {"path": str(path), "bytes": None},
        {"path": None, "bytes": content},
        noise,
    ]
    for source in sources:
        assert np.array_equal(np.asarray(read_image(source)), np.asarray(noise))


def test_bytes_win_over_a_path_that_no_longer_exists(noise):
    assert read_image({"path": "/gone.png", "bytes": encoded(noise)}).size == (80, 60)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is no image", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (b"\xff\xd8\xff\xe0 broken", "Truncated"),
        (png_header(10_000, 10_000), f"more than the limit of {MAX_PIXELS:,}"),
        (png_header(60_000, 60_000), "DecompressionBomb"),
    ],
)
def test_a_damaged_file_is_unreadable_with_its_path_and_reason(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        read_image(path)
    assert error.value.path == str(path)
    assert reason in error.value.reason
    assert str(error.value) == f"{path}: {error.value.reason}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("lenient", [False, True])
def test_a_truncated_image_is_unreadable_even_where_pil_was_told_to_be_lenient(
    monkeypatch, noise, kind, lenient
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    content = encoded(noise, kind)
    with pytest.raises(UnreadableImageError, match="<bytes>"):
        read_image(content[: len(content) // 2])
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES
    assert read_image(content).size == (80, 60)


def test_a_missing_file_a_folder_and_a_pipe_are_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (
        ("none.png", "no such file"),
        (".", "not a regular file"),
        ("pipe.png", "not a regular file"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_unreadable(tmp_path, noise):
    noise.save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(UnreadableImageError, match="no permission"):
        read_image(tmp_path / "a.png")


def test_a_picture_without_pixels_is_unreadable():
    with pytest.raises(UnreadableImageError, match="0 x 7 pixels"):
        read_image(Image.new("RGB", (0, 7)))


def test_postscript_is_never_handed_to_its_interpreter(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UnreadableImageError, match="not an image"):
        read_image(path)


def test_a_large_jpeg_decodes_at_a_reduced_scale_that_is_still_large_enough():
    content = encoded(Image.effect_noise((1600, 1200), 40).convert("RGB"), "JPEG")
    small = read_image(content, min_size=224)
    assert small.size == (400, 300)
    assert read_image(content).size == (1600, 1200)


def test_what_is_no_image_source_is_a_type_error():
    with pytest.raises(TypeError, match="an image is a path"):
        read_image(42)


def test_the_error_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(UnreadableImageError("a.png", "broken")))
    assert (error.path, error.reason) == ("a.png", "broken")
