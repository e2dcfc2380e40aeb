"""The preprocessing of images as an image processor of transformers, which is saved with a checkpoint."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from sketch_prompt.atomic import atomic_write
from sketch_prompt.imaging import ImageLike
from sketch_prompt.preprocessing import NORMALIZATIONS, ImagePreprocessing
from sketch_prompt.sources import PROCESSOR_FILES, find_checkpoint
from sketch_prompt.vocabulary import Domain

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


class SketchPromptImageProcessor(ImagePreprocessing, BaseImageProcessor):
    """`ImagePreprocessing` with the interface of transformers: it is loaded, saved and uploaded.

    Example:
        ```python
        processor = SketchPromptImageProcessor(size=224, sketch_crop_margin=True)
        pixel_values = processor.preprocess(Image.open("drawing.png"), "sketch")
        ```

    Arguments and errors are those of `ImagePreprocessing`.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012 - transformers declares it so

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        domain: Domain = "photo",
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Preprocess an image or a list of images, as `pixel_values` (B, 3, size, size)."""
        pixel_values = self.stack(images, domain, "images")
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def to_dict(self) -> dict[str, Any]:
        """The content of `preprocessor_config.json`."""
        from sketch_prompt.hub.auto_map import PROCESSOR_MODULE, auto_map
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
    mean, std = NORMALIZATIONS["half"]
    return {
        "do_center_crop": False,
        "size": trained.get("input_size", [3, 224, 224])[-1],
        "image_mean": trained.get("mean", mean),
        "image_std": trained.get("std", std),
    }
