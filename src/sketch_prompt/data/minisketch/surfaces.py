"""What things are made of: colours, textures and backgrounds of the photo renderer."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .canvas import RGB, Canvas
from .geometry import ellipse, polygon, turned

# Colour role -> ranges of hue, saturation and value that look natural. Half of all objects ignore them, so
# that colour alone never tells the class.
MATERIALS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "paint": ((0.0, 1.0), (0.35, 0.95), (0.40, 0.95)),
    "trim": ((0.0, 1.0), (0.30, 0.95), (0.45, 0.98)),
    "cloth": ((0.0, 1.0), (0.20, 0.80), (0.40, 0.95)),
    "light": ((0.0, 1.0), (0.00, 0.15), (0.85, 1.00)),
    "dark": ((0.0, 1.0), (0.00, 0.40), (0.08, 0.28)),
    "metal": ((0.5, 0.7), (0.00, 0.14), (0.45, 0.80)),
    "glass": ((0.48, 0.62), (0.10, 0.45), (0.60, 0.95)),
    "wood": ((0.05, 0.11), (0.35, 0.70), (0.30, 0.70)),
    "clay": ((0.0, 0.06), (0.40, 0.75), (0.45, 0.80)),
    "sand": ((0.08, 0.13), (0.25, 0.50), (0.60, 0.85)),
    "leaf": ((0.20, 0.42), (0.35, 0.85), (0.30, 0.70)),
    "fruit": ((0.0, 0.22), (0.60, 0.95), (0.60, 0.95)),
    "fur": ((0.03, 0.12), (0.10, 0.60), (0.25, 0.95)),
    "skin": ((0.05, 0.35), (0.20, 0.60), (0.40, 0.80)),
}
_KEEPS_TONE = {"light", "dark"}

TEXTURES = ("plain", "grain", "mottle", "stripes", "wood", "dots", "weave")


def material_colour(material: str, rng: np.random.Generator, natural: bool) -> RGB:
    """A colour for a material, as floats in [0, 1]; any bright colour where `natural` is False."""
    ranges = MATERIALS[material if natural or material in _KEEPS_TONE else "paint"]
    return colorsys.hsv_to_rgb(*(rng.uniform(low, high) for low, high in ranges))


@lru_cache(maxsize=4)
def texture_bank(size: int) -> dict[str, np.ndarray]:
    """Zero-mean textures twice as large as an image, as float32 arrays of about unit amplitude."""
    rng = np.random.default_rng(0)
    side = 2 * size
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / size
    coarse, fine = _clouds(rng, side, 6), _clouds(rng, side, 24)
    bank = {
        "grain": rng.standard_normal((side, side)),
        "mottle": fine,
        "clouds": coarse,
        "stripes": np.sign(np.sin(2 * np.pi * 9 * x + 0.6 * coarse)) * 0.8,
        "wood": np.sin(2 * np.pi * (5 * x + 0.8 * coarse + 0.2 * fine)),
        "dots": np.where(np.sin(2 * np.pi * 8 * x) * np.sin(2 * np.pi * 8 * y) > 0.55, 1.2, -0.3),
        "weave": np.sin(2 * np.pi * 20 * x) * np.sin(2 * np.pi * 20 * y),
    }
    return {name: array.astype(np.float32) for name, array in bank.items()}


def textured(name: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """A (size, size) random crop of a texture, in one of its eight orientations."""
    array = texture_bank(size)[name]
    top, left = rng.integers(0, size, 2)
    crop = array[top : top + size, left : left + size]
    if rng.random() < 0.5:
        crop = crop.T
    return crop[::-1] if rng.random() < 0.5 else crop


def background(size: int, away_from: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A (size, size, 3) float32 background whose first colour differs from the object's mean colour."""
    base, second = _background_colours(away_from, rng)
    kind = rng.choice(["gradient", "horizon", "clouds", "clutter", "pattern"])
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    if kind == "horizon":
        level, softness = rng.uniform(0.45, 0.85), rng.uniform(0.01, 0.06)
        weight = np.broadcast_to((1 / (1 + np.exp(-(ramp - level) / softness)))[:, None], (size, size))
    elif kind == "clouds":
        weight = np.clip(0.5 + 0.35 * textured("clouds", size, rng), 0, 1)
    elif kind == "pattern":
        name = rng.choice(["stripes", "wood", "dots", "weave", "mottle"])
        weight = 0.25 + rng.uniform(0.08, 0.22) * textured(name, size, rng)
    else:
        a, b = rng.uniform(-1, 1, 2)
        weight = np.clip(0.5 + a * (ramp[:, None] - 0.5) + b * (ramp[None, :] - 0.5), 0, 1)
    picture = base + weight[..., None] * (second - base)
    if kind == "clutter":
        picture = _cluttered(picture, size, rng)
    grain = rng.uniform(0, 0.06) * textured(rng.choice(["grain", "mottle", "clouds"]), size, rng)
    return (picture + grain[..., None]).astype(np.float32)


def _background_colours(away_from, rng):
    candidates = np.array([material_colour("paint", rng, True) for _ in range(5)])
    pale = rng.uniform(0.0, 0.85, (5, 1))
    tone = rng.uniform(0.15, 1.0, (5, 1))
    candidates = candidates * (1 - pale) + tone * pale
    order = np.argsort(-np.abs(candidates - away_from).sum(axis=1))
    base, second = candidates[order[0]], candidates[order[1]]
    return base, base + (second - base) * rng.uniform(0.15, 0.7)


def _cluttered(picture, size, rng):
    small = max(size // 2, 16)
    canvas = Canvas(small)
    mean = picture.mean(axis=(0, 1))
    for _ in range(rng.integers(4, 11)):
        colour = np.clip(mean + rng.uniform(-0.35, 0.35, 3), 0, 1)
        canvas.fill(random_blob(rng, rng.uniform(0, 1, 2), rng.uniform(0.06, 0.25)), tuple(colour))
    soft = Image.fromarray(canvas.pixels()).resize((size, size), Image.Resampling.BILINEAR)
    layer = (
        np.asarray(soft.filter(ImageFilter.GaussianBlur(rng.uniform(0.01, 0.04) * size)), dtype=np.float32)
        / 255
    )
    return picture + (layer[..., :3] - picture) * layer[..., 3:]


def random_blob(rng: np.random.Generator, centre: np.ndarray, size: float) -> np.ndarray:
    """A stone, ball, leaf or box: the outline of something that is not the subject."""
    kind, angle = rng.integers(3), rng.uniform(0, 180)
    if kind == 0:
        return ellipse(*centre, size, size * rng.uniform(0.4, 1.0), angle)
    corners = rng.integers(3, 6)
    angles = (
        np.sort(rng.uniform(0, 2 * np.pi, corners))
        if kind == 1
        else np.linspace(0, 2 * np.pi, corners + 1)[:-1]
    )
    points = centre + size * np.stack([np.cos(angles), rng.uniform(0.5, 1) * np.sin(angles)], axis=1)
    return turned(polygon(*points, radius=size * rng.uniform(0.05, 0.5)), angle, centre)


def _clouds(rng, side, cells):
    noise = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC))
