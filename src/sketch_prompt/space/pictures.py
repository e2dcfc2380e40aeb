"""Read pictures that are drawn or uploaded in the browser, and prepare photos to be shown there."""

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
    """Read an uploaded picture as upright RGB image, at most `side` pixels wide and high.

    Raises:
        UnreadableImageError: the file is not a picture, damaged, or too large. The message has its name only.
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
    """Read the value of the canvas as an image, at most `CANVAS_SIDE` pixels wide and high.

    Args:
        value: a picture as data URL, or nothing.

    Returns:
        None if nothing is drawn.

    Raises:
        ValueError: the value is not a picture, or too large.
    """
    if not value:
        return None
    if not isinstance(value, str):
        raise ValueError(f"A drawing must be a data URL, not {type(value).__name__}.")
    if len(value) > MAX_BYTES * 4 // 3:
        raise ValueError(
            f"The drawing is larger than {MAX_BYTES // 2**20} MB. Make it smaller and try again."
        )
    kind, mark, content = value.partition(_BASE64)
    try:
        if not kind.startswith("data:image/") or not mark:
            raise ValueError("not a data URL of a picture")
        picture = to_rgb(read_image(base64.b64decode(content, validate=True)))
    except (binascii.Error, ValueError, OSError, MemoryError) as error:
        reason = error.reason if isinstance(error, UnreadableImageError) else str(error)
        raise ValueError(f"The drawing cannot be read: {reason}.") from error
    picture.thumbnail((CANVAS_SIDE, CANVAS_SIDE))
    return None if is_blank(picture) else picture


def is_blank(drawing: Image.Image) -> bool:
    """Whether no pixel of an RGB drawing is dark enough to be ink."""
    return drawing.convert("L").getextrema()[0] >= INK_BELOW


def on_canvas(picture: Image.Image) -> Image.Image:
    """Fit an RGB picture into the middle of a white canvas."""
    return ImageOps.pad(picture, (CANVAS_SIDE, CANVAS_SIDE), color="white")


def thumbnail(photo: Image.Image, side: int) -> str:
    """The central square of a photo as data URL."""
    return data_url(ImageOps.fit(to_rgb(photo), (side, side)), "JPEG")
