"""Image files that Pillow does not read by itself: HEIC files of phones, and raw files of cameras.

Both need sketch-prompt[photos]: pillow-heif and rawpy (LibRaw).
"""

import io
import os
import struct
from functools import cache
from importlib.util import find_spec

from PIL import Image

from .listing import RAW_EXTENSIONS

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Raw files of Canon, Fujifilm, Olympus and Panasonic. Other raw files begin like any TIFF.
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_DNG_VERSION = 50706  # a tag that only DNG files have
_SMALLEST_PREVIEW = 256  # pixels; some cameras embed only a thumbnail, and the raw data are better
# LibRaw's `flip` gives the orientation of a preview without EXIF orientation.
_TURNS = {
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
}


def is_heif(content: bytes) -> bool:
    """Whether an encoded image is HEIF (.heic), the format of many phones."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS


def open_heif(content: bytes) -> Image.Image:
    """Open a HEIF image without decoding it.

    Raises:
        OSError: pillow-heif is not installed, or the file is damaged.
    """
    _require("pillow_heif", "HEIC photos")
    _register_heif()
    return Image.open(io.BytesIO(content), formats=("HEIF",))


@cache
def _register_heif() -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)


def _require(module: str, what: str) -> None:
    if find_spec(module) is None:
        package = module.replace("_", "-")
        raise OSError(f"{what} need {package}, which is not installed: pip install 'sketch-prompt[photos]'")


def is_raw(path: str, content: bytes) -> bool:
    """Whether a file is a camera's raw file, judging by its name or its first bytes."""
    if os.path.splitext(path)[1].lower() in RAW_EXTENSIONS:
        return True
    if content.startswith(_RAW_SIGNATURES) or content[8:10] == b"CR" or content[4:12] == b"ftypcrx ":
        return True
    return _has_dng_version(content)


def _has_dng_version(content: bytes) -> bool:
    order = _TIFF_ORDERS.get(content[:4])
    if order is None:
        return False
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        tags = [struct.unpack_from(f"{order}H", content, start + 2 + 12 * entry)[0] for entry in range(count)]
    except struct.error:  # cut off
        return False
    return _DNG_VERSION in tags


def open_raw(content: bytes, max_pixels: int) -> Image.Image:
    """Open the image in a raw file: the preview that the camera stored, or else the raw data at half size.

    A JPEG preview is not decoded.

    Args:
        content: The bytes of the file.
        max_pixels: Maximum number of pixels of raw data to develop.

    Raises:
        OSError: rawpy is not installed, the file holds neither a preview nor raw data, or the raw data are too large.
    """
    _require("rawpy", "raw files of cameras")
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            preview = _preview(raw, rawpy)
            if preview is not None:
                return preview
            if raw.sizes.raw_width * raw.sizes.raw_height > 4 * max_pixels:
                raise OSError(f"it has more than {4 * max_pixels:,} pixels to develop")
            return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise OSError(f"LibRaw cannot read it: {reason}") from error


def _preview(raw, rawpy) -> Image.Image | None:
    """The embedded preview, the right way up, or None if there is no useful one."""
    try:
        embedded = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if embedded.format != rawpy.ThumbFormat.JPEG:
        picture = Image.fromarray(embedded.data)
    else:
        picture = Image.open(io.BytesIO(embedded.data), formats=("JPEG",))
    if max(picture.size) < min(_SMALLEST_PREVIEW, max(raw.sizes.width, raw.sizes.height)):
        return None
    turn = _TURNS.get(raw.sizes.flip)
    has_orientation = 0x0112 in picture.getexif()
    return picture if turn is None or has_orientation else picture.transpose(turn)
