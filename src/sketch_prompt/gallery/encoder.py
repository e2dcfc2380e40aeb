"""Embed photos, each content once, and queries with the model of a gallery."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image, unprocessable_is_unreadable
from sketch_prompt.embedding import EncodedImages, LoadedImage, encode_images, split_batches
from sketch_prompt.vocabulary import Domain

from .fingerprint import AnyModel, AnyProcessor, describe_model, query_key
from .queries import Sketch, as_drawing, combine
from .table import Filters, category_key

if TYPE_CHECKING:  # a search opens no folder, and with exported encoders it needs no transformers
    from accelerate import Accelerator

    from .photo_sources import Entry, PhotoSource

# Large photos are decoded at a smaller scale, with sides of at least this many times the model's input.
_DECODED_SIDES = 4
_DOODLES = 384
PHOTO_ENCODER = "photo_encoder.onnx"
_WORTH_WORKERS = 512  # photos; for fewer, starting processes takes longer than it saves


@dataclass(frozen=True)
class LoadedPhoto(LoadedImage):
    """A photo of a source that was read. Its key is the digest of its content.

    Attributes:
        entry: The photo as described by its source.
        category: The category that it is embedded with, or None.
        read_ns: Time at which its content was read.
    """

    entry: "Entry | None" = None
    category: str | None = None
    read_ns: int = 0


def load_any_model(
    source: str, base_model: str | None = None, device: str | None = None
) -> tuple[AnyModel, AnyProcessor]:
    """A model and its processor, like `load_model`, or the encoders in a folder that `export_onnx` wrote.

    Raises:
        ValueError, FileNotFoundError: Like `load_model`, or a base model is given for exported encoders.
    """
    if not os.path.isfile(os.path.join(source, PHOTO_ENCODER)):
        from sketch_prompt.models.loading import load_model

        return load_model(source, base_model, device)
    from sketch_prompt.exported import ExportedModel

    if base_model is not None:
        raise ValueError(f"the encoders in {source} contain their CLIP: leave out the base model")
    model = ExportedModel(source, device)
    return model, model.processor


class GalleryEncoder:
    """A model and its processor, with the adapter that is active at first.

    Args:
        model: The model, or an exported one. It is put into eval mode.
        processor: Its processor. The default is the model's own.
        by_category: Embed photos and sketches with their categories.
        batch_size: Number of photos in a forward pass.
        num_workers: Number of processes that read photos. The default is up to eight, and none for a few photos or if
            the model runs on a CPU with one or two cores.
        sketches: Settings for drawings that differ from the processor's.
        dtype: Type of the numbers to compute with; see `Gallery`.

    Raises:
        ValueError: There is no processor, the model does not use categories or cannot compute with this type, or a
            setting is not for drawings.
    """

    def __init__(
        self,
        model: AnyModel,
        processor: AnyProcessor | None = None,
        by_category: bool = False,
        batch_size: int = 64,
        num_workers: int | None = None,
        sketches: Mapping[str, Any] | None = None,
        dtype: str | None = None,
    ):
        processor = processor if processor is not None else model.processor
        if processor is None:
            raise ValueError(
                "the model came without a processor: pass processor=SketchPromptProcessor.from_base_model(...)"
            )
        if by_category and not model.is_conditional:
            raise ValueError(f"{model.method} does not use categories: leave out by_category")
        others = [name for name in sketches or {} if not name.startswith("sketch_")]
        if others:
            raise ValueError(
                f"{others[0]} is not a setting for drawings; photos are preprocessed as the model's processor says"
            )
        if sketches:
            processor = processor.with_settings(**sketches)
        if model.processor is None or sketches:  # explanations need it too
            model.processor = processor
        self.model = model.eval()
        self.processor = processor
        self.by_category = by_category
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.dtype = _other_dtype(model, dtype)
        self._adapter = model.active_adapter

    def describe(self) -> dict[str, Any]:
        """Everything that features depend on; see `describe_model`."""
        return describe_model(self.model, self.processor, self.by_category, self.dtype)

    @property
    def categories(self) -> dict[str, str]:
        """{`category_key`: name} of the categories that the model knows."""
        return {category_key(name): name for name in self.model.categories} if self.by_category else {}

    def unknown_categories(self, names: Sequence[str]) -> list[str]:
        """The categories among these that the model does not know."""
        return [name for name in names if self.by_category and category_key(name) not in self.categories]

    def query_category(self, filters: Filters | None) -> str | None:
        """The category to embed a sketch with, for a search with these filters, or None.

        Raises:
            ValueError: Photos are embedded with their categories, and the filters do not name a single one.
        """
        if not self.by_category:
            return None
        named = {} if filters is None or callable(filters) else filters
        wanted = named.get("category")
        wanted = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if len(wanted) != 1:
            raise ValueError(
                "the photos of this gallery are embedded with their categories: name the category to search "
                "(--category on the command line, filters={'category': ...} in Python)"
            )
        return self.categories.get(category_key(wanted[0]))

    @torch.inference_mode()
    def embed_query(
        self,
        sketch: Sketch | None,
        text: str | None,
        weight: float,
        category: str | None,
        sample: Callable[[], np.ndarray],
    ) -> np.ndarray:
        """Features (D,) of a query; see `Gallery.search`.

        Args:
            sketch, text, weight: As there.
            category: The category to embed the sketch with, or None.
            sample: Returns features (n, D) of photos, to balance sketch and text.
        """
        self._check_adapter()
        if sketch is None and text is None:
            raise ValueError("nothing to search for: give a sketch, a text, or both")
        if text is not None and not isinstance(text, str):
            raise TypeError(f"text must be a single text, not {type(text).__name__}")
        if not 0 <= weight <= 1:
            raise ValueError(
                f"weight must be between 0 (the sketch alone) and 1 (the text alone), not {weight}"
            )
        drawn = None
        if sketch is not None:
            pixel_values = self.processor.preprocess(as_drawing(sketch), "sketch")[None]
            drawn = self._features(pixel_values, "sketch", category)[0]
        if text is None:
            return drawn
        if not text.strip():
            raise ValueError("the text is empty")
        written = self.embed_texts([text])[0]
        photos = sample()
        if len(photos) and written.shape != photos.shape[1:]:
            raise ValueError(
                f"{self.model.method} cannot search by text: its features of photos have {photos.shape[1]} numbers, "
                f"and those of texts {len(written)}"
            )
        return written if drawn is None else combine(drawn, written, weight, photos)

    @torch.inference_mode()
    def embed_doodles(self) -> np.ndarray:
        """Features (Q, D) of bundled doodles of many classes, without a category."""
        from sketch_prompt.data.doodles import read_doodles
        from sketch_prompt.data.strokes import rasterize

        doodles = read_doodles()
        chosen = np.linspace(0, len(doodles) - 1, _DOODLES).astype(int)
        return self.embed([rasterize(doodles[row].strokes) for row in chosen], "sketch")

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Image.Image], domain: Domain, bar: tqdm | None = None) -> np.ndarray:
        """Features (n, D) of images, without categories, in batches. `bar` shows the progress."""
        self._check_adapter()
        parts = []
        for start in range(0, len(pictures), self.batch_size):
            batch = list(pictures[start : start + self.batch_size])
            pixel_values = self.processor.image_processor.stack(batch, domain, "pictures")
            parts.append(self._features(pixel_values, domain))
            if bar is not None:
                bar.update(len(batch))
        return np.concatenate(parts)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features (n, D) of texts.

        Raises:
            ValueError: The model has no text tower.
        """
        inputs = self.processor(text=list(texts)).to(next(self.model.parameters()).device)
        features = self.model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
        return features.float().cpu().numpy()

    def embed_photo(self, image: Image.Image) -> np.ndarray:
        """Features (D,) of a photo, without a category."""
        return self.embed([image], "photo")[0]

    def query_key(self) -> str:
        """See `fingerprint.query_key`."""
        return query_key(self.model, self.processor, self.dtype)

    def embed_photos(
        self,
        source: "PhotoSource",
        numbers: Sequence[int],
        known: set[str],
        accelerator: "Accelerator | None" = None,
        progress: bool = True,
    ) -> Iterator[EncodedImages[np.ndarray]]:
        """Read photos and embed those whose content is new, each content once.

        Args:
            source: The photos.
            numbers: The numbers of the photos to read.
            known: Digests of content whose features are known.
            accelerator: If there are several processes; this one embeds its share of the batches.
            progress: Show a progress bar on stderr.

        Yields:
            Batches of `LoadedPhoto` with the features (n, D) float32 of the new ones.
        """
        self._check_adapter()
        batches = split_batches(numbers, self.batch_size, accelerator)
        total, num_workers = sum(map(len, batches)), self.num_workers
        if num_workers is None:
            num_workers = _default_workers(next(self.model.parameters()).device, total)
        photos = _SourcePhotos(source, self.processor, known, self.categories)
        hidden = not progress or (accelerator is not None and not accelerator.is_main_process)
        with tqdm(total=total, desc="Indexing photos", unit="photo", disable=hidden) as bar:
            for batch in encode_images(self.model, photos, batches, self._encode_photos, num_workers):
                bar.update(len(batch.images))
                yield batch

    def _encode_photos(self, pixel_values: Tensor, photos: list[LoadedPhoto]) -> np.ndarray:
        """Features (n, D), with one forward pass for each category, or a single one without categories."""
        groups: dict[str | None, list[int]] = {}
        for place, photo in enumerate(photos):
            groups.setdefault(photo.category, []).append(place)
        parts = [
            self._features(pixel_values[places], "photo", category) for category, places in groups.items()
        ]
        order = np.argsort([place for places in groups.values() for place in places])
        return np.concatenate(parts)[order]

    def _features(self, pixel_values: Tensor, domain: Domain, category: str | None = None) -> np.ndarray:
        """Features (B, D) float32 of pixel values (B, 3, H, W), computed in `dtype`."""
        embed = self.model.get_sketch_features if domain == "sketch" else self.model.get_photo_features
        condition = {} if category is None else {"category": category}
        place = next(self.model.parameters())
        pixel_values = pixel_values.to(place.device, place.dtype)
        if self.dtype is None:
            return embed(pixel_values, **condition).float().cpu().numpy()
        with torch.autocast(place.device.type, getattr(torch, self.dtype)):
            features = embed(pixel_values, **condition)
        # The lengths of features that were computed in fewer bits are wrong by a per cent.
        return normalize(features.float(), dim=-1).cpu().numpy()

    def _check_adapter(self) -> None:
        if self.model.active_adapter != self._adapter:
            raise ValueError(
                f"the gallery's adapter is {self._adapter!r}, but {self.model.active_adapter!r} is active: "
                "call model.set_adapter(...), or build a gallery for the other one"
            )


