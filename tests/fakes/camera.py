"""Files as telephones and cameras write them, made of a picture."""

import io
import struct
from itertools import accumulate

import numpy as np
from PIL import Image

_CODES = {"B": 1, "s": 2, "H": 3, "I": 4, "r": 10}
_XYZ_TO_SRGB = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def heic(picture: Image.Image) -> bytes:
    """The picture as HEIC."""
    from pillow_heif import from_pillow

    buffer = io.BytesIO()
    from_pillow(picture).save(buffer, quality=90)
    return buffer.getvalue()


def avif(picture: Image.Image) -> bytes:
    """The picture as AVIF."""
    buffer = io.BytesIO()
    picture.save(buffer, "AVIF", quality=90)
    return buffer.getvalue()


def dng(picture: Image.Image, preview: Image.Image | None = None, orientation: int = 1) -> bytes:
    """The picture as the mosaic of a sensor (RGGB), in a DNG of as few tags as LibRaw needs.

    Args:
        picture: what the sensor saw; its sides are even.
        preview: a JPEG that the camera adds.
        orientation: how the camera was held, as in EXIF.
    """
    data = _mosaic(picture)
    tags = {
        254: ("I", [0]),  # the picture itself
        256: ("I", [picture.width]),
        257: ("I", [picture.height]),
        258: ("H", [16]),  # bits
        259: ("H", [1]),  # not compressed
        262: ("H", [32803]),  # a mosaic
        271: ("s", b"Camera\0"),
        272: ("s", b"One\0"),
        273: ("I", [0]),  # where it lies
        274: ("H", [orientation]),
        277: ("H", [1]),
        278: ("I", [picture.height]),
        279: ("I", [len(data)]),
        33421: ("H", [2, 2]),
        33422: ("B", [0, 1, 1, 2]),  # RGGB
        50706: ("B", [1, 4, 0, 0]),  # the version of DNG
        50708: ("s", b"Camera One\0"),
        50717: ("I", [60000]),  # white
        50721: ("r", _XYZ_TO_SRGB),
        50728: ("r", (1, 1, 1)),
        50778: ("H", [21]),
    }
    folders, jpeg = [tags], b""
    if preview is not None:
        jpeg = _jpeg(preview)
        tags[330] = ("I", [0])
        sides = {256: ("I", [preview.width]), 257: ("I", [preview.height]), 278: ("I", [preview.height])}
        kinds = {254: ("I", [1]), 258: ("H", [8, 8, 8]), 259: ("H", [7]), 262: ("H", [6]), 277: ("H", [3])}
        folders.append({**sides, **kinds, 273: ("I", [0]), 279: ("I", [len(jpeg)])})
    *starts, end = accumulate((len(_folder(folder, 0)) for folder in folders), initial=8)
    tags[273] = ("I", [end])
    if preview is not None:
        tags[330], folders[1][273] = ("I", [starts[1]]), ("I", [end + len(data)])
    written = b"".join(_folder(folder, start) for folder, start in zip(folders, starts))
    return b"II*\0" + struct.pack("<I", 8) + written + data + jpeg


def _mosaic(picture: Image.Image) -> bytes:
    linear = ((np.asarray(picture.convert("RGB"), np.float64) / 255) ** 2.2 * 60000).astype("<u2")
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    return mosaic.tobytes()


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _folder(tags: dict, start: int) -> bytes:
    """An image file directory of a TIFF, and what does not fit into its entries."""
    entries, rest = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        if kind == "r":
            content = b"".join(struct.pack("<ii", round(value * 10_000), 10_000) for value in values)
        else:
            content = values if kind == "s" else struct.pack(f"<{len(values)}{kind}", *values)
        where = content.ljust(4, b"\0")
        if len(content) > 4:
            where = struct.pack("<I", after + len(rest))
            rest += content + b"\0" * (len(content) % 2)
        entries += struct.pack("<HHI", tag, _CODES[kind], len(values)) + where
    return struct.pack("<H", len(tags)) + entries + b"\0" * 4 + rest
