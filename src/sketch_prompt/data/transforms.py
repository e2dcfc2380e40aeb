"""Augmentation of training images. A sketch and its photo are changed together."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from sketch_prompt.imaging import to_rgb

_PAPER = (255, 255, 255)
Negative = Literal["moved", "still"]
Resampling = Literal["bilinear", "nearest"]
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}


@dataclass(frozen=True)
class Movement:
    """A random flip, rotation in degrees and crop. The crop is in shares of the width and height."""

    flip: bool = False
    angle: float = 0.0
    kept: tuple[float, float] = (1.0, 1.0)
    corner: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Coins:
    """The random choices for a triplet.

    Attributes:
        pair: Movement of the sketch and its photo.
        negative: Movement of the negative photo.
        grey_photo, grey_negative: Whether the photo, or the negative, becomes grey.
    """

    pair: Movement = Movement()
    negative: Movement = Movement()
    grey_photo: bool = False
    grey_negative: bool = False


@dataclass(frozen=True)
class PairAugmentation:
    """Random flip, rotation and crop, the same for a sketch and its photo, and random greyscale of photos.

    A sketch and its photo stay aligned, which fine-grained matching needs. The default changes nothing. The published
    code of DP-CLIP is `PairAugmentation(flip=0.5, rotation=30, rotation_probability=0.5, greyscale=0.5,
    greyscale_jointly=True, negative="still", square=224, resampling="nearest")`.

    Attributes:
        flip: Probability of a horizontal flip.
        rotation: Maximum angle in degrees, in both directions. Uncovered corners become white.
        rotation_probability: Probability of a rotation.
        crop: Minimum share of the width and height to keep, from 1 (no crop) down to above 0.
        greyscale: Probability that a photo becomes grey.
        greyscale_jointly: Decide once for the photo and the negative, so that colour cannot distinguish them.
            Otherwise decide for each.
        negative: `"moved"` moves the negative photo too, by its own random choices. `"still"` does not move it.
        square: Side in pixels of a square to fit images into first, with black borders. None leaves them as they are.
        resampling: Resampling of rotations.

    Raises:
        ValueError: A value is out of range.
    """

    flip: float = 0.0
    rotation: float = 0.0
    rotation_probability: float = 1.0
    crop: float = 1.0
    greyscale: float = 0.0
    greyscale_jointly: bool = False
    negative: Negative = "moved"
    square: int | None = None
    resampling: Resampling = "bilinear"

    def __post_init__(self):
        for name in ("flip", "rotation_probability", "greyscale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability from 0 to 1, not {getattr(self, name)}")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation must be from 0 to 180 degrees, not {self.rotation}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop}")
        if self.square is not None and self.square < 1:
            raise ValueError(f"square must be at least 1 pixel or None, not {self.square}")
        for name, choices in (("negative", get_args(Negative)), ("resampling", get_args(Resampling))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")

    def __call__(
        self, sketch: Image.Image, photo: Image.Image, negative: Image.Image, rng: np.random.Generator
    ) -> tuple[Image.Image, Image.Image, Image.Image]:
        """Change the three images by random choices of `rng`. Returns upright RGB images."""
        return self.apply(sketch, photo, negative, self.draw(rng))

    def draw(self, rng: np.random.Generator) -> Coins:
        """Make the random choices for a triplet."""
        pair, other = self._draw_movement(rng), self._draw_movement(rng)
        grey_photo, grey_negative = (rng.random(2) < self.greyscale).tolist()
        return Coins(
            pair,
            other if self.negative == "moved" else Movement(),
            grey_photo,
            grey_photo if self.greyscale_jointly else grey_negative,
        )

    def apply(
        self, sketch: Image.Image, photo: Image.Image, negative: Image.Image, coins: Coins
    ) -> tuple[Image.Image, Image.Image, Image.Image]:
        """Change the three images as `coins` says. Returns upright RGB images."""
        return (
            self._move(sketch, coins.pair),
            _greyscale(self._move(photo, coins.pair), coins.grey_photo),
            _greyscale(self._move(negative, coins.negative), coins.grey_negative),
        )

    def _draw_movement(self, rng: np.random.Generator) -> Movement:
        kept = rng.uniform(self.crop, 1, size=2)
        flip, angle = bool(rng.random() < self.flip), rng.uniform(-self.rotation, self.rotation)
        corner = rng.uniform(0, 1 - kept)
        # Random numbers are drawn only if needed, so that a seed gives the same triplets with and without this option.
        turned = self.rotation_probability == 1 or rng.random() < self.rotation_probability
        return Movement(flip, angle if turned else 0.0, tuple(kept), tuple(corner))

    def _move(self, image: Image.Image, movement: Movement) -> Image.Image:
        image = to_rgb(image)
        if self.square is not None:
            image = ImageOps.pad(image, (self.square, self.square))
        if movement.flip:
            image = ImageOps.mirror(image)
        if movement.angle:
            image = image.rotate(movement.angle, _RESAMPLING[self.resampling], fillcolor=_PAPER)
        if movement.kept != (1.0, 1.0):
            left, top = (int(share * side) for share, side in zip(movement.corner, image.size))
            width, height = (max(int(share * side), 1) for share, side in zip(movement.kept, image.size))
            image = image.crop((left, top, left + width, top + height))
        return image


def _greyscale(image: Image.Image, wanted: bool) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB") if wanted else image
