"""Processing of sketches, photos and text into what the models take.

`SketchPromptImageProcessor` (image_processing.py) holds the two image pipelines, `SketchPromptProcessor` adds the base
model's tokenizer and the scorer. Both are saved beside a checkpoint: `preprocessor_config.json` and the tokenizer's
files.
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
from sketch_prompt.hub.auto_map import PROCESSOR_MODULE, module_source
from sketch_prompt.image_processing import Domain, SketchPromptImageProcessor
from sketch_prompt.imaging import ImageLike
from sketch_prompt.sources import HUB_ARGUMENTS, PROCESSOR_FILES, find_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sketch_prompt.hub.upload import PushOptions

__all__ = ["Domain", "SketchPromptImageProcessor", "SketchPromptProcessor"]

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.json")


class SketchPromptProcessor(ProcessorMixin):
    """Turns sketches, photos and texts into the inputs of a model, and features into scores.

    Example:
        ```python
        processor = SketchPromptProcessor.from_pretrained("mini-clip-at")
        inputs = processor(sketches="drawing.png", photos=["cat.jpg", "dog.jpg"], text=["a cat", "a dog"])
        features = model.get_photo_features(inputs.photo_pixel_values)
        ```

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

    def with_settings(self, **changed: Any) -> "SketchPromptProcessor":
        """The same with other settings of the image processor, such as `sketch_line_width=1.5`."""
        return type(self)(self.image_processor.with_settings(**changed), self.tokenizer)

    def class_prompt(self, class_name: str, template: str = "a photo of a {}") -> str:
        """The text that stands for a class; the papers' template, with its one article for all."""
        return template.format(class_name.replace("_", " "))

    def score(self, query_features: torch.Tensor, gallery_features: torch.Tensor) -> torch.Tensor:
        """Similarity (Nq, Ng) of a model's features (Nq, D) and (Ng, D): their inner product, without gradients."""
        with torch.no_grad():
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
        self, repo_id: str, *, tokenizer: bool = True, **options: "Unpack[PushOptions]"
    ) -> CommitInfo:
        """Publish the processor's files, and nothing else: the card of a model that lies there stays.

        Args and errors are those of a model's `push_to_hub`; `tokenizer` as in `save_pretrained`.
        """
        from sketch_prompt.hub.upload import push

        options = {"commit_message": "Upload a sketch-prompt processor", **options}
        return push(lambda folder, _: self.save_pretrained(folder, tokenizer=tokenizer), repo_id, **options)

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
        if os.path.isfile(base_model):  # weights of a ViT, which reads no text
            return cls(SketchPromptImageProcessor.from_base_model(base_model, **kwargs), None)
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
    if fields.get("base_model") is None or fields.get("backbone") == "vit":
        return None
    hub = {**hub, "revision": fields.get("base_model_revision"), "subfolder": ""}
    try:
        return _load_tokenizer(find_checkpoint(fields["base_model"], files=PROCESSOR_FILES, **hub))
    except FileNotFoundError as error:
        logger.warning("no tokenizer, so no text: %s", error)
        return None
