"""Where a camera or a drawer stands: a mild homography of the unit square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Part, Points, mapped_parts


@dataclass(frozen=True)
class ViewRange:
    """How far a view may stray from the front view.

    Attributes:
        rotation: degrees, either way.
        scale: smallest and largest size.
        aspect: largest stretch of width against height (0.1 = 10 %).
        shear: largest slant.
        perspective: largest foreshortening.
        flip: probability of a mirror image.
    """

    rotation: float
    scale: tuple[float, float]
    aspect: float
    shear: float
    perspective: float
    flip: float


PHOTO_VIEWS = ViewRange(rotation=14, scale=(0.85, 1.2), aspect=0.1, shear=0.1, perspective=0.16, flip=0.5)
SKETCH_VIEWS = ViewRange(rotation=10, scale=(0.9, 1.15), aspect=0.14, shear=0.08, perspective=0.0, flip=0.25)


def seen_from(
    parts: list[Part], views: ViewRange, rng: np.random.Generator, frame: float = 0.02
) -> list[Part]:
    """The shape under a random view, moved and shrunk as needed to stay `frame` inside the unit square."""
    rotation, aspect, shear, tip_x, tip_y = rng.uniform(-1, 1, 5)
    scale = rng.uniform(*views.scale)
    angle = np.radians(rotation * views.rotation)
    stretch = 1 + aspect * views.aspect / 2
    mirror = -1 if rng.random() < views.flip else 1
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, -s], [s, c]]) @ np.array([[1, shear * views.shear], [0, 1]])
    matrix = scale * matrix @ np.diag([mirror * stretch, 1 / stretch])
    vanishing = np.array([tip_x, tip_y]) * views.perspective
    drift = rng.uniform(-1, 1, 2)

    def project(points: Points) -> Points:
        centred = points - 0.5
        return centred @ matrix.T / (1 + centred @ vanishing)[:, None]

    outlines = project(np.concatenate([part.outline for part in parts]))
    low, high = outlines.min(axis=0), outlines.max(axis=0)
    shrink = min(1.0, (1 - 2 * frame) / max(high - low))
    slack = np.maximum(0.5 - frame - (high - low) * shrink / 2, 0)
    offset = 0.5 - (low + high) / 2 * shrink + drift * slack * 0.7
    return mapped_parts(parts, lambda points: project(points) * shrink + offset, scale * shrink)
