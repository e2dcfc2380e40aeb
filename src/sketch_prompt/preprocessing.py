"""What happens to an image before a model sees it: photos, and sketches, which are a few dark lines on white.

Nothing of transformers is imported here: its base class of image processors takes seconds to import, and a search
with exported encoders does not need it.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageColor

from sketch_prompt.hints import (
    is_number,
    require_flag,
    require_not_negative,
    require_one_of,
    shortened,
    suggestion,
)
from sketch_prompt.imaging import (
    RESIZE_MODES,
    ImageLike,
    crop_white_margin,
    drawing_box,
    resize_to_square,
    square_view,
    thicken_lines,
    to_rgb,
)
from sketch_prompt.vocabulary import Domain

NORMALIZATIONS = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""{name: mean and deviation of the channels}, as in transformers."""
MAX_SIDE = 4096
"""Maximum of the model's image size in a configuration, in pixels."""


class ImagePreprocessing:
    """Preprocesses sketches and photos into float32 tensors (3, size, size).

    Example:
        ```python
        preprocessing = ImagePreprocessing(size=224, sketch_crop_margin=True)
        pixel_values = preprocessing.preprocess(Image.open("drawing.png"), "sketch")
        ```

    Args:
        size: Side of the model's input in pixels (`{"height": ..., "width": ...}` and `{"shortest_edge": ...}` are
            supported too).
        photo_resize, sketch_resize: How an image becomes square: `"pad"` (nothing is lost; CLIP-AT's code), `"crop"`
            (short side to `size`, then centre crop; CLIP's own) or `"squash"`.
        photo_pad_color: Colour of the padding of photos, any PIL colour. Sketches are padded with white.
        sketch_crop_margin: Whether to crop sketches to their strokes.
        sketch_margin: Border of a cropped sketch, as a share of the drawing's longer side.
        sketch_line_width: Minimum width of lines after a sketch was reduced in size, in output pixels, for lines of
            one pixel. 0 does not change lines. It hardly matters at 224 px, but at 64 px thin lines disappear without
            it.
        do_normalize: Whether to subtract the mean and divide by the deviation. Otherwise values are in [0, 1].
        normalization: Name of a mean and a deviation: `"clip"` (default), `"imagenet"` or `"half"` (0.5 and 0.5, as in
            the pretraining of vision transformers).
        image_mean, image_std: Three numbers each, instead of `normalization`.
        resample: Resampling filter of PIL (3: bicubic).

    Raises:
        ValueError: A value is out of range, or a key is unknown. The message suggests the nearest key.
    """

    def __init__(
        self,
        size: int | dict[str, int] = 224,
        photo_resize: str = "crop",
        sketch_resize: str = "pad",
        photo_pad_color: str = "black",
        sketch_crop_margin: bool = False,
        sketch_margin: float = 0.05,
        sketch_line_width: float = 0.0,
        do_normalize: bool = True,
        normalization: str | None = None,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        resample: int = Image.Resampling.BICUBIC,
        **unknown: Any,
    ):
        for service in ("image_processor_type", "processor_class", "auto_map"):
            unknown.pop(service, None)
        _refuse_unknown(unknown)
        super().__init__()
        self.size = _side(size)
        self.photo_resize = require_one_of("photo_resize", photo_resize, RESIZE_MODES)
        self.sketch_resize = require_one_of("sketch_resize", sketch_resize, RESIZE_MODES)
        self.photo_pad_color = photo_pad_color
        self.sketch_crop_margin = require_flag("sketch_crop_margin", sketch_crop_margin)
        self.sketch_margin = require_not_negative("sketch_margin", sketch_margin)
        self.sketch_line_width = require_not_negative("sketch_line_width", sketch_line_width)
        self.do_normalize = require_flag("do_normalize", do_normalize)
        self.image_mean, self.image_std = _mean_and_std(normalization, image_mean, image_std)
        try:
            self.resample = int(Image.Resampling(resample))
        except (ValueError, TypeError):
            names = ", ".join(f"{int(mode)} ({mode.name.lower()})" for mode in Image.Resampling)
            raise ValueError(f"resample must be one of {names}, got {shortened(resample)}") from None
        try:
            ImageColor.getrgb(photo_pad_color)
        except (ValueError, AttributeError, TypeError):
            raise ValueError(f"photo_pad_color is an unknown color: {shortened(photo_pad_color)}") from None

    def preprocess(self, image: ImageLike, domain: Domain = "photo") -> torch.Tensor:
        """Preprocess an image, as a float32 tensor (3, size, size). See `to_rgb` for the supported types.

        Raises:
            ValueError: The domain is neither `"sketch"` nor `"photo"`, or the image cannot be used.
        """
        require_one_of("domain", domain, ("sketch", "photo"))
        return self._normalize(self.to_square(to_rgb(image), domain))

    def stack(self, images: ImageLike | Sequence[ImageLike], domain: Domain, name: str) -> torch.Tensor:
        """Preprocess images into a tensor (B, 3, size, size). An error names the image as `name[index]`.

        Raises:
            ValueError: An image cannot be used, or there is none.
        """
        images = list(images) if isinstance(images, list | tuple) else [images]
        if not images:
            raise ValueError(f"{name} is an empty list: pass at least one image")
        batch = torch.empty(len(images), 3, self.size, self.size)
        for index, image in enumerate(images):
            try:
                batch[index] = self.preprocess(image, domain)
            except (ValueError, TypeError, OSError) as error:
                raise ValueError(f"{name}[{index}] cannot be used: {error}") from error
        return batch

    def to_square(self, image: Image.Image, domain: Domain, scale: int = 1) -> Image.Image:
        """The square RGB image that the model sees, before normalisation.

        With `scale`, the same view in so many times the size, for people.
        """
        size = self.size * scale
        if domain == "photo":
            background = ImageColor.getrgb(self.photo_pad_color)[:3]
            return resize_to_square(image, size, self.photo_resize, self.resample, background)
        if self.sketch_crop_margin:
            image = crop_white_margin(image, self.sketch_margin)
        if self.sketch_line_width > 0:
            side = min(image.size) if self.sketch_resize == "crop" else max(image.size)
            image = thicken_lines(image, round(self.sketch_line_width * side / size))
        return resize_to_square(image, size, self.sketch_resize, self.resample, (255, 255, 255))

    def field_of_view(self, image: Image.Image, domain: Domain) -> tuple[float, float, float, float]:
        """The part of an RGB image that `to_square` shows: left, top, right, bottom in its pixels.

        If the image is padded, it is larger than the image.
        """
        if domain == "photo":
            return square_view(*image.size, self.size, self.photo_resize)
        box = (0, 0, *image.size)
        if self.sketch_crop_margin:
            box = drawing_box(image, self.sketch_margin)
        view = square_view(box[2] - box[0], box[3] - box[1], self.size, self.sketch_resize)
        return tuple(edge + start for edge, start in zip(view, 2 * box[:2]))

    def denormalize(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn pixel values (..., 3, H, W) into colours in [0, 1]."""
        if not self.do_normalize:
            return pixel_values.float().clamp(0, 1)
        mean, std = (
            pixel_values.new_tensor(values, dtype=torch.float32)[:, None, None]
            for values in (self.image_mean, self.image_std)
        )
        return (pixel_values.float() * std + mean).clamp(0, 1)

    def _normalize(self, image: Image.Image) -> torch.Tensor:
        # (x / 255 - mean) / std as one multiplication and one subtraction, in place.
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        tensor = torch.empty(pixels.shape, dtype=torch.float32).copy_(pixels)
        if not self.do_normalize:
            return tensor.div_(255)
        for channel, mean, std in zip(tensor, self.image_mean, self.image_std):
            channel.mul_(1 / (255 * std)).sub_(mean / std)
        return tensor

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values: the arguments of the class, with the numbers of `normalization`."""
        return {name: getattr(self, name) for name in _arguments() if name != "normalization"}

    def with_settings(self, **changed: Any) -> "ImagePreprocessing":
        """A copy with other settings. The errors are those of the class."""
        return type(self)(**{**self.settings, **changed})

    @classmethod
    def read(cls, path: str | os.PathLike) -> "ImagePreprocessing":
        """The preprocessing that a `preprocessor_config.json` describes.

        Raises:
            OSError: There is no such file.
            ValueError: It is not JSON, or a value is wrong.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        return cls(**fields)


def _arguments() -> list[str]:
    parameters = ImagePreprocessing.__init__.__annotations__
    return [name for name in parameters if name not in ("unknown", "return")]


def _refuse_unknown(unknown: dict[str, Any]) -> None:
    for key in unknown:
        raise ValueError(
            f"unknown key {key!r} in the image processor's configuration; {suggestion(key, _arguments())}"
        )


def _side(size: int | dict[str, int]) -> int:
    if isinstance(size, dict):
        sides = {size[name] for name in ("height", "width", "shortest_edge") if name in size}
        if len(sides) != 1:
            raise ValueError(f"size must be one square side, got {json.dumps(size)}")
        (size,) = sides
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_SIDE:
        raise ValueError(
            f"size must be a positive number of pixels, at most {MAX_SIDE:,}, got {shortened(size)}"
        )
    return size


def _mean_and_std(
    normalization: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[list[float], list[float]]:
    if normalization is not None:
        if mean is not None or std is not None:
            raise ValueError("give either normalization or image_mean and image_std, not both")
        require_one_of("normalization", normalization, tuple(NORMALIZATIONS))
    default_mean, default_std = NORMALIZATIONS[normalization or "clip"]
    mean, std = default_mean if mean is None else mean, default_std if std is None else std
    sound = all(
        isinstance(values, list | tuple | np.ndarray) and len(values) == 3 and all(map(is_number, values))
        for values in (mean, std)
    )
    if not sound or not all(value > 0 for value in std):
        raise ValueError(
            "image_mean and image_std must be three numbers each, std positive; "
            f"got {shortened(mean)} and {shortened(std)}"
        )
    return list(mean), list(std)
