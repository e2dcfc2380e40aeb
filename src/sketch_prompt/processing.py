"""Preprocess sketches, photos and texts for the models.

`SketchPromptImageProcessor` (image_processing.py, with the work on pixels in preprocessing.py) preprocesses images.
`SketchPromptProcessor` adds the tokenizer of the base model and the similarity score. Both are saved with a model:
`preprocessor_config.json` and the files of the tokenizer.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import CommitInfo
from transformers import AutoTokenizer, BatchFeature
from transformers.processing_utils import ProcessorMixin

from sketch_prompt.atomic import atomic_write
from sketch_prompt.hints import shortened
from sketch_prompt.image_processing import SketchPromptImageProcessor
from sketch_prompt.imaging import ImageLike
from sketch_prompt.sources import HUB_ARGUMENTS, PROCESSOR_FILES, find_checkpoint
from sketch_prompt.vocabulary import Domain

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sketch_prompt.hub.upload import PushOptions

__all__ = ["Domain", "SketchPromptImageProcessor", "SketchPromptProcessor"]

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.json")


class SketchPromptProcessor(ProcessorMixin):
    """Turns sketches, photos and texts into inputs of a model, and features into scores.

    Example:
        ```python
        processor = SketchPromptProcessor.from_pretrained("mini-clip-at")
        inputs = processor(sketches="drawing.png", photos=["cat.jpg", "dog.jpg"], text=["a cat", "a dog"])
        features = model.get_photo_features(inputs.photo_pixel_values)
        ```

    Args:
        image_processor: The preprocessing of images.
        tokenizer: The tokenizer of the base model. None if the checkpoint has no text tower. Texts are truncated to
            its `model_max_length`.
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
        """Preprocess sketches, photos and texts.

        Args:
            sketches, photos: An image or a list of images; see `to_rgb` for the supported types.
            text: A text or a list of texts.
            return_tensors: `"pt"` or `"np"`.
            padding: As in tokenizers: True pads to the longest text, `"max_length"` to the maximum.
            truncation: Whether to truncate texts that are too long for the model.
            max_length: Maximum length, if shorter than the model's.

        Returns:
            `sketch_pixel_values` and `photo_pixel_values` (B, 3, size, size), `input_ids` and `attention_mask` (B, T)

        Raises:
            ValueError: Nothing was given, an image cannot be used (the message names it), or there is a text but no
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
        """Preprocess a single image, as a float32 tensor (3, size, size). Data loaders call it."""
        return self.image_processor.preprocess(image, domain)

    def with_settings(self, **changed: Any) -> "SketchPromptProcessor":
        """A copy with other settings of the image processor, such as `sketch_line_width=1.5`."""
        return type(self)(self.image_processor.with_settings(**changed), self.tokenizer)

    def class_prompt(self, class_name: str, template: str = "a photo of a {}") -> str:
        """The text for a class, from the template of the papers, which always has the article "a"."""
        return template.format(class_name.replace("_", " "))

    def score(self, query_features: torch.Tensor, gallery_features: torch.Tensor) -> torch.Tensor:
        """Similarity (Nq, Ng) of features (Nq, D) and (Ng, D): their inner product, without gradients."""
        with torch.no_grad():
            return query_features @ gallery_features.T

    def post_process_retrieval(self, scores: torch.Tensor, top_k: int = 10) -> list[dict[str, torch.Tensor]]:
        """The best `top_k` of the gallery for each query of `scores` (Nq, Ng). Ties are in the order of the gallery.

        Returns:
            For each query `{"indices": (k,), "scores": (k,)}`, best first. k is at most Ng.

        Raises:
            ValueError: The scores are not a matrix, or `top_k` is less than 1.
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
        """Write `preprocessor_config.json` and, unless `tokenizer=False`, the tokenizer. Returns the files.

        The tokenizer of an adapter may be left out, as `from_pretrained` then loads that of the base model. With
        `push_to_hub`, the files are also uploaded to `repo_id` (default: the name of the folder).
        """
        from sketch_prompt.hub.auto_map import PROCESSOR_MODULE, module_source

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
        self, repo_id: str, *, tokenizer: bool = True, **options: "Unpack[PushOptions]"
    ) -> CommitInfo:
        """Upload the files of the processor. Other files of the repository do not change.

        Arguments and errors are those of a model's `push_to_hub`, and `tokenizer` of `save_pretrained`.
        """
        from sketch_prompt.hub.upload import push

        options = {"commit_message": "Upload a sketch-prompt processor", **options}
        return push(lambda folder, _: self.save_pretrained(folder, tokenizer=tokenizer), repo_id, **options)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs
    ) -> "SketchPromptProcessor":
        """Load the processor of a checkpoint: folder, bundled name or Hub id. Other keywords replace settings.

        Raises:
            OSError: There is no such checkpoint, or it has no `preprocessor_config.json`.
            ValueError: The file has an unknown key. The message suggests the nearest one.
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        directory = find_checkpoint(pretrained_model_name_or_path, files=PROCESSOR_FILES, **hub)
        image_processor = SketchPromptImageProcessor.from_pretrained(directory, **kwargs)
        return cls(image_processor, _load_tokenizer(directory) or _load_base_tokenizer(directory, hub))

    @classmethod
    def from_base_model(cls, base_model: str | os.PathLike, **kwargs) -> "SketchPromptProcessor":
        """Create a processor for a new model on a CLIP, with its image size, normalisation and tokenizer.

        Args:
            base_model: A folder or Hub id with the `preprocessor_config.json` of a CLIP and, for texts, its tokenizer.
            **kwargs: Options of the Hub (`revision`, ...), and settings of `SketchPromptImageProcessor` that differ.

        Raises:
            OSError: The files are neither in the folder nor on the Hub.
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        if os.path.isfile(base_model):  # weights of a ViT, which reads no text
            return cls(SketchPromptImageProcessor.from_base_model(base_model, **kwargs), None)
        directory = find_checkpoint(base_model, files=PROCESSOR_FILES, **hub)
        image_processor = SketchPromptImageProcessor.from_base_model(directory, **kwargs)
        return cls(image_processor, _load_tokenizer(directory))


def _load_tokenizer(directory: Path):
    """The tokenizer in a folder, which truncates texts to the context of the CLIP there. None if there is none."""
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
    """The tokenizer of the base model of a checkpoint. None if it was not found."""
    config = directory / "config.json"
    fields = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if fields.get("base_model") is None or fields.get("backbone") == "vit":
        return None
    hub = {**hub, "revision": fields.get("base_model_revision"), "subfolder": ""}
    try:
        return _load_tokenizer(find_checkpoint(fields["base_model"], files=PROCESSOR_FILES, **hub))
    except FileNotFoundError as error:
        logger.warning("no tokenizer, so no text: %s", error)
        return None
