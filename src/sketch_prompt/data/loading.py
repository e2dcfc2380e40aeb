"""Training triplets from a benchmark's tables, as a torch data set.

An unreadable image does not stop a run: it is replaced by another one of its class, and `unreadable` in the batch says
so.
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
# {entry of an example: its name in a batch}
_BATCHED = {
    "sketch_pixel_values": "sketch_pixel_values",
    "photo_pixel_values": "photo_pixel_values",
    "negative_pixel_values": "negative_pixel_values",
    "label": "labels",
    "negative_label": "negative_labels",
    "instance_id": "instance_ids",
    "second_sketch_pixel_values": "mismatched_sketch_pixel_values",
    "sketch_row": "sketch_rows",
}
_SHOWN = 5  # problems listed in a message

# (sketch, photo, negative, random generator) -> the three images, changed
Augmentation = Callable[
    [Image.Image, Image.Image, Image.Image, np.random.Generator], tuple[Image.Image, Image.Image, Image.Image]
]


class NoReadableTripletError(RuntimeError):
    """No triplet was found, because too many images cannot be read."""


class ImageProcessor(Protocol):
    """The part of a processor that loading needs."""

    def preprocess(self, image: Image.Image, domain: str) -> torch.Tensor:
        """Pixel values (3, H, W), float32, of a "sketch" or a "photo"."""
        ...


class ImageTable:
    """Random access to the images of a benchmark's split.

    Args:
        dataset: The split.
        min_size: See `read_image`; None decodes at full size.
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
            UnreadableImageError: It cannot be read.
        """
        return read_image(self._images[row]["image"], min_size=self.min_size)


class TripletDataset(torch.utils.data.Dataset):
    """Training triplets as tensors. The index of the data set is a `Triplet` of a sampler.

    An unreadable sketch is replaced by another sketch of its class, with new photos. An unreadable photo is replaced
    by another photo for the same sketch; at instance level, where a sketch has only one photo, the sketch is replaced.
    Replacement and augmentation depend on the triplet's seed alone. See `TripletSampler` for an example.

    Args:
        sketches: Table of the training sketches.
        photos: Table of the training photos.
        processor: Turns images into tensors.
        sampler: The sampler of the triplets. Its index also draws replacements.
        augment: See `transforms.PairAugmentation`; None for no augmentation.
        min_size: See `read_image`.
        second_sketch: Also give another sketch of each sketch's class, augmented on its own.
        sketch_only: Open no photo, and name the row of each sketch: for methods that embed photos before training.
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
        second_sketch: bool = False,
        sketch_only: bool = False,
    ):
        if sketch_only and augment is not None:
            raise ValueError("photos that are embedded before training cannot be augmented")
        self.sketch_only = sketch_only
        self.sketches = ImageTable(sketches, min_size)
        self.photos = ImageTable(photos, min_size)
        self.processor = processor
        self.index = sampler.index
        self.augment = augment
        self.second_sketch = second_sketch

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitem__(self, triplet: Triplet) -> dict:
        """Pixel values (3, H, W) of the three images, label, negative_label, instance_id (a code), and unreadable.

        With `second_sketch` also `second_sketch_pixel_values`.
        With `sketch_only`, there is nothing of the photos, but sketch_row.

        Raises:
            NoReadableTripletError: There was no readable triplet in `MAX_DRAWS` draws.
        """
        rng = np.random.default_rng(triplet.seed)
        broken: dict[tuple[str, int], str] = {}
        for _ in range(MAX_DRAWS):
            images = self._read(triplet, broken)
            failed = {name for name, image in images.items() if image is None}
            if not failed:
                second = self._read_second(triplet, images, broken, rng) if self.second_sketch else None
                return self._example(triplet, images, second, list(broken.values()), rng)
            triplet = self._redraw(triplet, failed, rng)
        raise NoReadableTripletError(
            f"no readable triplet in {MAX_DRAWS} draws; unreadable: {_listed(list(broken.values()))}"
        )

    def _read(self, triplet: Triplet, broken: dict[tuple[str, int], str]) -> dict[str, Image.Image | None]:
        """The three images. An unreadable one is None, and is added to `broken` with the reason."""
        images = {}
        places = (("sketch", self.sketches), ("photo", self.photos), ("negative", self.photos))
        for name, table in places[:1] if self.sketch_only else places:
            row = getattr(triplet, name)
            place = ("sketch" if name == "sketch" else "photo", row)
            images[name] = None
            if place not in broken:
                try:
                    images[name] = table.read(row)
                except UnreadableImageError as error:
                    broken[place] = str(error)
        return images

    def _read_second(
        self,
        triplet: Triplet,
        images: dict[str, Image.Image],
        broken: dict[tuple[str, int], str],
        rng: np.random.Generator,
    ) -> Image.Image:
        """Another sketch of the class; the triplet's own if no other can be read."""
        for _ in range(MAX_DRAWS):
            row = self.index.draw_sketch_like(triplet.sketch, rng)
            try:
                return self.sketches.read(row)
            except UnreadableImageError as error:
                broken["sketch", row] = str(error)
        return images["sketch"]

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
        second: Image.Image | None,
        unreadable: list[str],
        rng: np.random.Generator,
    ) -> dict:
        if self.sketch_only:
            return {
                "sketch_pixel_values": self.processor.preprocess(images["sketch"], "sketch"),
                "label": int(self.sketches.labels[triplet.sketch]),
                "instance_id": int(self.sketches.instance_codes[triplet.sketch]),
                "sketch_row": triplet.sketch,
                "unreadable": unreadable,
            }
        sketch, photo, negative = images["sketch"], images["photo"], images["negative"]
        if self.augment is not None:
            sketch, photo, negative = self.augment(sketch, photo, negative, rng)
            if second is not None:
                second = self.augment(second, images["photo"], images["negative"], rng)[0]
        extra = {}
        if second is not None:
            extra["second_sketch_pixel_values"] = self.processor.preprocess(second, "sketch")
        return extra | {
            "sketch_pixel_values": self.processor.preprocess(sketch, "sketch"),
            "photo_pixel_values": self.processor.preprocess(photo, "photo"),
            "negative_pixel_values": self.processor.preprocess(negative, "photo"),
            "label": int(self.sketches.labels[triplet.sketch]),
            "negative_label": int(self.photos.labels[triplet.negative]),
            "instance_id": int(self.sketches.instance_codes[triplet.sketch]),
            "unreadable": unreadable,
        }


