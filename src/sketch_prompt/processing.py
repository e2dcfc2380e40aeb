"""Processing of sketches, photos and text into what the models take.

`SketchPromptImageProcessor` holds the two image pipelines (a sketch is a few dark lines on white),
`SketchPromptProcessor` adds the base model's tokenizer and the scorer. Both are saved beside a checkpoint:
`preprocessor_config.json` plus the tokenizer's files.
"""

import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from huggingface_hub import CommitInfo
from PIL import Image, ImageColor
from transformers import AutoTokenizer, BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.processing_utils import ProcessorMixin

from sketch_prompt.atomic import atomic_write
from sketch_prompt.hints import shortened, suggestion
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
from sketch_prompt.publishing.auto_map import PROCESSOR_MODULE, auto_map, module_source
from sketch_prompt.sources import HUB_ARGUMENTS, PROCESSOR_FILES, find_checkpoint

logger = logging.getLogger(__name__)

Domain = Literal["sketch", "photo"]

NORMALIZATIONS = {
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "imagenet": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
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
"""The most pixels that a configuration may ask for as the side of the square given to the model."""
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.json")


class SketchPromptImageProcessor(BaseImageProcessor):
    """The sketch pipeline and the photo pipeline: a picture in, a float32 tensor (3, size, size) out.

    Args:
        size: Side of the square given to the model, in pixels (`{"height": ..., "width": ...}` and
            `{"shortest_edge": ...}` are understood too).
        photo_resize, sketch_resize: How a picture becomes square: `"pad"` (nothing is lost; CLIP-AT's code),
            `"crop"` (short side to `size`, centre crop; CLIP's own) or `"squash"`.
        photo_pad_color: What pads a photo, any PIL colour; sketches are padded with white.
        sketch_crop_margin: Cut away the white around a drawing.
        sketch_margin: The border that cut leaves, as a share of the drawing's longer side.
        sketch_line_width: The least width, in output pixels, of a one-pixel line after a sketch was shrunk;
            0 shrinks plainly. At 224 px it hardly acts; at 64 px thin lines vanish without it.
        do_normalize: Whether to subtract the mean and divide by the deviation; values in [0, 1] otherwise.
        normalization: `"clip"` or `"imagenet"`, a name for a mean and a deviation (default: CLIP's).
        image_mean, image_std: Three numbers each, in place of `normalization`.
        resample: PIL's resampling filter (3: bicubic).

    Raises:
        ValueError: A value is out of its range, or a key is unknown (the error names the nearest known one).
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
        self.photo_resize = _one_of("photo_resize", photo_resize, RESIZE_MODES)
        self.sketch_resize = _one_of("sketch_resize", sketch_resize, RESIZE_MODES)
        self.photo_pad_color = photo_pad_color
        self.sketch_crop_margin = _flag("sketch_crop_margin", sketch_crop_margin)
        self.sketch_margin = _at_least_zero("sketch_margin", sketch_margin)
        self.sketch_line_width = _at_least_zero("sketch_line_width", sketch_line_width)
        self.do_normalize = _flag("do_normalize", do_normalize)
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
        """One picture as a float32 tensor (3, size, size); see `to_rgb` for what a picture may be.

        Raises:
            ValueError: The domain is neither `"sketch"` nor `"photo"`, or the picture is unusable.
        """
        _one_of("domain", domain, ("sketch", "photo"))
        return self._normalize(self.to_square(to_rgb(image), domain))

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        domain: Domain = "photo",
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """One picture or a list of them as `pixel_values` (B, 3, size, size)."""
        pixel_values = self.stack(images, domain, "images")
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def stack(self, images: ImageLike | Sequence[ImageLike], domain: Domain, name: str) -> torch.Tensor:
        """Pictures as one tensor (B, 3, size, size); an error names the item as `name[index]`.

        Raises:
            ValueError: A picture is unusable, or there is none.
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
        """An RGB image after its domain's geometry, before normalisation: what the model is shown.

        With `scale` the same view at that many times the model's size, for people to look at.
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
        """The part of an RGB image that `to_square` shows: left, top, right, bottom in the image's pixels.

        It reaches beyond the image's borders where that is padded.
        """
        if domain == "photo":
            return square_view(*image.size, self.size, self.photo_resize)
        box = (0, 0, *image.size)
        if self.sketch_crop_margin:
            box = drawing_box(image, self.sketch_margin)
        view = square_view(box[2] - box[0], box[3] - box[1], self.size, self.sketch_resize)
        return tuple(edge + start for edge, start in zip(view, 2 * box[:2]))

    def denormalize(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixel values (..., 3, H, W) as colours in [0, 1]."""
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
        """The fields as `preprocessor_config.json` holds them."""
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
        """Write `preprocessor_config.json`; with `push_to_hub` upload it too, see `push_to_hub`."""
        path = Path(save_directory) / "preprocessor_config.json"
        self.to_json_file(path)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, **kwargs)
        return [str(path)]

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Publish `preprocessor_config.json`; arguments are those of `SketchPromptProcessor.push_to_hub`."""
        return SketchPromptProcessor(self).push_to_hub(repo_id, **kwargs)

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the fields as JSON, complete or not at all."""
        with atomic_write(json_file_path) as temporary:
            temporary.write_text(self.to_json_string(), encoding="utf-8")

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> "SketchPromptImageProcessor":
        """From saved fields; keywords replace them, and both are checked as in the constructor."""
        kwargs = {name: value for name, value in kwargs.items() if name not in _AUTO_ARGUMENTS}
        return cls(**{**image_processor_dict, **kwargs})

    @classmethod
    def from_base_model(cls, base_model: str | os.PathLike, **overrides) -> "SketchPromptImageProcessor":
        """A pipeline that treats photos as the base CLIP does; `overrides` are fields of this class.

        Raises:
            OSError: The base model's `preprocessor_config.json` is neither in the folder nor on the Hub.
        """
        saved, _ = cls.get_image_processor_dict(find_checkpoint(base_model, files=PROCESSOR_FILES))
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


