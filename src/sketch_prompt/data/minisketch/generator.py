"""MiniSketch: any number of instances of 48 categories, each with any number of photos and sketches."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from .geometry import Part, fit_to_unit_square
from .parameters import Parameters
from .photo import photo_label_map, render_photo
from .shapes import SHAPE_PROGRAMS
from .sketch import render_sketch, sketch_label_map

# Spread over the kinds of things; each has a relative among the seen (bus: truck, pear: apple, axe: hammer).
UNSEEN_CLASSES = (
    "axe",
    "bus",
    "couch",
    "helicopter",
    "palm tree",
    "pear",
    "penguin",
    "rabbit",
    "spoon",
    "teapot",
    "whale",
    "windmill",
)
SEEN_CLASSES = tuple(sorted(set(SHAPE_PROGRAMS) - set(UNSEEN_CLASSES)))

_SHAPE, _LOOK, _PHOTO, _SKETCH = range(4)


class MiniSketch:
    """Draws photos and sketches of procedural objects; the same arguments always give the same picture.

    Args:
        image_size: pixels a side of every picture.
        seed: another seed gives other instances of the same categories.

    Example:
        >>> mini = MiniSketch()
        >>> photo, sketch = mini.photo("cup", instance=7), mini.sketch("cup", instance=7)
    """

    def __init__(self, image_size: int = 128, seed: int = 0):
        if image_size < 16:
            raise ValueError(f"image_size is {image_size}; MiniSketch draws pictures of 16 pixels or more.")
        self.image_size = image_size
        self.seed = seed

    def photo(self, category: str, instance: int, view: int = 0) -> Image.Image:
        """A colour photo of an instance; `view` numbers its photos."""
        return render_photo(
            self.shape(category, instance),
            self.image_size,
            look=self._rng(category, instance, _LOOK),
            view=self._rng(category, instance, _PHOTO, view),
        )

    def sketch(self, category: str, instance: int, drawing: int = 0) -> Image.Image:
        """A black-on-white drawing of an instance; `drawing` numbers its sketches, each by another hand."""
        rng = self._rng(category, instance, _SKETCH, drawing)
        return render_sketch(self.shape(category, instance), self.image_size, rng)

    def photo_parts(self, category: str, instance: int, view: int = 0) -> np.ndarray:
        """The part each pixel of the photo shows: (H, W) uint8, 0 = background, i = `part_names()[i - 1]`."""
        shape = self.shape(category, instance)
        rng = self._rng(category, instance, _PHOTO, view)
        return photo_label_map(shape, _labels(shape), self.image_size, rng)

    def sketch_parts(self, category: str, instance: int, drawing: int = 0) -> np.ndarray:
        """The part each pixel of the sketch lies in: (H, W) uint8, numbered as in `photo_parts`."""
        shape = self.shape(category, instance)
        rng = self._rng(category, instance, _SKETCH, drawing)
        return sketch_label_map(shape, _labels(shape), self.image_size, rng)

    def part_names(self, category: str, instance: int) -> tuple[str, ...]:
        """The names of an instance's parts, in the order in which part maps number them from 1."""
        return _names(self.shape(category, instance))

    def instance_parameters(self, category: str, instance: int) -> dict[str, float | int | bool]:
        """The named numbers that make this instance differ from the others of its category."""
        parameters = Parameters(self._rng(category, instance, _SHAPE))
        _program(category)(parameters)
        return parameters.values

    def shape(self, category: str, instance: int, overrides: Mapping[str, float] | None = None) -> list[Part]:
        """The instance's parts in the unit square, back to front, with some parameters overridden."""
        parameters = Parameters(self._rng(category, instance, _SHAPE), overrides)
        return fit_to_unit_square(_program(category)(parameters))

    def _rng(self, category: str, instance: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(category.encode()), instance, *stream])


def _program(category: str):
    if category not in SHAPE_PROGRAMS:
        known = ", ".join(sorted(SHAPE_PROGRAMS))
        raise ValueError(f"MiniSketch has no category {category!r}; it has: {known}.")
    return SHAPE_PROGRAMS[category]


def _names(parts: list[Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for part in parts))


def _labels(parts: list[Part]) -> list[int]:
    number = {name: index + 1 for index, name in enumerate(_names(parts))}
    return [number[part.name] for part in parts]
