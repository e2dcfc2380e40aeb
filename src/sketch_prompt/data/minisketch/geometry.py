"""Outlines of drawn things: curves, polygons and tubes as dense polylines, and the parts made of them.

Coordinates are (x, y) with y pointing down, in any unit; `fit_to_unit_square` brings a finished shape into
the unit square. Every curve is an (N, 2) float array whose points lie close enough together to be bent by a
sketcher's wobble or a camera's perspective.

`line`, `polygon` and `spline` take their points in units of `scale` (one number, or one a direction), counted
from `at`; both may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Points = np.ndarray
Scale = float | tuple[float, float]

_EDGE_STEP = 0.035
_T = np.linspace(0, 1, 6)[:, None]


@dataclass(frozen=True)
class Part:
    """One named part of an object; a shape is a list of parts ordered from back to front.

    Attributes:
        name: what a person calls the part ("handle"); several pieces may share a name.
        outline: (N, 2) points, closed unless `wire_width` is set.
        material: colour role, a key of `surfaces.MATERIALS`.
        holes: closed outlines cut out of the part.
        details: open lines drawn on top of the part (ribs, gills, a smile).
        drawn: whether a sketch draws the part's outline.
        wire_width: if set, the part is an open line of this width (a whisker, a rope).
    """

    name: str
    outline: Points
    material: str = "paint"
    holes: tuple[Points, ...] = ()
    details: tuple[Points, ...] = ()
    drawn: bool = True
    wire_width: float | None = None

    def mapped(self, function: Callable[[Points], Points]) -> Part:
        """The part with `function` applied to all its points."""
        return mapped_parts([self], function)[0]


def mapped_parts(
    parts: Sequence[Part], function: Callable[[Points], Points], scale: float = 1.0
) -> list[Part]:
    """The parts with `function`, (N, 2) -> (N, 2), applied to all their points at once.

    `scale` is how much the function enlarges things, for the widths of wires.
    """
    arrays = [array for part in parts for array in (part.outline, *part.holes, *part.details)]
    bounds = np.cumsum([0, *map(len, arrays)])
    points = function(np.concatenate(arrays))
    pieces = iter([points[a:b] for a, b in pairwise(bounds)])
    return [
        Part(
            part.name,
            next(pieces),
            part.material,
            tuple(next(pieces) for _ in part.holes),
            tuple(next(pieces) for _ in part.details),
            part.drawn,
            None if part.wire_width is None else part.wire_width * scale,
        )
        for part in parts
    ]


def wire(name: str, path: Points, width: float = 0.02, material: str = "dark") -> Part:
    """An open line with a thickness, such as a whisker, a rope or a spoke."""
    return Part(name, path, material, wire_width=width)


def line(*points: Sequence[float], scale: Scale = 1.0, at: Sequence[float] = (0.0, 0.0)) -> Points:
    """An open polyline through `points` with straight, densely sampled segments."""
    return _densified(_placed(points, scale, at))


def polygon(
    *points: Sequence[float], radius: float = 0.0, scale: Scale = 1.0, at: Sequence[float] = (0.0, 0.0)
) -> Points:
    """A closed polygon whose corners are rounded by at most `radius`."""
    corners = _placed(points, scale, at)
    if radius > 0:
        before, after = (np.roll(corners, shift, axis=0) - corners for shift in (1, -1))
        start, stop = ((corners + _shortened(edge, radius))[:, None] for edge in (before, after))
        middle = corners[:, None]
        corners = ((1 - _T) ** 2 * start + 2 * _T * (1 - _T) * middle + _T**2 * stop).reshape(-1, 2)
    return _densified(np.concatenate([corners, corners[:1]]))[:-1]


def box(cx: float, cy: float, width: float, height: float, radius: float = 0.0) -> Points:
    """An upright rectangle around (cx, cy) with rounded corners."""
    x, y = width / 2, height / 2
    return polygon((cx - x, cy - y), (cx + x, cy - y), (cx + x, cy + y), (cx - x, cy + y), radius=radius)


def trapezium(top: float, top_y: float, bottom: float, bottom_y: float, radius: float = 0.0) -> Points:
    """A quadrilateral symmetric about x = 0, `top` and `bottom` being half its widths there."""
    return polygon((-top, top_y), (top, top_y), (bottom, bottom_y), (-bottom, bottom_y), radius=radius)


def panel(first: Sequence[float], second: Sequence[float], radius: float = 0.0) -> Points:
    """A quadrilateral with two level edges, each given as (y, left, right): a wing, a fin, a pane."""
    (y0, left0, right0), (y1, left1, right1) = first, second
    return polygon((left0, y0), (left1, y1), (right1, y1), (right0, y0), radius=radius)


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, angle: float = 0.0) -> Points:
    """A closed ellipse around (cx, cy), turned by `angle` degrees."""
    outline = arc(cx, cy, rx, ry, 0, 360)[:-1]
    return turned(outline, angle, (cx, cy)) if angle else outline


def arc(cx: float, cy: float, rx: float, ry: float | None, start: float, stop: float) -> Points:
    """An open elliptic arc from `start` to `stop` degrees (0 = right, 90 = down)."""
    ry = rx if ry is None else ry
    count = max(6, int(abs(stop - start) / 360 * (28 if max(rx, ry) > 0.06 else 14)))
    angles = np.radians(np.linspace(start, stop, count + 1))
    return np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)


def spline(
    *points: Sequence[float],
    closed: bool = False,
    samples: int = 7,
    scale: Scale = 1.0,
    at: Sequence[float] = (0.0, 0.0),
) -> Points:
    """A smooth (Catmull-Rom) curve through `points`."""
    knots = _placed(points, scale, at)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.arange(samples) / samples
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    curve = (basis @ windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def mirrored(*profile: Sequence[float], scale: Scale = 1.0) -> Points:
    """A smooth closed outline symmetric about x = 0 from its right half, listed from top to bottom."""
    right = spline(*profile, scale=scale)
    return np.concatenate([right, flipped(right)[::-1]])


def left_right(*half: Sequence[float]) -> list[Sequence[float]]:
    """The points of `half` and their mirror images about x = 0 in reverse order; those on the axis once."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]


