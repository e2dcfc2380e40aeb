"""A thin layer over matplotlib's anti-aliased C++ rasteriser (Agg), in unit-square coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from .geometry import Part, Points

RGB = tuple[float, float, float]


class Canvas:
    """A square transparent drawing of `size` pixels.

    Args:
        size: pixels a side.
        antialiased: False gives every pixel the colour of the last thing drawn over its centre, which makes
            label maps exact.
    """

    def __init__(self, size: int, antialiased: bool = True):
        self.size = size
        self._agg = RendererAgg(size, size, 72)
        self._pen = GraphicsContextBase()
        self._pen.set_antialiased(antialiased)
        self._pen.set_snap(False)
        self._pen.set_joinstyle("round")
        self._pen.set_capstyle("round")
        self._to_pixels = Affine2D.from_values(size, 0, 0, -size, 0, size)

    def fill(self, outline: Points, colour: RGB, holes: Sequence[Points] = ()) -> None:
        """Fill a closed outline, leaving its holes open."""
        self._pen.set_linewidth(0)
        self._agg.draw_path(self._pen, _closed_path(outline, holes), self._to_pixels, colour)

    def stroke(self, line: Points, colour: RGB, width: float) -> None:
        """Draw an open line; `width` is a fraction of the canvas."""
        self._pen.set_linewidth(width * self.size)
        self._pen.set_foreground((*colour, 1.0), isRGBA=True)
        self._agg.draw_path(self._pen, Path(line), self._to_pixels)

    def paint(self, part: Part, colour: RGB) -> None:
        """Fill a part, or stroke it if it is a wire."""
        if part.wire_width is None:
            self.fill(part.outline, colour, part.holes)
        else:
            self.stroke(part.outline, colour, part.wire_width)

    def pixels(self) -> np.ndarray:
        """The drawing as a (size, size, 4) uint8 array, not premultiplied."""
        return np.asarray(self._agg.buffer_rgba())


def label_map(layers: Sequence[tuple[Part, int]], size: int) -> np.ndarray:
    """A (size, size) uint8 array holding the label of the front-most part at every pixel, 0 where none is."""
    canvas = Canvas(size, antialiased=False)
    for part, label in layers:
        canvas.paint(part, (label / 255, 0.0, 0.0))
    pixels = canvas.pixels()
    return np.where(pixels[..., 3] > 0, pixels[..., 0], 0).astype(np.uint8)


def _closed_path(outline: Points, holes: Sequence[Points]) -> Path:
    rings = [_oriented(outline, 1), *(_oriented(hole, -1) for hole in holes)] if holes else [outline]
    vertices = np.concatenate([np.concatenate([ring, ring[:1]]) for ring in rings])
    codes = np.full(len(vertices), Path.LINETO, dtype=Path.code_type)
    start = 0
    for ring in rings:
        codes[start] = Path.MOVETO
        start += len(ring) + 1
        codes[start - 1] = Path.CLOSEPOLY
    return Path(vertices, codes)


def _oriented(ring: Points, sign: int) -> Points:
    x, y = ring.T
    area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
    return ring if area * sign > 0 else ring[::-1]
