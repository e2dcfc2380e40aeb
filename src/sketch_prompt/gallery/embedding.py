"""Photos on their way into the model: read, recognised by their content, prepared, embedded."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image

from .photo_sources import PhotoSource, content_digest
from .table import category_key

# Photos much larger than the model's input are decoded at a reduced scale, which still has this many times its side.
_DECODED_SIDES = 4
_WORTH_WORKERS = 512  # photos; with fewer, starting processes takes longer than they save


class Read(NamedTuple):
    """What came of a photo.

    Attributes:
        number: its number in the source.
        digest: of its content; None if that could not be read.
        category: under which it is embedded; None for none.
        pixels: (3, H, W) for the model; None where features of this digest are known, or nothing could be read.
        reason: why it could not be read.
        read_ns: when its content was read.
    """

    number: int
    digest: str | None
    category: str | None
    pixels: torch.Tensor | None
    reason: str | None
    read_ns: int


class _Reader(Dataset):
    """Reads, recognises and prepares photos, in the loader's processes."""

    def __init__(
        self,
        source: PhotoSource,
        numbers: Sequence[int],
        processor,
        known: set[str],
        categories: Mapping[str, str],
    ):
        self.source = source
        self.numbers = numbers
        self.processor = processor
        self.known = known
        self.categories = categories
        self.min_size = _DECODED_SIDES * processor.size

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, position: int) -> Read:
        number, now = self.numbers[position], time.time_ns()
        entry = self.source.entries[number]
        category = self.categories.get(category_key(entry.category))
        try:
            content = self.source.content(number)
            digest = content_digest(content, category)
            if digest in self.known:
                return Read(number, digest, category, None, None, now)
            value = content if isinstance(content, Image.Image) else {"path": entry.path, "bytes": content}
            image = read_image(value, min_size=self.min_size)
            return Read(number, digest, category, self.processor.preprocess(image, "photo"), None, now)
        except UnreadableImageError as error:
            return Read(number, None, None, None, error.reason, now)
        except (ValueError, OSError, MemoryError) as error:  # it opens, but its pixels make no picture
            return Read(number, None, None, None, f"cannot be processed: {error}", now)


class Embedded(NamedTuple):
    """A batch of photos.

    Attributes:
        reads: all of them.
        digests: of those that were embedded.
        features: (n, D) float32 of those.
    """

    reads: list[Read]
    digests: list[str]
    features: np.ndarray


@torch.inference_mode()
def embed_photos(
    model,
    processor,
    source: PhotoSource,
    numbers: Sequence[int],
    known: set[str],
    *,
    batch_size: int = 64,
    num_workers: int | None = None,
    progress: bool = True,
    categories: Mapping[str, str] | None = None,
) -> Iterator[Embedded]:
    """Read photos and embed those whose content is not known yet, each content once.

    Args:
        model: anything with the model contract, in eval mode.
        processor: a `SketchPromptProcessor`.
        source: where the photos are.
        numbers: which of them to read.
        known: digests that need no features.
        batch_size: photos a forward pass.
        num_workers: processes that read photos. By default up to eight, and none for a few photos or where a CPU of
            one or two cores runs the model.
        progress: show a bar on stderr.
        categories: {`category_key`: name} of those under which photos are embedded, by a method with conditions.
    """
    device = next(model.parameters()).device
    loader = DataLoader(
        _Reader(source, numbers, processor.image_processor, known, categories or {}),
        batch_size=batch_size,
        num_workers=_default_workers(device, len(numbers)) if num_workers is None else num_workers,
        collate_fn=list,
        pin_memory=device.type == "cuda",
    )
    embedded: set[str] = set()
    with tqdm(total=len(numbers), desc="Indexing photos", unit="photo", disable=not progress) as bar:
        for reads in loader:
            new = {read.digest: read for read in reads if read.pixels is not None}
            new = {digest: read for digest, read in new.items() if digest not in embedded}
            features = _embed(model, list(new.values()))
            embedded |= new.keys()
            bar.update(len(reads))
            yield Embedded([read._replace(pixels=None) for read in reads], list(new), features)


def _default_workers(device: torch.device, n_photos: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_photos < _WORTH_WORKERS or (device.type == "cpu" and cores <= 2):
        return 0
    return min(8, cores if device.type == "cuda" else cores // 2)


def _embed(model, reads: Sequence[Read]) -> np.ndarray:
    """Features (n, D): one forward pass for each category among the photos, which is one where there are none."""
    parameter = next(model.parameters())
    groups: dict[str | None, list[int]] = {}
    for place, read in enumerate(reads):
        groups.setdefault(read.category, []).append(place)
    parts = []
    for category, places in groups.items():
        pixels = torch.stack([reads[place].pixels for place in places])
        condition = {} if category is None else {"category": category}
        pixels = pixels.to(parameter.device, parameter.dtype, non_blocking=True)
        parts.append(model.get_photo_features(pixels, **condition).float().cpu().numpy())
    if not parts:
        return np.empty((0, 0), np.float32)
    order = np.argsort([place for places in groups.values() for place in places])
    return np.concatenate(parts)[order]
