"""Pictures between the browser and the models: what is drawn or uploaded, and what is shown."""

import base64
import binascii
import os

from PIL import Image, ImageOps

from sketch_prompt.data.reading import UnreadableImageError, read_image, unprocessable_is_unreadable
from sketch_prompt.imaging import INK_BELOW, to_rgb
from sketch_prompt.notebook import data_url

CANVAS_SIDE = 512
MAX_BYTES = 30 * 2**20  # of one drawing or photo

_BASE64 = ";base64,"


def read_upload(path: str | os.PathLike, side: int) -> Image.Image:
    """An uploaded picture, upright RGB, reduced to at most `side` pixels a side.

    Raises:
        UnreadableImageError: it is no picture, damaged, or too large; the message names the file without its folder.
    """
    name = os.path.basename(os.fspath(path))
    try:
        with unprocessable_is_unreadable(name):
            if os.path.getsize(path) > MAX_BYTES:
                raise UnreadableImageError(name, f"larger than {MAX_BYTES // 2**20} MB")
            picture = to_rgb(read_image(path, min_size=side))
    except UnreadableImageError as error:
        raise UnreadableImageError(name, error.reason) from error
    picture.thumbnail((side, side))
    return picture


def read_canvas(value: str | None) -> Image.Image | None:
    """The drawing that the page sends, at most `CANVAS_SIDE` pixels a side; None if nothing is drawn.

    Args:
        value: a data URL of a picture, or nothing.

    Raises:
        ValueError: it is no picture, or too large.
    """
    if not value:
        return None
    if not isinstance(value, str):
        raise ValueError(f"A drawing is a data URL, not {type(value).__name__}.")
    if len(value) > MAX_BYTES * 4 // 3:
        raise ValueError(
            f"The drawing is larger than {MAX_BYTES // 2**20} MB. Make it smaller and try again."
        )
    kind, mark, content = value.partition(_BASE64)
    try:
        if not kind.startswith("data:image/") or not mark:
            raise ValueError("no data URL of a picture")
        picture = to_rgb(read_image(base64.b64decode(content, validate=True)))
    except (binascii.Error, ValueError, OSError, MemoryError) as error:
        reason = error.reason if isinstance(error, UnreadableImageError) else str(error)
        raise ValueError(f"The drawing cannot be read: {reason}.") from error
    picture.thumbnail((CANVAS_SIDE, CANVAS_SIDE))
    return None if is_blank(picture) else picture


def is_blank(drawing: Image.Image) -> bool:
    """Whether an RGB drawing shows nothing darker than paper."""
    return drawing.convert("L").getextrema()[0] >= INK_BELOW


def on_canvas(picture: Image.Image) -> Image.Image:
    """An RGB picture fitted into the middle of a white canvas."""
    return ImageOps.pad(picture, (CANVAS_SIDE, CANVAS_SIDE), color="white")


def thumbnail(photo: Image.Image, side: int) -> str:
    """A photo's middle square as a data URL."""
    return data_url(ImageOps.fit(to_rgb(photo), (side, side)), "JPEG")
