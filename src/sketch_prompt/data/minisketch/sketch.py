"""The sketch renderer: the outlines of a shape as one of many unsteady hands would draw them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image

from .canvas import Canvas, label_map
from .geometry import Part, Points, mapped_parts, spline
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
    paper = np.where(
        pixels[..., 3:] > 0, 255 - (255 - pixels[..., :3].astype(np.uint16)) * pixels[..., 3:] // 255, 255
    )
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

    kept, indices = [], []
    for index, part in enumerate(seen):
        if np.ptp(part.outline, axis=0).max() < 0.1 and rng.random() < hand.abstraction * 0.5:
            continue
        details = tuple(line for line in part.details if rng.random() > hand.abstraction)
        kept.append(replace(part, details=details))
        indices.append(index)
    return hand, list(zip(mapped_parts(kept, warp), indices))


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
    return [rolled[a : b + 1] for a, b in pairwise(ends) if b > a]


def _draw(canvas: Canvas, stroke: Points, hand: Hand, rng: np.random.Generator) -> None:
    if hand.looseness > 1 and len(stroke) > 3 * hand.looseness:
        knots = np.concatenate([stroke[: -1 : hand.looseness], stroke[-1:]])
        stroke = spline(*knots, samples=hand.looseness + 1)
    steps = stroke[1:] - stroke[:-1]
    distance = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    length = distance[-1]
    if length < 1e-6:
        return
    for _ in range(hand.strokes):
        chance = rng.random(9)
        line = stroke + hand.tremor * (_tremor(distance, chance[:3]) + chance[3:5] - 0.5)
        run = np.clip((chance[5:7] * 1.6 - 0.6) * hand.overshoot, -length * 0.1, length * 0.2)
        line[0] -= steps[0] / max(np.hypot(*steps[0]), 1e-9) * run[0]
        line[-1] += steps[-1] / max(np.hypot(*steps[-1]), 1e-9) * run[1]
        grey = hand.ink * (0.6 + 0.4 * chance[7])
        width = hand.width * (0.85 + 0.3 * chance[8])
        for piece in _broken_off(line, hand, rng) if length > 0.25 else [line]:
            canvas.stroke(piece, (grey, grey, grey), width)


def _broken_off(line: Points, hand: Hand, rng: np.random.Generator) -> list[Points]:
    where, pause, happens = rng.random(3)
    if happens >= hand.gaps:
        return [line]
    cut = int(len(line) * (0.2 + 0.6 * where))
    pieces = [line[:cut], line[cut + 1 + int(len(line) * 0.05 * pause) :]]
    return [piece for piece in pieces if len(piece) > 1]


def _tremor(distance: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(N, 2) unit-amplitude displacement along a stroke, from one of a few recorded unsteady hands."""
    records = _tremor_records()
    start = int(chance[0] * 500)
    at = start + (distance * (200 + 200 * chance[1])).astype(int)
    return records[int(chance[2] * len(records)), at % records.shape[1]]


@lru_cache(maxsize=1)
def _tremor_records() -> np.ndarray:
    """(32, 1000, 2): sums of waves with one to ten periods per picture width, 300 samples long."""
    rng = np.random.default_rng(0)
    periods = np.concatenate(
        [rng.integers(3, 7, (32, 2, 1)), rng.integers(7, 16, (32, 2, 1)), rng.integers(16, 34, (32, 2, 1))],
        axis=2,
    )
    phase = rng.uniform(0, 2 * np.pi, periods.shape)
    time = np.arange(1000) / 1000
    waves = np.sin(2 * np.pi * periods[..., None] * time + phase[..., None])
    return np.einsum("rakt,k->rta", waves, [1.0, 0.7, 0.35])
