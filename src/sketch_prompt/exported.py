"""Exported encoders in place of the model: a gallery embeds and searches with them, without the weights in torch."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sketch_prompt.export import FACTS, OnnxEncoders
from sketch_prompt.imaging import ImageLike
from sketch_prompt.preprocessing import ImagePreprocessing
from sketch_prompt.vocabulary import Domain

_FACTS = {"method", "base_model", "dtype", "weights", "lens", "engine"}
_OPEN_WITH_MODEL = (
    "open the gallery with the model that they were exported from (--model, or model= in Python)"
)


class PictureProcessor:
    """Prepares pictures as `SketchPromptProcessor` does. It has no texts, and nothing of transformers.

    Args:
        image_processor: The preprocessing of images.
    """

    tokenizer = None

    def __init__(self, image_processor: ImagePreprocessing):
        self.image_processor = image_processor

    def __call__(self, **inputs):
        """Raises ValueError: no words are embedded."""
        raise ValueError(f"exported encoders embed no words; {_OPEN_WITH_MODEL}")

    def preprocess(self, image: ImageLike, domain: Domain) -> Tensor:
        """Preprocess a single image, as a float32 tensor (3, size, size)."""
        return self.image_processor.preprocess(image, domain)

    def with_settings(self, **changed: Any) -> "PictureProcessor":
        """A copy with other settings of the image processor."""
        return type(self)(self.image_processor.with_settings(**changed))


class ExportedModel(nn.Module):
    """What a gallery asks of a model, answered by the encoders in a folder.

    It embeds photos and drawings. Words, re-ranking and explanations need the model itself: a gallery that was made
    with one may be opened with the other.

    Example:
        ```python
        export_onnx(model, "onnx", int8=True)
        gallery = Gallery.build("onnx", "photos", "gallery")
        ```

    Args:
        directory: what `export_onnx` wrote.
        device: see `OnnxEncoders`.

    Attributes:
        processor: prepares pictures; it has no tokenizer.

    Raises:
        ValueError: onnxruntime is not installed, or it is not known which model the encoders are of.
        FileNotFoundError: the folder has no encoders.
    """

    categories: tuple[str, ...] = ()
    is_conditional = False
    has_reranker = False
    active_adapter = "default"

    def __init__(self, directory: str | os.PathLike, device: str | None = None):
        super().__init__()
        self.encoders = OnnxEncoders(directory, device)
        self.processor = PictureProcessor(self.encoders.processor)
        self._facts = _read_facts(Path(directory) / FACTS)
        width = self.encoders.sessions["photo"].get_outputs()[0].shape[1]
        self.config = SimpleNamespace(
            base_model=self._facts["base_model"], clip_config=SimpleNamespace(projection_dim=width)
        )
        # Pixel values are made on the CPU in float32, as for any model whose parameters are there.
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)

    @property
    def method(self) -> str:
        """The method that embeds photos so."""
        return self._facts["method"]

    photo_method = method

    def describe_weights(self) -> dict[str, Any]:
        """As the model that was exported; "engine" besides, and "computed_in" for encoders of 8 bits."""
        return dict(self._facts)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""
        return self._embed(pixel_values, "sketch")

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""
        return self._embed(pixel_values, "photo")

    def _embed(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        pixels = pixel_values.numpy()
        # Encoders of 8 bits scale activations by the largest of a batch: one at a time, a photo's features do not
        # depend on which others it came with.
        size = 1 if "computed_in" in self._facts else max(len(pixels), 1)
        parts = [self.encoders.embed(pixels[n : n + size], domain) for n in range(0, len(pixels), size)]
        return torch.from_numpy(np.concatenate(parts))

    def explain(self, *pictures, **options):
        """Raises ValueError: no patches are exported."""
        raise ValueError(f"exported encoders cannot explain; {_OPEN_WITH_MODEL}")


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or not facts.keys() >= _FACTS:
            raise ValueError("it is not what sketch-prompt export writes")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"it is not known which model the encoders in {path.parent} are of: {path} cannot be read ({error}). "
            "Export them once more: sketch-prompt export -m MODEL -o FOLDER"
        ) from error
    return facts
