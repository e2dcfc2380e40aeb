import base64

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketch_prompt.data.reading import UnreadableImageError
from sketch_prompt.notebook import data_url
from sketch_prompt.space import pictures
from sketch_prompt.space.pictures import CANVAS_SIDE, on_canvas, read_canvas, read_upload


def drawing(size=(300, 200)):
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).line((20, 20, size[0] - 20, size[1] - 20), "black", 5)
    return image


def test_canvas_value_is_the_drawing_again():
    read = read_canvas(data_url(drawing(), "PNG"))
    assert np.array_equal(np.asarray(read), np.asarray(drawing()))


@pytest.mark.parametrize("value", [None, "", data_url(Image.new("RGB", (64, 64), "white"), "PNG")])
def test_empty_canvas_is_no_drawing(value):
    assert read_canvas(value) is None


def test_transparent_canvas_without_ink_is_no_drawing():
    assert read_canvas(data_url(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("hello", "not a data URL"),
        ("data:text/html;base64,PGI+", "not a data URL"),
        ("data:image/png;base64,***", "cannot be read"),
        ("data:image/png;base64,", "the file is empty"),
        ("data:image/png;base64," + base64.b64encode(b"GIF89a").decode(), "cannot be read"),
        (data_url(drawing(), "PNG")[:200], "cannot be read"),
        ({"background": None}, "must be a data URL, not dict"),
    ],
)
def test_what_is_no_drawing_is_one_message(value, reason):
    with pytest.raises(ValueError, match=reason):
        read_canvas(value)


def test_large_drawing_is_reduced_and_a_huge_one_is_one_message(monkeypatch):
    assert max(read_canvas(data_url(drawing((3000, 2000)), "PNG")).size) == CANVAS_SIDE
    with pytest.raises(ValueError, match="larger than 30 MB"):
        read_canvas("data:image/png;base64," + "A" * (pictures.MAX_BYTES * 4 // 3))
    with pytest.raises(ValueError, match="more than the limit"):
        monkeypatch.setattr("sketch_prompt.data.reading.MAX_PIXELS", 1000)
        read_canvas(data_url(drawing(), "PNG"))


def test_upload_is_upright_and_reduced(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    drawing((800, 400)).save(tmp_path / "a.jpg", exif=exif)
    assert read_upload(tmp_path / "a.jpg", 200).size == (100, 200)


def test_unusable_upload_is_named_without_its_folder(tmp_path, monkeypatch):
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    with pytest.raises(UnreadableImageError) as caught:
        read_upload(tmp_path / "song.mp3", 200)
    assert str(caught.value) == "song.mp3: not an image, or of an unknown format"
    monkeypatch.setattr(pictures, "MAX_BYTES", 2)
    with pytest.raises(UnreadableImageError, match=r"^song.mp3: larger than"):
        read_upload(tmp_path / "song.mp3", 200)


def test_picture_is_fitted_into_the_canvas_on_white():
    fitted = on_canvas(Image.new("RGB", (100, 50), "black"))
    assert fitted.size == (CANVAS_SIDE, CANVAS_SIDE)
    pixels = np.asarray(fitted)
    assert (pixels[:100] == 255).all() and (pixels[CANVAS_SIDE // 2] == 0).all()
