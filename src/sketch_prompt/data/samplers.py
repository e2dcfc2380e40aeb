"""Samplers of training triplets. They depend on the seed alone, not on the machine or the number of workers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import datasets
import numpy as np
import torch


class Triplet(NamedTuple):
    """Row numbers of a sketch, a photo that matches it, and one that does not.

    `seed` is the seed for augmentation and for replacing unreadable images, so that the result does not depend on the
    worker that loads the triplet.
    """

    sketch: int
    photo: int
    negative: int
    seed: int


class TripletIndex:
    """Draws positives and negatives for sketches.

    At category level, the positive is a random photo of the sketch's class, and the negative is a random photo of
    another class. All other classes are equally likely, whatever their sizes. At instance level, the positive is the
    sketch's own photo, and the negative is another photo of its class.

    Args:
        sketch_labels: (n_sketches,) class of each sketch.
        photo_labels: (n_photos,) class of each photo.
        sketch_instances: (n_sketches,) instance of each sketch; for instance level.
        photo_instances: (n_photos,) instance of each photo; for instance level.
        level: "category" or "instance".

    Raises:
        ValueError: At category level, a class has no photo, or there is only one class. At instance level, no sketch
            has its own photo and another photo of its class.
    """

    def __init__(
        self,
        sketch_labels: Sequence[int],
        photo_labels: Sequence[int],
        sketch_instances: Sequence[str] | None = None,
        photo_instances: Sequence[str] | None = None,
        level: str = "category",
    ):
        if level not in ("category", "instance"):
            raise ValueError(f"level must be 'category' or 'instance', not {level!r}")
        if level == "instance" and (sketch_instances is None or photo_instances is None):
            raise ValueError("instance level needs sketch_instances and photo_instances")
        self.level = level
        self.classes, codes = np.unique(
            np.concatenate([np.asarray(sketch_labels), np.asarray(photo_labels)]), return_inverse=True
        )
        self._sketch_class, photo_class = np.split(codes, [len(sketch_labels)])
        if level == "instance":
            both = np.concatenate([np.asarray(sketch_instances, str), np.asarray(photo_instances, str)])
            instances = np.unique(both, return_inverse=True)[1]
        else:
            instances = np.zeros(len(codes), np.int64)
        sketch_instance, photo_instance = np.split(instances, [len(sketch_labels)])
        self._index_photos(photo_class, photo_instance, sketch_instance)
        self.anchors = self._find_anchors()

    @classmethod
    def from_datasets(
        cls, sketches: datasets.Dataset, photos: datasets.Dataset, level: str
    ) -> "TripletIndex":
        """The index of two tables with the columns label and, at instance level, instance_id."""
        instances = level == "instance"
        return cls(
            sketches["label"][:],
            photos["label"][:],
            sketches["instance_id"][:] if instances else None,
            photos["instance_id"][:] if instances else None,
            level,
        )

    def _index_photos(
        self, photo_class: np.ndarray, photo_instance: np.ndarray, sketch_instance: np.ndarray
    ) -> None:
        """Sort the photos by class and instance, and find the range of matching photos for each sketch."""
        self._photos = np.lexsort((photo_instance, photo_class))
        n_instances = 1 + max(photo_instance.max(initial=0), sketch_instance.max(initial=0))
        keys = (photo_class * n_instances + photo_instance)[self._photos]
        own = self._sketch_class * n_instances + sketch_instance
        self._own_start = np.searchsorted(keys, own, side="left")
        self._own_stop = np.searchsorted(keys, own, side="right")
        self._class_bounds = np.searchsorted(photo_class[self._photos], np.arange(len(self.classes) + 1))

    def _find_anchors(self) -> np.ndarray:
        n_own = self._own_stop - self._own_start
        if self.level == "category":
            photos_per_class = np.diff(self._class_bounds)
            if len(self.classes) < 2 or (photos_per_class == 0).any():
                without = self.classes[photos_per_class == 0].tolist()
                raise ValueError(
                    f"category-level triplets need at least two classes, all with photos; "
                    f"there are {len(self.classes)}, without a photo: {without}"
                )
            return np.arange(len(self._sketch_class))
        n_class = np.diff(self._class_bounds)[self._sketch_class]
        anchors = np.flatnonzero((n_own > 0) & (n_class > n_own))
        if not len(anchors):
            raise ValueError(
                "instance-level triplets need sketches with their own photo and another photo of the class; "
                "none of the sketches has both: check the file names that pair them"
            )
        return anchors

    def draw(self, anchors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of a positive and of a negative photo for each anchor sketch, in the shape of `anchors`."""
        anchors = np.asarray(anchors)
        own_start, own_stop = self._own_start[anchors], self._own_stop[anchors]
        positives = rng.integers(own_start, own_stop)
        own_class = self._sketch_class[anchors]
        if self.level == "category":
            other = rng.integers(0, len(self.classes) - 1, size=anchors.shape)
            other += other >= own_class
            negatives = rng.integers(self._class_bounds[other], self._class_bounds[other + 1])
        else:
            start, stop = self._class_bounds[own_class], self._class_bounds[own_class + 1]
            negatives = rng.integers(start, stop - (own_stop - own_start))
            negatives += (negatives >= own_start) * (own_stop - own_start)
        return self._photos[positives], self._photos[negatives]

    def draw_sketch_like(self, anchor: int, rng: np.random.Generator) -> int:
        """Another anchor of the same class, or `anchor` itself if it is the only one."""
        alike = self.anchors[self._sketch_class[self.anchors] == self._sketch_class[anchor]]
        return int(rng.choice(alike[alike != anchor] if len(alike) > 1 else alike))

    def anchors_by_class(self) -> list[np.ndarray]:
        """The anchors of each class that has any, ordered by label."""
        classes = self._sketch_class[self.anchors]
        return [self.anchors[classes == number] for number in np.unique(classes)]