def require_readable(triplets: TripletDataset, class_names: Sequence[str]) -> None:
    """Check that each class has at least one readable sketch and one readable photo.

    Args:
        triplets: The data to train on.
        class_names: Names of the labels.

    Raises:
        ValueError: Classes have no readable image; the message names them.
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
    """None if one of these images can be read; otherwise the reason why the first one cannot."""
    reason = None
    for row in rows:
        try:
            table.read(int(row))
            return None
        except UnreadableImageError as error:
            reason = reason or str(error)
    return reason


class TripletCollator:
    """Collates examples of `TripletDataset` into a batch, with the names of the model's arguments.

    A batch has `sketch_pixel_values`, `photo_pixel_values` and `negative_pixel_values` (B, 3, H, W), `labels`,
    `negative_labels` and `instance_ids` (B,) int64, and `unreadable`, a list with `path: reason` for each image that
    was replaced. Examples with second sketches give `mismatched_sketch_pixel_values` too.
    """

    def __call__(self, examples: Sequence[dict]) -> dict:
        """Stack the examples."""
        # In a worker, default_collate stacks into memory that is shared with the training process.
        there = [key for key in _BATCHED if key in examples[0]]
        tensors = default_collate([{key: example[key] for key in there} for example in examples])
        batch = {_BATCHED[key]: tensor for key, tensor in tensors.items()}
        batch["unreadable"] = [record for example in examples for record in example["unreadable"]]
        return batch


def instance_code(instance_id: str) -> int:
    """A non-negative 63-bit number for an instance, the same on every machine.

    The probability that two of 100,000 instances get the same number is 5e-10.
    """
    return int.from_bytes(hashlib.blake2b(instance_id.encode(), digest_size=8).digest(), "big") >> 1


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows of each label, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))
