"""Preprocess images: photos, and sketches, which are a few dark lines on white."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from huggingface_hub import CommitInfo
from PIL import Image, ImageColor
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from sketch_prompt.atomic import atomic_write
from sketch_prompt.hints import (
    is_number,
    require_flag,
    require_not_negative,
    require_one_of,
    shortened,
    suggestion,
)
from sketch_prompt.hub.auto_map import PROCESSOR_MODULE, auto_map
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
from sketch_prompt.sources import PROCESSOR_FILES, find_checkpoint

Domain = Literal["sketch", "photo"]

NORMALIZATIONS = {
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "imagenet": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "half": (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD),
}
# What the Auto classes and pipelines pass along.
_AUTO_ARGUMENTS = (
    "trust_remote_code",
    "code_revision",
    "_from_auto",
    "_from_pipeline",
    "use_fast",
    "backend",
    "dtype",
)
MAX_SIDE = 4096
"""Maximum of the model's image size in a configuration, in pixels."""


class SketchPromptImageProcessor(BaseImageProcessor):
    """Preprocesses sketches and photos into float32 tensors (3, size, size).

    Example:
        ```python
        processor = SketchPromptImageProcessor(size=224, sketch_crop_margin=True)
        pixel_values = processor.preprocess(Image.open("drawing.png"), "sketch")
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

    model_input_names = ["pixel_values"]  # noqa: RUF012 - transformers declares it so

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

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        domain: Domain = "photo",
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Preprocess an image or a list of images, as `pixel_values` (B, 3, size, size)."""
        pixel_values = self.stack(images, domain, "images")
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

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

    def to_dict(self) -> dict[str, Any]:
        """The content of `preprocessor_config.json`."""
        from sketch_prompt.processing import SketchPromptProcessor

        classes = {"AutoImageProcessor": type(self), "AutoProcessor": SketchPromptProcessor}
        names = {
            "processor_class": "SketchPromptProcessor",
            "auto_map": auto_map(PROCESSOR_MODULE, **classes),
        }
        return {**super().to_dict(), **names}

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write `preprocessor_config.json`. With `push_to_hub`, upload it too; see `push_to_hub`."""
        path = Path(save_directory) / "preprocessor_config.json"
        self.to_json_file(path)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, **kwargs)
        return [str(path)]

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Upload `preprocessor_config.json`. Arguments are those of `SketchPromptProcessor.push_to_hub`."""
        from sketch_prompt.processing import SketchPromptProcessor

        return SketchPromptProcessor(self).push_to_hub(repo_id, **kwargs)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the settings as JSON, completely or not at all."""
        with atomic_write(json_file_path) as temporary:
            temporary.write_text(self.to_json_string(), encoding="utf-8")

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> "SketchPromptImageProcessor":
        """Create a processor from saved settings. Keywords replace them. Both are checked as in the constructor."""
        kwargs = {name: value for name, value in kwargs.items() if name not in _AUTO_ARGUMENTS}
        return cls(**{**image_processor_dict, **kwargs})

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values: the arguments of the class, with the numbers of `normalization`."""
        return {name: getattr(self, name) for name in _arguments() if name != "normalization"}

    def with_settings(self, **changed: Any) -> "SketchPromptImageProcessor":
        """A copy with other settings. The errors are those of the class."""
        return type(self)(**{**self.settings, **changed})

    @classmethod
    def from_base_model(cls, base_model: str | os.PathLike, **overrides) -> "SketchPromptImageProcessor":
        """Create a processor that preprocesses photos as the base model does. `overrides` are arguments of this class.

        The preprocessing of a timm model is in its `config.json`. For a single file with the weights of a ViT, it is
        that of their pretraining: 224 pixels, mean and deviation 0.5.

        Raises:
            OSError: The `preprocessor_config.json` is neither in the folder nor on the Hub.
        """
        if os.path.isfile(base_model):
            saved = _of_timm({})
        else:
            directory = find_checkpoint(base_model, files=PROCESSOR_FILES)
            saved = _saved_by_timm(directory) or cls.get_image_processor_dict(directory)[0]
        crops = saved.get("do_center_crop", True)
        fields = {
            "size": (saved.get("crop_size") if crops else None) or saved.get("size", 224),
            "photo_resize": "crop" if crops else "squash",
            "do_normalize": saved.get("do_normalize", True),
            "resample": saved.get("resample", Image.Resampling.BICUBIC),
        }
        if "normalization" not in overrides:
            fields |= {name: saved[name] for name in ("image_mean", "image_std") if name in saved}
        return cls(**{**fields, **overrides})


def _saved_by_timm(directory: Path) -> dict[str, Any] | None:
    """The preprocessing of a timm model. None if the folder has none."""
    path = directory / "config.json"
    if (directory / "preprocessor_config.json").is_file() or not path.is_file():
        return None
    trained = json.loads(path.read_text(encoding="utf-8")).get("pretrained_cfg")
    return _of_timm(trained) if isinstance(trained, dict) else None


def _of_timm(trained: dict[str, Any]) -> dict[str, Any]:
    return {
        "do_center_crop": False,
        "size": trained.get("input_size", [3, 224, 224])[-1],
        "image_mean": trained.get("mean", IMAGENET_STANDARD_MEAN),
        "image_std": trained.get("std", IMAGENET_STANDARD_STD),
    }


def _arguments() -> list[str]:
    parameters = SketchPromptImageProcessor.__init__.__annotations__
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