class SketchPromptProcessor(ProcessorMixin):
    """Sketches, photos and text into a model's inputs, and a model's features into scores.

    Args:
        image_processor: The two image pipelines.
        tokenizer: The base model's tokenizer; None where the checkpoint has no text tower. Text is cut to its
            `model_max_length`.
    """

    def __init__(self, image_processor: SketchPromptImageProcessor, tokenizer=None, **kwargs: Any):
        self.chat_template = kwargs.pop("chat_template", None)
        if kwargs:
            raise TypeError(
                f"SketchPromptProcessor takes image_processor and tokenizer, not {', '.join(kwargs)}"
            )
        self.check_argument_for_proper_class("image_processor", image_processor)
        if tokenizer is not None:
            self.check_argument_for_proper_class("tokenizer", tokenizer)
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    def __call__(
        self,
        sketches: ImageLike | Sequence[ImageLike] | None = None,
        photos: ImageLike | Sequence[ImageLike] | None = None,
        text: str | Sequence[str] | None = None,
        return_tensors: str | None = "pt",
        padding: bool | str = True,
        truncation: bool = True,
        max_length: int | None = None,
    ) -> BatchFeature:
        """Whatever is given, as the models' inputs.

        Args:
            sketches, photos: One picture or a list; see `to_rgb` for what a picture may be.
            text: One text or a list, cut to `max_length` or the model's maximum.
            return_tensors: `"pt"` or `"np"`.
            padding: As the tokenizer's: True pads to the longest, `"max_length"` to the maximum.
            truncation: Whether text that is too long is cut; a model cannot read it otherwise.
            max_length: A length below the model's.

        Returns:
            `sketch_pixel_values` and `photo_pixel_values` (B, 3, size, size), `input_ids` and
            `attention_mask` (B, T)

        Raises:
            ValueError: Nothing was given, a picture is unusable (the error names it), or there is text but no
                tokenizer.
        """
        if sketches is None and photos is None and text is None:
            raise ValueError("nothing to process: pass sketches=, photos= or text=")
        data = {}
        if sketches is not None:
            data["sketch_pixel_values"] = self.image_processor.stack(sketches, "sketch", "sketches")
        if photos is not None:
            data["photo_pixel_values"] = self.image_processor.stack(photos, "photo", "photos")
        if text is not None:
            data |= self._tokenize(text, padding=padding, truncation=truncation, max_length=max_length)
        return BatchFeature(data, tensor_type=return_tensors)

    def _tokenize(self, text: str | Sequence[str], **kwargs: Any) -> dict[str, torch.Tensor]:
        if self.tokenizer is None:
            raise ValueError("this processor has no tokenizer: its checkpoint came without a text tower")
        texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list | tuple) else None
        if not texts or not all(isinstance(part, str) for part in texts):
            raise ValueError(f"text is a text or a list of texts, at least one, not {shortened(text)}")
        if any("\ud800" <= character <= "\udfff" for part in texts for character in part):
            raise ValueError("text holds half a character (a surrogate): it was not read as UTF-8")
        length, longest = kwargs["max_length"], self.tokenizer.model_max_length
        if length is not None and not (isinstance(length, int) and 0 < length <= longest):
            raise ValueError(f"max_length is from 1 to {longest}, not {length!r}")
        return dict(self.tokenizer(texts, return_tensors="pt", return_attention_mask=True, **kwargs))

    def preprocess(self, image: ImageLike, domain: Domain) -> torch.Tensor:
        """One picture of a domain as a float32 tensor (3, size, size): what data loaders call."""
        return self.image_processor.preprocess(image, domain)

    def class_prompt(self, class_name: str, template: str = "a photo of a {}") -> str:
        """The text that stands for a class; the papers' template, with its one article for all."""
        return template.format(class_name.replace("_", " "))

    def score(self, query_features: torch.Tensor, gallery_features: torch.Tensor) -> torch.Tensor:
        """Similarity (Nq, Ng) of a model's features (Nq, D) and (Ng, D): their inner product."""
        return query_features @ gallery_features.T

    def post_process_retrieval(self, scores: torch.Tensor, top_k: int = 10) -> list[dict[str, torch.Tensor]]:
        """The best `top_k` of the gallery for each query of `scores` (Nq, Ng), ties in gallery order.

        Returns:
            For each query `{"indices": (k,), "scores": (k,)}`, best first; k is at most Ng.

        Raises:
            ValueError: The scores are no matrix, or `top_k` is below 1.
        """
        if not isinstance(scores, torch.Tensor) or scores.dim() != 2:
            raise ValueError("scores are a tensor (Nq, Ng), as `score` returns it")
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        rows = scores.detach().cpu().double().numpy()
        from sketch_prompt.top_k import best_places

        places = [torch.from_numpy(best_places(row, top_k)).to(scores.device) for row in rows]
        return [{"indices": best, "scores": row[best]} for best, row in zip(places, scores)]

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        push_to_hub: bool = False,
        tokenizer: bool = True,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write `preprocessor_config.json` and, unless `tokenizer=False`, the tokenizer; returns the files.

        Beside an adapter the tokenizer may be left out: `from_pretrained` then takes the base model's. With
        `push_to_hub` they are uploaded to `repo_id` (default: the folder's name) too, as `push_to_hub` does.
        """
        files = self.image_processor.save_pretrained(save_directory)
        files.append(str(Path(save_directory) / f"{PROCESSOR_MODULE}.py"))
        module = module_source(type(self), type(self.image_processor))
        with atomic_write(files[-1]) as temporary:
            temporary.write_text(module, encoding="utf-8")
        if self.tokenizer is not None and tokenizer:
            files += self.tokenizer.save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, tokenizer=tokenizer, **kwargs)
        return files

    def push_to_hub(
        self,
        repo_id: str,
        *,
        tokenizer: bool = True,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload a sketch-prompt processor",
        commit_description: str | None = None,
    ) -> CommitInfo:
        """Publish the processor's files, and nothing else: the card of a model that lies there stays.

        Args and errors are those of a model's `push_to_hub`; `tokenizer` as in `save_pretrained`.
        """
        from sketch_prompt.publishing.upload import push

        return push(
            lambda folder: self.save_pretrained(folder, tokenizer=tokenizer),
            repo_id,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            commit_description=commit_description,
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs
    ) -> "SketchPromptProcessor":
        """From a checkpoint's folder, bundled name or Hub id; other keywords replace image processor fields.

        Raises:
            OSError: There is no such checkpoint, or no `preprocessor_config.json` in it.
            ValueError: The file has an unknown key (the error names the nearest known one).
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        directory = find_checkpoint(pretrained_model_name_or_path, files=PROCESSOR_FILES, **hub)
        image_processor = SketchPromptImageProcessor.from_pretrained(directory, **kwargs)
        return cls(image_processor, _load_tokenizer(directory) or _load_base_tokenizer(directory, hub))

    @classmethod
    def from_base_model(cls, base_model: str | os.PathLike, **kwargs) -> "SketchPromptProcessor":
        """For a new model on a base CLIP: its image size, normalisation and tokenizer.

        Args:
            base_model: A folder or Hub id with a CLIP's `preprocessor_config.json` and, for text, tokenizer.
            **kwargs: Hub options (`revision`, ...), and fields of `SketchPromptImageProcessor` that differ.

        Raises:
            OSError: The base model's files are neither in the folder nor on the Hub.
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        directory = find_checkpoint(base_model, files=PROCESSOR_FILES, **hub)
        image_processor = SketchPromptImageProcessor.from_base_model(directory, **kwargs)
        return cls(image_processor, _load_tokenizer(directory))


def _load_tokenizer(directory: Path):
    """The tokenizer in a folder, cutting text to the context of the CLIP beside it; None if there is none."""
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # of every kind: its files are read by several libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the tokenizer in {directory} cannot be read: {reason}") from error
    config = directory / "config.json"
    fields = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    text = fields.get("clip_config", fields).get("text_config") or {}
    # 77 is CLIPTextConfig's default, which a saved configuration may leave out.
    tokenizer.model_max_length = min(tokenizer.model_max_length, text.get("max_position_embeddings", 77))
    return tokenizer


def _load_base_tokenizer(directory: Path, hub: dict[str, Any]):
    """The tokenizer of the base model that a checkpoint names; None if there is none within reach."""
    config = directory / "config.json"
    fields = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if fields.get("base_model") is None:
        return None
    hub = {**hub, "revision": fields.get("base_model_revision"), "subfolder": ""}
    try:
        return _load_tokenizer(find_checkpoint(fields["base_model"], files=PROCESSOR_FILES, **hub))
    except FileNotFoundError as error:
        logger.warning("no tokenizer, so no text: %s", error)
        return None


def _refuse_unknown(unknown: dict[str, Any]) -> None:
    known = [
        name
        for name in SketchPromptImageProcessor.__init__.__annotations__
        if name not in ("unknown", "return")
    ]
    for key in unknown:
        raise ValueError(
            f"unknown key {key!r} in the image processor's configuration; {suggestion(key, known)}"
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


def _flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be true or false, got {shortened(value)}")
    return bool(value)


def _one_of(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shortened(value)}")
    return value


def _at_least_zero(name: str, value: float) -> float:
    if not _is_number(value) or value < 0:
        raise ValueError(f"{name} must not be negative, nor anything but a number, got {shortened(value)}")
    return float(value)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _mean_and_std(
    normalization: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[list[float], list[float]]:
    if normalization is not None:
        if mean is not None or std is not None:
            raise ValueError("give either normalization or image_mean and image_std, not both")
        _one_of("normalization", normalization, tuple(NORMALIZATIONS))
    default_mean, default_std = NORMALIZATIONS[normalization or "clip"]
    mean, std = default_mean if mean is None else mean, default_std if std is None else std
    sound = all(
        isinstance(values, list | tuple | np.ndarray) and len(values) == 3 and all(map(_is_number, values))
        for values in (mean, std)
    )
    if not sound or not all(value > 0 for value in std):
        raise ValueError(
            "image_mean and image_std must be three numbers each, std positive; "
            f"got {shortened(mean)} and {shortened(std)}"
        )
    return list(mean), list(std)
