import io

import numpy as np
import pytest
import torch
from PIL import Image

from sketch_prompt.imaging import (
    RESIZE_MODES,
    crop_white_margin,
    resize_to_square,
    square_view,
    thicken_lines,
    to_rgb,
)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def reopened(image: Image.Image, file_format: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return Image.open(buffer)


GREY_MODES = ["1", "L", "LA", "La", "P", "PA", "I", "I;16", "I;16B", "F"]
COLOUR_MODES = ["RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]


@pytest.mark.parametrize("mode", COLOUR_MODES + GREY_MODES)
def test_every_pil_mode_keeps_its_picture(mode):
    grey = Image.new("L", (8, 6), 255)
    grey.paste(0, (0, 0, 4, 6))
    if mode.startswith("I;16"):
        wide = np.asarray(grey).astype(np.uint16) * 257
        picture = Image.frombytes(
            mode, grey.size, wide.astype(">u2" if mode.endswith("B") else "<u2").tobytes()
        )
    elif mode in ("La", "RGBa"):
        picture = grey.convert(mode.upper()).convert(mode)
    elif mode in ("HSV", "YCbCr", "CMYK", "RGBX"):
        picture = grey.convert("RGB").convert(mode)
    else:
        picture = grey.convert(mode)
    assert picture.mode == mode
    rgb = to_rgb(picture)
    assert (rgb.mode, rgb.size) == ("RGB", (8, 6))
    assert np.abs(np.asarray(rgb).astype(int) - np.asarray(grey)[..., None]).max() <= 1


def test_lab_is_read_as_colour():
    red = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (136, 208, 195)])
    assert np.abs(np.asarray(to_rgb(red)).astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize(
    "transparent",
    [
        Image.new("RGBA", (4, 4), (0, 0, 0, 0)),
        Image.new("LA", (4, 4), (0, 0)),
        reopened(Image.new("P", (4, 4), 0), "PNG", transparency=0),
        reopened(Image.new("L", (4, 4), 0), "PNG", transparency=0),
        reopened(Image.new("RGB", (4, 4), "black"), "PNG", transparency=(0, 0, 0)),
    ],
    ids=["RGBA", "LA", "P", "L+tRNS", "RGB+tRNS"],
)
def test_transparency_becomes_white(transparent):
    assert np.asarray(to_rgb(transparent)).min() == 255


def test_half_transparent_black_becomes_grey():
    assert np.asarray(to_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 128))))[0, 0].tolist() == [127, 127, 127]


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for picture in (Image.fromarray(ramp), reopened(Image.fromarray(ramp), "PNG"), ramp, ramp[..., None]):
        assert np.abs(np.asarray(to_rgb(picture))[..., 0].astype(int) - expected).max() <= 1


def test_exif_orientation_is_applied_once():
    upright = Image.new("RGB", (20, 10), "white")
    upright.paste("black", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: display it 90 degrees clockwise
    turned = to_rgb(reopened(upright, "PNG", exif=exif))
    assert turned.size == (10, 20)
    assert np.array_equal(np.asarray(turned), np.asarray(upright.transpose(Image.Transpose.ROTATE_270)))
    assert np.array_equal(np.asarray(to_rgb(turned)), np.asarray(turned))


def test_damaged_exif_does_not_lose_the_picture():
    picture = reopened(noise(9, 9), "JPEG", exif=b"Exif\x00\x00broken")
    assert to_rgb(picture).size == (9, 9)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(file_format):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("white", "black", "red")]
    animation = reopened(frames[0], file_format, save_all=True, append_images=frames[1:], duration=50)
    animation.seek(2)
    assert np.asarray(to_rgb(animation)).min() >= 250


def test_arrays_tensors_and_paths_equal_the_pil_image(tmp_path):
    image = noise(12, 10)
    array = np.asarray(image)
    path = tmp_path / "image.png"
    image.save(path)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    for same in (
        array, array / 255.0, array.astype(np.int64), array.astype(np.uint16) * 257, array.transpose(2, 0, 1),
        tensor, tensor / 255, tensor.permute(1, 2, 0), path, str(path),
    ):  # fmt: skip
        assert np.array_equal(np.asarray(to_rgb(same)), array)
    ink = np.zeros((4, 5), dtype=bool)
    assert np.asarray(to_rgb(ink)).max() == 0 and np.asarray(to_rgb(~ink)).min() == 255
    transparent = np.zeros((4, 5, 4), dtype=np.uint8)
    assert np.asarray(to_rgb(transparent)).min() == 255


def test_the_white_margin_is_cut_to_the_border():
    sketch = Image.new("RGB", (200, 100), "white")
    sketch.paste("black", (150, 20, 190, 60))
    assert crop_white_margin(sketch, 0.0).size == (40, 40)
    assert crop_white_margin(sketch, 0.1).size == (48, 48)
    assert crop_white_margin(sketch, 0.5).size == (70, 80)  # never beyond the paper


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8])
def test_thickening_grows_a_dot_to_a_square_of_that_width(width):
    dot = Image.new("RGB", (30, 30), "white")
    dot.putpixel((15, 15), (0, 0, 0))
    rows, columns = np.nonzero(np.asarray(thicken_lines(dot, width))[..., 0] == 0)
    assert len(rows) == width**2
    assert np.ptp(rows) == np.ptp(columns) == width - 1 and abs(rows.mean() - 15) <= 0.5


def test_thickening_at_the_edge_stays_inside():
    corner = Image.new("RGB", (9, 5), "white")
    corner.putpixel((0, 0), (0, 0, 0))
    thick = thicken_lines(corner, 20)
    assert thick.size == (9, 5) and np.asarray(thick).max() == 0


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("size", [(90, 60), (60, 90), (64, 64), (37, 101), (1000, 40)])
def test_view_of_the_square_is_what_the_square_shows(mode, size):
    """Coordinates painted into a picture are those its view says each pixel of the square comes from."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    ramp = Image.fromarray(np.stack([255 * x / size[0], 255 * y / size[1], 0 * x], -1).astype(np.uint8))
    square = np.asarray(resize_to_square(ramp, 32, mode, Image.Resampling.BILINEAR, (0, 0, 255)), float)
    left, top, right, bottom = square_view(*size, 32, mode)
    at = (np.arange(32) + 0.5) / 32
    columns, rows = left + (right - left) * at, top + (bottom - top) * at
    inside = (columns > 0) & (columns < size[0]), (rows > 0) & (rows < size[1])
    shown = square[..., 2] < 128
    assert np.array_equal(shown, inside[1][:, None] & inside[0][None])
    # to a pixel of the square and a few steps of the ramp's eight bits
    row, column = np.argwhere(shown)[len(np.argwhere(shown)) // 2]
    across = square[row, inside[0], 0] / 255 * size[0] - columns[inside[0]]
    down = square[inside[1], column, 1] / 255 * size[1] - rows[inside[1]]
    assert np.abs(across).max() < size[0] / 100 + (right - left) / 32
    assert np.abs(down).max() < size[1] / 100 + (bottom - top) / 32