def top_bottom(*half: Sequence[float]) -> list[Sequence[float]]:
    """The points of `half` and their mirror images about y = 0 in reverse order; those on the axis once."""
    return [*half, *((x, -y) for x, y in reversed(half) if y)]


def tube(path: Points, *widths: float) -> Points:
    """The closed outline of a band along `path` whose width runs evenly through `widths`."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    position = np.concatenate([[0.0], np.cumsum(steps)])
    width = (
        np.interp(position / position[-1], np.linspace(0, 1, len(widths)), widths)
        if widths[1:]
        else widths[0]
    )
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal *= (0.5 * np.broadcast_to(width, len(path)) / np.maximum(np.linalg.norm(normal, axis=1), 1e-9))[
        :, None
    ]
    return np.concatenate([path + normal, (path - normal)[::-1]])


def turned(points: Points, degrees: float, about: Sequence[float] = (0.0, 0.0)) -> Points:
    """`points` turned clockwise by `degrees` about a centre."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - about) @ np.array([[c, s], [-s, c]]) + about


def moved(points: Points, dx: float, dy: float) -> Points:
    """`points` moved by (dx, dy)."""
    return points + np.array([dx, dy])


def flipped(points: Points, x: float = 0.0) -> Points:
    """`points` mirrored left to right about the vertical at `x`."""
    return points * (-1.0, 1.0) + (2 * x, 0.0)


def turned_parts(parts: list[Part], degrees: float) -> list[Part]:
    """The whole shape turned clockwise about the origin."""
    return mapped_parts(parts, lambda points: turned(points, degrees))


def fit_to_unit_square(parts: list[Part], margin: float = 0.08) -> list[Part]:
    """The shape centred in the unit square, its longer side filling all but `margin` on either hand."""
    points = np.concatenate([part.outline for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (1 - 2 * margin) / max(high - low)
    centre = (low + high) / 2

    return mapped_parts(parts, lambda array: (array - centre) * scale + 0.5, scale)


def _placed(points: Sequence[Sequence[float]], scale: Scale, at: Sequence[float]) -> Points:
    return np.asarray(points, dtype=float) * scale + at


def _densified(points: Points) -> Points:
    steps = np.diff(points, axis=0)
    counts = np.maximum(1, (np.hypot(*steps.T) / _EDGE_STEP).astype(int))
    index = np.repeat(np.arange(len(steps)), counts)
    rank = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    dense = points[index] + steps[index] * (rank / counts[index])[:, None]
    return np.concatenate([dense, points[-1:]])


def _shortened(vectors: Points, length: float) -> Points:
    sizes = np.maximum(np.hypot(*vectors.T), 1e-9)
    return vectors * (np.minimum(length, sizes / 2) / sizes)[:, None]
