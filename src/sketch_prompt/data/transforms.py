"""Training-time augmentation of PIL images, drawn jointly for a sketch and its photo."""

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
    """One drawn flip, rotation in degrees and crop, the crop as shares of width and height."""

    flip: bool = False
    angle: float = 0.0
    kept: tuple[float, float] = (1.0, 1.0)
    corner: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Coins:
    """What was drawn for a triplet.

    Attributes:
        pair: How the sketch and its photo move.
        negative: How the negative photo moves.
        grey_photo, grey_negative: Whether they lose their colours.
    """

    pair: Movement = Movement()
    negative: Movement = Movement()
    grey_photo: bool = False
    grey_negative: bool = False


@dataclass(frozen=True)
class PairAugmentation:
    """Random flip, rotation and crop, the same for sketch and photo; random greyscale of photos.

    A sketch and its photo stay aligned, as fine-grained matching needs. The default changes nothing. DP-CLIP's
    published code is `PairAugmentation(flip=0.5, rotation=30, rotation_probability=0.5, greyscale=0.5,
    greyscale_jointly=True, negative="still", square=224, resampling="nearest")`.

    Attributes:
        flip: probability of a horizontal flip.
        rotation: greatest angle in degrees, either way; uncovered corners become white.
        rotation_probability: of a rotation at all.
        crop: least share of the width and height that is kept, from 1 (no crop) down to above 0.
        greyscale: probability that a photo loses its colours.
        greyscale_jointly: one coin for the photo and the negative, so that colour does not tell them apart; otherwise
            one for each.
        negative: the negative photo is `"moved"` by a draw of its own, or stays `"still"`.
        square: side in pixels of the square that pictures are fitted into first, with black borders; None leaves them
            as they are.
        resampling: of rotations.

    Raises:
        ValueError: if a value is out of range.
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
                raise ValueError(f"{name} is a probability, not {getattr(self, name)}")
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
        """The three images as upright RGB, changed as `rng` has it."""
        return self.apply(sketch, photo, negative, self.draw(rng))

    def draw(self, rng: np.random.Generator) -> Coins:
        """What is to happen to a triplet."""
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
        """The three images as upright RGB, changed as `coins` has it."""
        return (
            self._move(sketch, coins.pair),
            _greyscale(self._move(photo, coins.pair), coins.grey_photo),
            _greyscale(self._move(negative, coins.negative), coins.grey_negative),
        )

    def _draw_movement(self, rng: np.random.Generator) -> Movement:
        kept = rng.uniform(self.crop, 1, size=2)
        flip, angle = bool(rng.random() < self.flip), rng.uniform(-self.rotation, self.rotation)
        corner = rng.uniform(0, 1 - kept)
        # Drawn only where it decides something, so that a seed means the same triplets with and without it.
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