class EpochSampler(torch.utils.data.Sampler):
    """Base of the samplers of triplets.

    Args:
        sketches: Table of the training sketches, with the columns label and, at instance level, instance_id.
        photos: Table of the training photos, with the same columns.
        level: "category" or "instance"; see `TripletIndex`.
        seed: Seed for all random choices.
        num_replicas: Number of processes that share an epoch without overlap. Either give each process its `rank`, or
            let `accelerate` share the work, but not both.
        rank: Number of this process.

    Raises:
        ValueError: As in `TripletIndex`; or `rank` is not below `num_replicas`.
    """

    def __init__(
        self,
        sketches: datasets.Dataset,
        photos: datasets.Dataset,
        *,
        level: str = "category",
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ):
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank must be from 0 to {num_replicas - 1}, not {rank}")
        self.index = TripletIndex.from_datasets(sketches, photos, level)
        self.seed = seed
        self.epoch = 0
        self.num_replicas = num_replicas
        self.rank = rank

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to sample next."""
        self.epoch = epoch


class TripletSampler(EpochSampler):
    """Triplets in random order. Each sketch that has a positive and a negative photo is used once in an epoch.

    Call `set_epoch` before each epoch; otherwise the triplets repeat. The arguments are those of `EpochSampler`. All
    processes get equally many triplets: up to `num_replicas - 1` sketches are left out, different ones in each epoch.

    Example:
        ```python
        sampler = TripletSampler(benchmark["train_sketch"], benchmark["train_photo"], seed=1)
        triplets = TripletDataset(benchmark["train_sketch"], benchmark["train_photo"], processor, sampler)
        loader = DataLoader(triplets, batch_size=64, sampler=sampler, collate_fn=TripletCollator())
        ```
    """

    def __len__(self) -> int:
        return len(self.index.anchors) // self.num_replicas

    def __iter__(self) -> Iterator[Triplet]:
        rng = np.random.default_rng((self.seed, self.epoch))
        anchors = rng.permutation(self.index.anchors)
        positives, negatives = self.index.draw(anchors, rng)
        seeds = rng.integers(0, 2**63, size=len(anchors))
        mine = slice(self.rank, len(self) * self.num_replicas, self.num_replicas)
        columns = (column[mine].tolist() for column in (anchors, positives, negatives, seeds))
        return iter(map(Triplet, *columns))
