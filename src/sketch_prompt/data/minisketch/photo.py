"""The photo renderer: a stylised colour picture of a shape, with light, texture, shadow and surroundings."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .canvas import RGB, Canvas, label_map
from .geometry import Part
from .surfaces import TEXTURES, background, material_colour, random_blob, textured
from .view import PHOTO_VIEWS, seen_from

_CLUTTER = 255


def render_photo(
    parts: list[Part], size: int, look: np.random.Generator, view: np.random.Generator
) -> Image.Image:
    """Photograph a shape.

    Args:
        parts: the shape in the unit square, back to front.
        size: pixels a side.
        look: generator of what belongs to the object (its colours and textures).
        view: generator of what belongs to this photo (camera, light, surroundings).
    """
    colours, textures = _dress(parts, look)
    scene = _Scene(parts, colours, view)
    labels = label_map(scene.layers, size)
    canvas = Canvas(size)
    for (part, _), colour in zip(scene.layers, scene.colours):
        canvas.paint(part, colour)
        ink = _ink(colour)
        for detail in part.details:
            canvas.stroke(detail, ink, scene.detail_width)
    layer = canvas.pixels().astype(np.float32) / 255
    backdrop = background(size, np.mean(colours, axis=0), view)
    backdrop *= _cast_shadow(labels, view)[..., None]
    shading = _shading(labels, view) + _texture(labels, textures, view)
    surface = layer[..., :3] * shading[..., None]
    return _develop(backdrop + (surface - backdrop) * layer[..., 3:], view)


def photo_label_map(parts: list[Part], labels: list[int], size: int, view: np.random.Generator) -> np.ndarray:
    """Which part each pixel of `render_photo` with the same `view` generator shows: (size, size) uint8."""
    scene = _Scene(parts, [(0.0, 0.0, 0.0)] * len(parts), view)
    behind = len(scene.layers) - len(parts) - scene.occluders
    numbers = [0] * behind + labels + [0] * scene.occluders
    return label_map([(part, number) for (part, _), number in zip(scene.layers, numbers)], size)


class _Scene:
    """The object as this camera sees it, among the things that happen to lie around."""

    def __init__(self, parts: list[Part], colours: list[RGB], rng: np.random.Generator):
        seen = seen_from(parts, PHOTO_VIEWS, rng)
        self.detail_width = rng.uniform(0.006, 0.014)
        distractors = _lying_around(rng, rng.integers(1, 4), overlap=False) if rng.random() < 0.3 else []
        occluders = _lying_around(rng, 1, overlap=True) if rng.random() < 0.2 else []
        self.occluders = len(occluders)
        shades = [material_colour("paint", rng, True) for _ in range(len(distractors) + len(occluders))]
        self.layers = [(blob, _CLUTTER) for blob in distractors]
        self.layers += [(part, index + 1) for index, part in enumerate(seen)]
        self.layers += [(blob, _CLUTTER) for blob in occluders]
        self.colours = shades[: len(distractors)] + list(colours) + shades[len(distractors) :]


def _lying_around(rng, count, overlap) -> list[Part]:
    blobs = []
    for _ in range(count):
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.42, 0.5) if overlap else rng.uniform(0.42, 0.6)
        centre = 0.5 + reach * np.array([np.cos(angle), np.sin(angle)])
        blobs.append(Part("clutter", random_blob(rng, centre, rng.uniform(0.06, 0.14))))
    return blobs


def _dress(parts, rng) -> tuple[list[RGB], list[tuple[str, float]]]:
    natural = rng.random() < 0.5
    wardrobe = {}
    for material in sorted({part.material for part in parts}):
        colour = material_colour(material, rng, natural)
        wardrobe[material] = (colour, (str(rng.choice(TEXTURES)), rng.uniform(0.03, 0.16)))
    return [wardrobe[p.material][0] for p in parts], [wardrobe[p.material][1] for p in parts]


def _ink(colour: RGB) -> RGB:
    bright = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return tuple(c * 0.55 for c in colour) if bright > 0.25 else tuple(c * 0.5 + 0.35 for c in colour)


def _shading(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from one side: a ramp over the object, rounded edges, and darkness where parts meet."""
    size = len(labels)
    angle = rng.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(angle), np.sin(angle)])
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + rng.uniform(0.0, 0.22) * (ramp[None, :] * towards[0] + ramp[:, None] * towards[1])
    edges = np.zeros((size, size), dtype=np.uint8)
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edges[1:, :] |= labels[1:, :] != labels[:-1, :]
    radius = rng.uniform(0.012, 0.035) * size
    near = Image.fromarray(edges * 255).filter(ImageFilter.BoxBlur(radius))
    height = 1 - np.minimum(np.asarray(near, dtype=np.float32) * (radius / 160), 1)
    slope = np.zeros_like(height)
    slope[:, 1:-1] -= (height[:, 2:] - height[:, :-2]) * towards[0]
    slope[1:-1, :] -= (height[2:, :] - height[:-2, :]) * towards[1]
    return light + rng.uniform(0.3, 1.0) * slope - rng.uniform(0.08, 0.25) * (1 - height)


def _texture(labels, textures, rng) -> np.ndarray:
    size = len(labels)
    total = np.zeros((size, size), dtype=np.float32)
    for name in TEXTURES[1:]:
        strength = np.zeros(256, dtype=np.float32)
        for index, (texture, amplitude) in enumerate(textures):
            strength[index + 1] = amplitude if texture == name else 0.0
        if strength.any():
            total += strength[labels] * textured(name, size, rng)
    return total


def _cast_shadow(labels, rng) -> np.ndarray:
    size = len(labels)
    blur = ImageFilter.BoxBlur(rng.uniform(0.015, 0.05) * size)
    soft = Image.fromarray((labels > 0).astype(np.uint8) * 255).filter(blur)
    shift = (rng.uniform(-0.06, 0.06, 2) * size).astype(int)
    shadow = np.roll(np.asarray(soft, dtype=np.float32) / 255, shift, axis=(0, 1))
    return 1 - rng.uniform(0.0, 0.55) * shadow


def _develop(picture: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Exposure, white balance, softness and sensor noise."""
    gain = rng.uniform(0.78, 1.15) * (1 + rng.uniform(-0.07, 0.07, 3))
    noise = rng.uniform(0, 0.03) * textured("grain", len(picture), rng)
    raw = np.clip((picture + noise[..., None]) * 255, 0, 255).astype(np.uint8)
    tone = np.linspace(0, 1, 256) ** rng.uniform(0.8, 1.25) * 255
    curves = np.minimum(tone * gain[:, None], 255).round().astype(int)
    image = Image.fromarray(raw).point(curves.ravel().tolist())
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8) * len(picture) / 128))
    return image