class _SourcePhotos(Dataset):
    """Reads, identifies and preprocesses photos, in the processes of the loader."""

    def __init__(
        self,
        source: "PhotoSource",
        processor: AnyProcessor,
        known: set[str],
        categories: dict[str, str],
    ):
        self.source = source
        # Without a tokenizer, which need not go to other processes.
        self.processor = processor.image_processor
        self.known = known
        self.categories = categories

    def __getitem__(self, number: int) -> LoadedPhoto:
        from .photo_sources import content_digest

        entry, path = self.source.entries[number], self.source.full_path(number)
        category = self.categories.get(category_key(entry.category))
        facts = {"entry": entry, "category": category, "read_ns": time.time_ns()}
        try:
            with unprocessable_is_unreadable(path):
                content = self.source.content(number)
                digest = content_digest(content, category)
                if digest in self.known:
                    return LoadedPhoto(number, digest, **facts)
                value = content if isinstance(content, Image.Image) else {"path": path, "bytes": content}
                image = read_image(value, min_size=_DECODED_SIDES * self.processor.size)
                return LoadedPhoto(number, digest, self.processor.preprocess(image, "photo"), **facts)
        except UnreadableImageError as error:
            return LoadedPhoto(number, unreadable=error.image._replace(path=path), **facts)


def _other_dtype(model: AnyModel, wanted: str | None) -> str | None:
    """The type to compute in, if that is not the model's own."""
    known = model.describe_weights()
    own = known.get("computed_in", known["dtype"])
    if wanted in (None, own):
        return None
    if wanted != "bfloat16" or own != "float32" or "engine" in known:
        raise ValueError(
            f"this model computes in {own} and not in {wanted}: only a model of torch with weights in float32 can "
            "do so in another type, which is bfloat16"
        )
    return wanted


def _default_workers(device: torch.device, n_photos: int) -> int:
    from sketch_prompt.machine import available_cores

    cores = available_cores()
    if n_photos < _WORTH_WORKERS or (device.type == "cpu" and cores <= 2):
        return 0
    return min(8, cores if device.type == "cuda" else cores // 2)
