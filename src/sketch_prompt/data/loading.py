"""Training triplets from a benchmark's tables, as a torch data set.

An unreadable image never stops a run: another one of its class is drawn, and the batch says so in `unreadable`, so
that the record survives the workers of a `DataLoader`.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import datasets
import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.data.samplers import Triplet, TripletSampler

MAX_DRAWS = 100
# Entries of an example and what they are called in a batch.
_BATCHED = {
    "sketch_pixel_values": "sketch_pixel_values",
    "photo_pixel_values": "photo_pixel_values",
    "negative_pixel_values": "negative_pixel_values",
    "label": "labels",
    "negative_label": "negative_labels",
    "instance_id": "instance_ids",
}
_SHOWN = 5  # complaints that a message lists

# (sketch, photo, negative, random generator) -> the three images, changed
Augmentation = Callable[
    [Image.Image, Image.Image, Image.Image, np.random.Generator], tuple[Image.Image, Image.Image, Image.Image]
]


class NoReadableTripletError(RuntimeError):
    """So many images cannot be read that no triplet was found."""


class ImageProcessor(Protocol):
    """What loaders need of a processor."""

    def preprocess(self, image: Image.Image, domain: str) -> torch.Tensor:
        """A float32 tensor (3, H, W) of a "sketch" or "photo"."""
        ...


class ImageTable:
    """Random access to the images of a table with the standard columns.

    Args:
        dataset: one split of a benchmark.
        min_size: see `read_image`; None decodes at full size.
    """

    def __init__(self, dataset: datasets.Dataset, min_size: int | None = None):
        self.min_size = min_size
        self.labels = np.asarray(dataset["label"][:], np.int64)
        self.instance_codes = np.array([instance_code(name) for name in dataset["instance_id"][:]], np.int64)
        self._images = dataset.select_columns("image").cast_column("image", datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> Image.Image:
        """Decode the image of a row.

        Raises:
            UnreadableImageError: if it cannot be read.
        """
        return read_image(self._images[row]["image"], min_size=self.min_size)


class TripletDataset(torch.utils.data.Dataset):
    """Training triplets as tensors, to be asked for the `Triplet`s of a sampler.

    An unreadable sketch is replaced by another sketch of its class (with new photos), an unreadable photo by
    another draw for the same sketch; at instance level, where a sketch has but one photo, by another sketch.
    Replacements and augmentation depend on the triplet's seed alone.

    Args:
        sketches: the table of the training sketches.
        photos: the table of the training photos.
        processor: turns images into tensors.
        sampler: the sampler whose triplets will be asked for; its index draws replacements.
        augment: see `transforms.PairAugmentation`; None for none.
        min_size: see `read_image`.
    """

    def __init__(
        self,
        sketches: datasets.Dataset,
        photos: datasets.Dataset,
        processor: ImageProcessor,
        sampler: TripletSampler,
        *,
        augment: Augmentation | None = None,
        min_size: int | None = None,
    ):
        self.sketches = ImageTable(sketches, min_size)
        self.photos = ImageTable(photos, min_size)
        self.processor = processor
        self.index = sampler.index
        self.augment = augment

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitem__(self, triplet: Triplet) -> dict:
        """Pixel values (3, H, W) of the images, label, negative_label, instance_id (a code), unreadable.

        Raises:
            NoReadableTripletError: if no readable triplet was found in `MAX_DRAWS` draws.
        """
        rng = np.random.default_rng(triplet.seed)
        broken: dict[tuple[str, int], str] = {}
        for _ in range(MAX_DRAWS):
            images = self._read(triplet, broken)
            failed = {name for name, image in images.items() if image is None}
            if not failed:
                return self._example(triplet, images, list(broken.values()), rng)
            triplet = self._redraw(triplet, failed, rng)
        raise NoReadableTripletError(
            f"no readable triplet in {MAX_DRAWS} draws; unreadable: {_listed(list(broken.values()))}"
        )

    def _read(self, triplet: Triplet, broken: dict[tuple[str, int], str]) -> dict[str, Image.Image | None]:
        """The three images, None for each unreadable one, which `broken` records by domain and row."""
        images = {}
        for name, table in (("sketch", self.sketches), ("photo", self.photos), ("negative", self.photos)):
            row = getattr(triplet, name)
            place = ("sketch" if name == "sketch" else "photo", row)
            images[name] = None
            if place not in broken:
                try:
                    images[name] = table.read(row)
                except UnreadableImageError as error:
                    broken[place] = str(error)
        return images

    def _redraw(self, triplet: Triplet, failed: set[str], rng: np.random.Generator) -> Triplet:
        if "sketch" in failed or ("photo" in failed and self.index.level == "instance"):
            failed = {"photo", "negative"}
            triplet = triplet._replace(sketch=self.index.draw_sketch_like(triplet.sketch, rng))
        photo, negative = self.index.draw(np.array([triplet.sketch]), rng)
        drawn = {"photo": int(photo[0]), "negative": int(negative[0])}
        return triplet._replace(**{name: drawn[name] for name in failed})

    def _example(
        self,
        triplet: Triplet,
        images: dict[str, Image.Image],
        unreadable: list[str],
        rng: np.random.Generator,
    ) -> dict:
        sketch, photo, negative = images["sketch"], images["photo"], images["negative"]
        if self.augment is not None:
            sketch, photo, negative = self.augment(sketch, photo, negative, rng)
        return {
            "sketch_pixel_values": self.processor.preprocess(sketch, "sketch"),
            "photo_pixel_values": self.processor.preprocess(photo, "photo"),
            "negative_pixel_values": self.processor.preprocess(negative, "photo"),
            "label": int(self.sketches.labels[triplet.sketch]),
            "negative_label": int(self.photos.labels[triplet.negative]),
            "instance_id": int(self.sketches.instance_codes[triplet.sketch]),
            "unreadable": unreadable,
        }


def require_readable(triplets: TripletDataset, class_names: Sequence[str]) -> None:
    """Check that every class has at least one sketch and one photo that can be read.

    Of a class whose first image is readable no other is opened.

    Args:
        triplets: the data to train on.
        class_names: of the labels.

    Raises:
        ValueError: some classes have none; they are named.
    """
    without = []
    for domain, table in (("sketch", triplets.sketches), ("photo", triplets.photos)):
        for label in np.unique(table.labels):
            rows = np.flatnonzero(table.labels == label)
            reason = _first_reason(table, rows)
            if reason is not None:
                without.append(f"none of the {len(rows)} {domain} images of {class_names[label]} ({reason})")
    if without:
        raise ValueError(
            f"there are classes without a readable image: {_listed(without)}. Repair their files, or leave these "
            "classes out"
        )


def _listed(complaints: Sequence[str]) -> str:
    more = len(complaints) - _SHOWN
    return "; ".join(complaints[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _first_reason(table: ImageTable, rows: np.ndarray) -> str | None:
    """Why the first of these images cannot be read; None if any of them can."""
    reason = None
    for row in rows:
        try:
            table.read(int(row))
            return None
        except UnreadableImageError as error:
            reason = reason or str(error)
    return reason


class TripletCollator:
    """Batches of `TripletDataset` examples, in the model's argument names.

    Returns `sketch_pixel_values`, `photo_pixel_values`, `negative_pixel_values` (B, 3, H, W), `labels`,
    `negative_labels`, `instance_ids` (B,) int64, and `unreadable`: the list of `path: reason` of replaced
    images.
    """

    def __call__(self, examples: Sequence[dict]) -> dict:
        """Stack the examples."""
        # In a worker, default_collate stacks straight into the memory it shares with the training process.
        tensors = default_collate([{key: example[key] for key in _BATCHED} for example in examples])
        batch = {_BATCHED[key]: tensor for key, tensor in tensors.items()}
        batch["unreadable"] = [record for example in examples for record in example["unreadable"]]
        return batch


def instance_code(instance_id: str) -> int:
    """A non-negative 63-bit number for an instance, the same in every process and on every machine.

    Two of 100,000 instances share one with a probability of 5e-10.
    """
    return int.from_bytes(hashlib.blake2b(instance_id.encode(), digest_size=8).digest(), "big") >> 1
