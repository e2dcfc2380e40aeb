"""Photos on their way into a gallery: read, recognised by their content, prepared, embedded."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image, unprocessable_is_unreadable
from sketch_prompt.embedding import EncodedImages, LoadedImage, encode_images, split_batches
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptImageProcessor, SketchPromptProcessor

from .photo_sources import PhotoSource, content_digest
from .table import category_key

# Photos much larger than the model's input are decoded at a reduced scale, which still has this many times its side.
_DECODED_SIDES = 4
_WORTH_WORKERS = 512  # photos; with fewer, starting processes takes longer than they save


@dataclass(frozen=True)
class LoadedPhoto(LoadedImage):
    """A photo of a source, as `_SourcePhotos` read it; its key is the digest of its content.

    Attributes:
        category: the category under which it is embedded; None for none.
        read_ns: when its content was read.
    """

    category: str | None = None
    read_ns: int = 0


class _SourcePhotos(Dataset):
    """Reads, recognises and prepares photos, in the loader's processes."""

    def __init__(
        self,
        source: PhotoSource,
        processor: SketchPromptImageProcessor,
        known: set[str],
        categories: Mapping[str, str],
    ):
        self.source = source
        self.processor = processor
        self.known = known
        self.categories = categories
        self.min_size = _DECODED_SIDES * processor.size

    def __getitem__(self, number: int) -> LoadedPhoto:
        entry, now = self.source.entries[number], time.time_ns()
        category = self.categories.get(category_key(entry.category))
        try:
            with unprocessable_is_unreadable(self.source.full_path(number)):
                content = self.source.content(number)
                digest = content_digest(content, category)
                if digest in self.known:
                    return LoadedPhoto(number, digest, category=category, read_ns=now)
                value = (
                    content if isinstance(content, Image.Image) else {"path": entry.path, "bytes": content}
                )
                image = read_image(value, min_size=self.min_size)
                pixel_values = self.processor.preprocess(image, "photo")
                return LoadedPhoto(number, digest, pixel_values, category=category, read_ns=now)
        except UnreadableImageError as error:
            reason = error.image._replace(path=self.source.full_path(number))
            return LoadedPhoto(number, unreadable=reason, category=category, read_ns=now)


def embed_photos(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    source: PhotoSource,
    numbers: Sequence[int],
    known: set[str],
    *,
    batch_size: int = 64,
    num_workers: int | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
    categories: Mapping[str, str] | None = None,
) -> Iterator[EncodedImages[np.ndarray]]:
    """Read photos and embed those whose content is not known yet, each content once.

    Args:
        model: it embeds the photos.
        processor: its processor.
        source: where the photos are.
        numbers: which of them to read.
        known: digests that need no features.
        batch_size: photos in a forward pass.
        num_workers: processes that read photos. By default up to eight, and none for a few photos or where a CPU of
            one or two cores runs the model.
        accelerator: of several processes; this one embeds its share of the batches.
        progress: show a bar on stderr.
        categories: {`category_key`: name} of those under which photos are embedded, by a method with conditions.

    Yields:
        Batches of `LoadedPhoto` with the features (n, D) float32 of those that are new.
    """
    batches = split_batches(numbers, batch_size, accelerator)
    total = sum(map(len, batches))
    if num_workers is None:
        num_workers = _default_workers(next(model.parameters()).device, total)
    photos = _SourcePhotos(source, processor.image_processor, known, categories or {})

    def encode(pixel_values: Tensor, images: list[LoadedPhoto]) -> np.ndarray:
        return _features_by_category(model, pixel_values, [image.category for image in images])

    with tqdm(total=total, desc="Indexing photos", unit="photo", disable=not progress) as bar:
        for batch in encode_images(model, photos, batches, encode, num_workers):
            bar.update(len(batch.images))
            yield batch


def _default_workers(device: torch.device, n_photos: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_photos < _WORTH_WORKERS or (device.type == "cpu" and cores <= 2):
        return 0
    return min(8, cores if device.type == "cuda" else cores // 2)


def _features_by_category(
    model: SketchPromptPreTrainedModel, pixel_values: Tensor, categories: Sequence[str | None]
) -> np.ndarray:
    """Features (n, D): one forward pass for each category among the photos, which is one where there are none."""
    groups: dict[str | None, list[int]] = {}
    for place, category in enumerate(categories):
        groups.setdefault(category, []).append(place)
    parts = []
    for category, places in groups.items():
        condition = {} if category is None else {"category": category}
        features = model.get_photo_features(pixel_values[places], **condition)
        parts.append(features.float().cpu().numpy())
    order = np.argsort([place for places in groups.values() for place in places])
    return np.concatenate(parts)[order]
