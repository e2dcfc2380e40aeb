"""The sketch renderer: the outlines of a shape as one of many unsteady hands would draw them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Canvas, label_map
from .geometry import Part, Points, spline
from .view import SKETCH_VIEWS, seen_from

_WHITE = (1.0, 1.0, 1.0)
_CORNER = np.cos(np.radians(48))


@dataclass(frozen=True)
class Hand:
    """How one drawer draws; lengths are fractions of the picture.

    Attributes:
        width: stroke width.
        ink: darkness of the pen, 0 black to 1 white.
        tremor: amplitude of the wobble along a stroke.
        warp: amplitude of errors of proportion over the whole drawing.
        overshoot: how far strokes run past, or stop short of, their ends.
        abstraction: share of details left out.
        looseness: points skipped when following a curve; 1 follows it exactly.
        gaps: probability that a stroke breaks off in the middle.
        strokes: times each line is gone over.
    """

    width: float
    ink: float
    tremor: float
    warp: float
    overshoot: float
    abstraction: float
    looseness: int
    gaps: float
    strokes: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Hand:
        """A drawer met by chance."""
        return cls(
            width=rng.uniform(0.008, 0.02),
            ink=rng.uniform(0.0, 0.3),
            tremor=rng.uniform(0.001, 0.006),
            warp=rng.uniform(0.0, 0.018),
            overshoot=rng.uniform(0.0, 0.025),
            abstraction=rng.uniform(0.0, 0.8),
            looseness=int(rng.integers(1, 4)),
            gaps=rng.uniform(0.0, 0.3),
            strokes=2 if rng.random() < 0.25 else 1,
        )


def render_sketch(parts: list[Part], size: int, rng: np.random.Generator) -> Image.Image:
    """Draw a shape's visible outlines in dark strokes on white.

    Args:
        parts: the shape in the unit square, back to front.
        size: pixels a side.
        rng: generator of the drawer and of this drawing.
    """
    hand, drawn = _drawing(parts, rng)
    canvas = Canvas(size)
    for part, _ in drawn:
        if not part.drawn:
            continue
        if part.wire_width is None:
            canvas.fill(part.outline, _WHITE, part.holes)
            lines = [stroke for ring in (part.outline, *part.holes) for stroke in _strokes(ring)]
        else:
            lines = [part.outline]
        for stroke in [*lines, *part.details]:
            _draw(canvas, stroke, hand, rng)
    pixels = canvas.pixels()
    paper = np.where(pixels[..., 3:] > 0, 255 - (255 - pixels[..., :3].astype(np.uint16)) * pixels[..., 3:] // 255, 255)
    return Image.fromarray(paper.astype(np.uint8))


def sketch_label_map(parts: list[Part], labels: list[int], size: int, rng: np.random.Generator) -> np.ndarray:
    """Which part each pixel of `render_sketch` with the same generator lies in: (size, size) uint8."""
    _, drawn = _drawing(parts, rng)
    return label_map([(part, labels[index]) for part, index in drawn], size)


def _drawing(parts: list[Part], rng: np.random.Generator) -> tuple[Hand, list[tuple[Part, int]]]:
    """The drawer, and what they mean to draw: the parts they keep, out of proportion, with their indices."""
    hand = Hand.random(rng)
    seen = seen_from(parts, SKETCH_VIEWS, rng)
    frequency = rng.uniform(0.6, 1.6, 2)
    phase = rng.uniform(0, 2 * np.pi, 2)

    def warp(points: Points) -> Points:
        return points + hand.warp * np.sin(2 * np.pi * frequency * points[:, ::-1] + phase)

    kept = []
    for index, part in enumerate(seen):
        extent = np.ptp(part.outline, axis=0).max()
        small = extent < 0.1
        if rng.random() < hand.abstraction * (0.5 if small else 0.0):
            continue
        details = tuple(d for d in part.details if rng.random() > hand.abstraction)
        bent = part.mapped(warp)
        kept.append((Part(**{**vars(bent), "details": tuple(map(warp, details))}), index))
    return hand, kept


def _strokes(ring: Points) -> list[Points]:
    """A closed outline cut into strokes at its corners."""
    ahead = np.roll(ring, -1, axis=0) - ring
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    turns = np.sum(ahead * np.roll(ahead, 1, axis=0), axis=1)
    corners = np.flatnonzero(turns < _CORNER)
    if len(corners) == 0:
        return [np.concatenate([ring, ring[:1]])]
    rolled = np.roll(ring, -corners[0], axis=0)
    rolled = np.concatenate([rolled, rolled[:1]])
    ends = [*(corners - corners[0]), len(ring)]
    return [rolled[a : b + 1] for a, b in zip(ends[:-1], ends[1:]) if b > a]


def _draw(canvas: Canvas, stroke: Points, hand: Hand, rng: np.random.Generator) -> None:
    steps = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    length = steps.sum()
    if length < 1e-6:
        return
    loose = hand.looseness if len(stroke) > 3 * hand.looseness else 1
    if loose > 1:
        knots = stroke[np.unique([*range(0, len(stroke), loose), len(stroke) - 1])]
        stroke = spline(*knots, samples=loose + 1)
    for _ in range(hand.strokes):
        line = _unsteady(_overrun(stroke, length, hand, rng), hand.tremor, rng)
        grey = hand.ink * rng.uniform(0.6, 1.0)
        width = hand.width * rng.uniform(0.85, 1.15)
        pieces = [line]
        if length > 0.25 and rng.random() < hand.gaps:
            cut = int(len(line) * rng.uniform(0.2, 0.8))
            pause = max(1, int(len(line) * rng.uniform(0.02, 0.06)))
            pieces = [line[:cut], line[cut + pause :]]
        for piece in pieces:
            if len(piece) > 1:
                canvas.stroke(piece, (grey, grey, grey), width)


def _overrun(stroke: Points, length: float, hand: Hand, rng: np.random.Generator) -> Points:
    """The stroke with its two ends run past or stopped short."""
    before, after = np.clip(rng.uniform(-0.6, 1.0, 2) * hand.overshoot, -length * 0.1, length * 0.2)
    first = stroke[0] - stroke[min(2, len(stroke) - 1)]
    last = stroke[-1] - stroke[-min(3, len(stroke))]
    line = stroke.copy()
    line[0] += first / max(np.hypot(*first), 1e-9) * before
    line[-1] += last / max(np.hypot(*last), 1e-9) * after
    return line


def _unsteady(line: Points, amplitude: float, rng: np.random.Generator) -> Points:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    distance = np.concatenate([[0.0], np.cumsum(steps)])[:, None]
    frequency = rng.uniform((0.8, 2.0, 5.0), (2.0, 5.0, 10.0))
    phase = rng.uniform(0, 2 * np.pi, (2, 3))
    weight = np.array([1.0, 0.7, 0.35]) * amplitude
    waves = [np.sin(2 * np.pi * distance * frequency + phase[axis]) @ weight for axis in (0, 1)]
    return line + np.stack(waves, axis=1) + rng.normal(0, amplitude * 0.5, 2)
