"""Damaged images, strokes and benchmarks made of them: skipped and reported, never a crash."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.check import check_data
from sketch_prompt.data.loading import ImageTable
from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.data.strokes import rasterize, read_drawings

FORMATS = {
    "png": {"format": "PNG"},
    "palette.png": {"format": "PNG", "mode": "P"},
    "deep.png": {"format": "PNG", "mode": "I;16"},
    "jpg": {"format": "JPEG"},
    "progressive.jpg": {"format": "JPEG", "progressive": True},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "webp": {"format": "WEBP"},
    "tif": {"format": "TIFF", "compression": "tiff_lzw"},
    "ppm": {"format": "PPM"},
}
PER_FORMAT = 60


def sound(mode="RGB", **options):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def damaged(content, rng):
    """The content cut, altered, filled, doubled or shuffled somewhere."""
    content = bytearray(content)
    start = rng.randrange(len(content))
    length = rng.randint(1, 40)
    kind = rng.randrange(6)
    if kind == 0:
        del content[start:]
    elif kind == 1:
        for _ in range(rng.randint(1, 10)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        content[start : start + length] = bytes(rng.choice([0, 255]) for _ in range(length))
    elif kind == 3:
        content[start:start] = content[:start]
    elif kind == 4:
        del content[start : start + length]
    else:
        content[4 : 4 + length] = rng.randbytes(length)
    return bytes(content)


def damaged_images():
    rng = random.Random(0)
    for name, options in FORMATS.items():
        whole = sound(**options)
        for number in range(PER_FORMAT):
            yield f"{number:03}.{name}", damaged(whole, rng)


@pytest.mark.filterwarnings("ignore")
def test_reading_a_damaged_image_gives_an_image_or_says_why_not():
    outcomes = {"read": 0, "unreadable": 0}
    for _, content in damaged_images():
        try:
            assert np.asarray(read_image(content).convert("RGB")).ndim == 3
            outcomes["read"] += 1
        except UnreadableImageError as error:
            assert error.reason
            outcomes["unreadable"] += 1
    assert sum(outcomes.values()) == len(FORMATS) * PER_FORMAT >= 500
    assert min(outcomes.values()) > 50


@pytest.mark.filterwarnings("ignore")
def test_a_benchmark_of_damaged_images_builds_loads_and_is_checked(tmp_path):
    for folder in ("photo", "sketch"):
        for class_name in ("cat", "dog"):
            (tmp_path / "own" / folder / class_name).mkdir(parents=True)
    files = list(damaged_images())
    for number, (name, content) in enumerate(files):
        folder = ("photo/cat", "photo/dog", "sketch/cat", "sketch/dog")[number % 4]
        (tmp_path / "own" / folder / name).write_bytes(content)
    data = load_benchmark(
        "sketch-folder", tmp_path / "own", unseen_fraction=0.5, cache_dir=tmp_path / "cache"
    )
    n_unreadable = 0
    for table in map(ImageTable, data.values()):
        for row in range(len(table)):
            try:
                table.read(row)
            except UnreadableImageError:
                n_unreadable += 1
    report = check_data(tmp_path / "own", progress=False)
    assert len(report.unreadable) == n_unreadable > 50
    assert report.images_read + len(report.benchmarks[0].skipped) == len(files)


def test_reading_damaged_strokes_gives_drawings_or_leaves_them_out(tmp_path):
    line = b'{"word":"cat","recognized":true,"key_id":"5","drawing":[[[0,9,30],[4,40,60]],[[1,2],[3,4]]]}\n'
    rng = random.Random(0)
    path = tmp_path / "cat.ndjson"
    path.write_bytes(b"".join(damaged(line, rng) for _ in range(500)))
    for drawing in read_drawings(str(path)):
        assert rasterize(drawing.strokes, size=16).size == (16, 16)
