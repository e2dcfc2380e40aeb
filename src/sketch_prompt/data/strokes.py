"""Drawings as strokes, in the format of Quick, Draw! (one JSON object in each line), and how to render them."""

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
    """The id of a drawing and its strokes."""

    key_id: str
    strokes: Sequence[Stroke]


def read_drawings(path: str, limit: int | None = None) -> Iterator[Drawing]:
    """Read the drawings of an `.ndjson` file that the classifier of Quick, Draw! recognised.

    A warning counts the lines without a drawing, which are skipped.

    Args:
        path: The file.
        limit: Read at most this many drawings. None for all.

    Raises:
        OSError: The file cannot be read.
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
            "%s: %d lines have no drawing and are skipped (lines %s ...)", path, len(bad_lines), shown
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
    """Draw strokes in black on white with anti-aliasing, centred and as large as possible.

    Args:
        strokes: The strokes, with at least one point in all.
        size: Side of the image in pixels.
        stroke_width: Width of the lines in pixels.

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
    """Move and scale strokes as `rasterize` does. Returns a list of points (x, y) in pixels for each stroke."""
    return _fit(strokes, size, margin=_MARGIN * size + stroke_width / 2)


def _fit(strokes: Sequence[Stroke], side: int, margin: float) -> list[list[tuple[float, float]]]:
    """Move and scale the points of strokes into a square with a margin."""
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
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
