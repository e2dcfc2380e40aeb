"""QuickDraw's own form of drawings: files of strokes, one JSON object a line, and how they become images."""

import io
import json
import logging
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

logger = logging.getLogger(__name__)

_OVERSAMPLING = 4
_MARGIN = 0.04  # of the side, left white around a drawing

# One stroke: the x and the y coordinates of its points (more rows, such as times, are not used).
Stroke = Sequence[Sequence[float]]


class Drawing(NamedTuple):
    """A drawing: its id and its strokes."""

    key_id: str
    strokes: Sequence[Stroke]


def read_drawings(path: str, limit: int | None = None) -> Iterator[Drawing]:
    """The first `limit` (None: all) drawings of an `.ndjson` file that QuickDraw's classifier recognised.

    Lines that hold no drawing are left out; a warning counts them.

    Raises:
        OSError: if the file cannot be read.
    """
    n_read, bad_lines = 0, []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if n_read == limit:
                break
            if not line.strip():
                continue
            try:
                drawing = _parse(line, number)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                bad_lines.append(number)
                continue
            if drawing is not None:
                n_read += 1
                yield drawing
    if bad_lines:
        shown = ", ".join(map(str, bad_lines[:10]))
        logger.warning(
            "%s: %d lines hold no drawing and are skipped (lines %s ...)", path, len(bad_lines), shown
        )


def _parse(line: bytes, number: int) -> Drawing | None:
    content = json.loads(line)
    if not content.get("recognized", True):
        return None
    strokes = content["drawing"]
    points = [point for xs, ys, *_ in strokes for point in zip(xs, ys, strict=True)]
    if not points or not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("no points")
    return Drawing(str(content.get("key_id", number)), strokes)


def rasterize(strokes: Sequence[Stroke], size: int = 256, stroke_width: float = 3.0) -> Image.Image:
    """Draw strokes in black on white with anti-aliasing, as large as fits, centred.

    Args:
        strokes: at least one point in all.
        size: side of the image in pixels.
        stroke_width: width of the lines in pixels.

    Returns:
        A greyscale image (size, size).
    """
    side = size * _OVERSAMPLING
    width = max(stroke_width * _OVERSAMPLING, 1.0)
    lines = _fit(strokes, side, margin=_MARGIN * side + width / 2)
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    for line in lines:
        if len(line) > 1:
            draw.line(line, fill=0, width=round(width), joint="curve")
        for x, y in (line[0], line[-1]):  # round ends, and a dot for a stroke of one point
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
    return image.reduce(_OVERSAMPLING)


def fit_strokes(
    strokes: Sequence[Stroke], size: int = 256, stroke_width: float = 3.0
) -> list[list[tuple[float, float]]]:
    """The lines of strokes where `rasterize` draws them: lists of points (x, y) in pixels."""
    return _fit(strokes, size, margin=_MARGIN * size + stroke_width / 2)


def _fit(strokes: Sequence[Stroke], side: int, margin: float) -> list[list[tuple[float, float]]]:
    """The strokes' points moved and scaled, with one factor, into a square with a margin."""
    lines = [list(zip(xs, ys)) for xs, ys, *_ in strokes if len(xs)]
    xs = [x for line in lines for x, _ in line]
    ys = [y for line in lines for _, y in line]
    extent = max(max(xs) - min(xs), max(ys) - min(ys))
    scale = (side - 2 * margin) / extent if extent > 0 else 1.0
    center_x, center_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return [
        [((x - center_x) * scale + side / 2, (y - center_y) * scale + side / 2) for x, y in line]
        for line in lines
    ]


def encode_png(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
