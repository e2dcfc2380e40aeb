"""Training-time augmentation of PIL images, drawn jointly for a sketch and its photo."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from sketch_prompt.imaging import to_rgb

_PAPER = (255, 255, 255)


@dataclass(frozen=True)
class PairAugmentation:
    """Random flip, rotation and crop, the same for sketch and photo; random greyscale of photos.

    A sketch and its photo stay aligned, as fine-grained matching needs; the negative photo gets a draw of its
    own. DP-CLIP trains with joint flip and rotation and random greyscale. The default changes nothing.

    Attributes:
        flip: probability of a horizontal flip.
        rotation: greatest angle in degrees, either way; uncovered corners become white.
        crop: least share of the width and height that is kept, from 1 (no crop) down to above 0.
        greyscale: probability that a photo loses its colours.

    Raises:
        ValueError: if a value is out of range.
    """

    flip: float = 0.0
    rotation: float = 0.0
    crop: float = 1.0
    greyscale: float = 0.0

    def __post_init__(self):
        for name in ("flip", "greyscale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, not {getattr(self, name)}")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation must be from 0 to 180 degrees, not {self.rotation}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop}")

    def __call__(
        self, sketch: Image.Image, photo: Image.Image, negative: Image.Image, rng: np.random.Generator
    ) -> tuple[Image.Image, Image.Image, Image.Image]:
        """The three images as upright RGB, changed as `rng` has it."""
        pair, other = self._draw(rng), self._draw(rng)
        grey_photo, grey_negative = rng.random(2) < self.greyscale
        return (
            pair.apply(to_rgb(sketch)),
            _greyscale(pair.apply(to_rgb(photo)), grey_photo),
            _greyscale(other.apply(to_rgb(negative)), grey_negative),
        )

    def _draw(self, rng: np.random.Generator) -> "_Geometry":
        kept = rng.uniform(self.crop, 1, size=2)
        return _Geometry(
            flip=bool(rng.random() < self.flip),
            angle=rng.uniform(-self.rotation, self.rotation),
            kept=tuple(kept),
            corner=tuple(rng.uniform(0, 1 - kept)),
        )


@dataclass(frozen=True)
class _Geometry:
    """One drawn flip, rotation and crop, the crop as shares of width and height."""

    flip: bool
    angle: float
    kept: tuple[float, float]
    corner: tuple[float, float]

    def apply(self, image: Image.Image) -> Image.Image:
        if self.flip:
            image = ImageOps.mirror(image)
        if self.angle:
            image = image.rotate(self.angle, Image.Resampling.BILINEAR, fillcolor=_PAPER)
        if self.kept != (1.0, 1.0):
            left, top = (int(share * side) for share, side in zip(self.corner, image.size))
            width, height = (max(int(share * side), 1) for share, side in zip(self.kept, image.size))
            image = image.crop((left, top, left + width, top + height))
        return image


def _greyscale(image: Image.Image, wanted: bool) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB") if wanted else image
