"""Samplers of whole batches of triplets: P classes with K sketches each, or one category in each batch."""

from abc import abstractmethod
from collections.abc import Iterator

import datasets
import numpy as np

from sketch_prompt.data.samplers import EpochSampler, Triplet


class TripletBatchSampler(EpochSampler):
    """Batches of triplets for `DataLoader(batch_sampler=...)`.

    Args:
        sketches, photos, options: As in `EpochSampler`. Processes share the batches of an epoch; all get equally many.

    Raises:
        ValueError: As in `EpochSampler`; or there are fewer batches than processes.
    """

    def __init__(self, sketches: datasets.Dataset, photos: datasets.Dataset, **options):
        super().__init__(sketches, photos, **options)
        self.anchors_by_class = self.index.anchors_by_class()
        if len(self) == 0:
            raise ValueError(
                f"an epoch has {self.number_of_batches()} batches for {self.num_replicas} processes: "
                "make the batches smaller"
            )

    @abstractmethod
    def number_of_batches(self) -> int:
        """Number of batches in an epoch, over all processes."""

    @abstractmethod
    def anchor_batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The sketches of each batch of an epoch."""

    def __len__(self) -> int:
        return self.number_of_batches() // self.num_replicas

    def __iter__(self) -> Iterator[list[Triplet]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches = self.anchor_batches(rng)
        anchors = np.concatenate(batches)
        seeds = rng.integers(0, 2**63, size=len(anchors))
        columns = (column.tolist() for column in (anchors, *self.index.draw(anchors, rng), seeds))
        triplets = list(map(Triplet, *columns))
        stops = np.cumsum([len(batch) for batch in batches]).tolist()
        bounds = list(zip([0, *stops[:-1]], stops))
        for start, stop in bounds[self.rank : len(self) * self.num_replicas : self.num_replicas]:
            yield triplets[start:stop]


class OneCategoryBatchSampler(TripletBatchSampler):
    """Batches with sketches of a single class, as DP-CLIP trains. Every sketch is used once in an epoch.

    With `level="instance"` the negatives are other photos of that class.

    Args:
        sketches, photos, options: As in `TripletBatchSampler`.
        batch_size: Number of sketches in a batch.
        drop_last: Return full batches only. Sketches of a class that do not fill a last batch are left out, different
            ones in each epoch. A class smaller than a batch repeats some of its sketches.
    """

    def __init__(
        self,
        sketches: datasets.Dataset,
        photos: datasets.Dataset,
        batch_size: int,
        *,
        drop_last: bool = False,
        **options,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size = batch_size
        self.drop_last = drop_last
        super().__init__(sketches, photos, **options)

    def number_of_batches(self) -> int:
        """Batches of an epoch, over all processes."""
        spare = 0 if self.drop_last else self.batch_size - 1
        return sum(max((len(anchors) + spare) // self.batch_size, 1) for anchors in self.anchors_by_class)

    def anchor_batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The sketches of every batch of an epoch, classes in random order."""
        batches = []
        for anchors in self.anchors_by_class:
            shuffled = rng.permutation(anchors)
            if self.drop_last:
                size = max(len(anchors) // self.batch_size, 1) * self.batch_size
                shuffled = np.resize(shuffled, size)
            batches += np.split(shuffled, range(self.batch_size, len(shuffled), self.batch_size))
        return [batches[i] for i in rng.permutation(len(batches))]


class PKBatchSampler(TripletBatchSampler):
    """Batches of `classes_per_batch` (P) classes with `sketches_per_class` (K) sketches each.

    An epoch uses as many sketches as fit into whole batches, each at most once. A class with fewer than K sketches
    repeats some of them.

    Example:
        ```python
        batches = PKBatchSampler(
            benchmark["train_sketch"], benchmark["train_photo"], classes_per_batch=16, sketches_per_class=4
        )
        loader = DataLoader(triplets, batch_sampler=batches, collate_fn=TripletCollator())
        ```

    Args:
        sketches, photos, options: As in `TripletBatchSampler`.
        classes_per_batch: P.
        sketches_per_class: K.

    Raises:
        ValueError: Fewer than P classes have sketches.
    """

    def __init__(
        self,
        sketches: datasets.Dataset,
        photos: datasets.Dataset,
        classes_per_batch: int,
        sketches_per_class: int,
        **options,
    ):
        if min(classes_per_batch, sketches_per_class) < 1:
            raise ValueError("classes_per_batch and sketches_per_class must be at least 1")
        self.classes_per_batch = classes_per_batch
        self.sketches_per_class = sketches_per_class
        super().__init__(sketches, photos, **options)

    def number_of_batches(self) -> int:
        """The greatest number of batches that can all be filled with shares of P different classes."""
        shares = self._shares_per_class()
        if len(shares) < self.classes_per_batch:
            raise ValueError(
                f"batches of {self.classes_per_batch} classes need as many classes with sketches; "
                f"there are {len(shares)}"
            )
        counts = range(int(shares.sum()) // self.classes_per_batch, 0, -1)
        return next(n for n in counts if np.minimum(shares, n).sum() >= n * self.classes_per_batch)

    def anchor_batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The sketches of every batch of an epoch."""
        n_batches = self.number_of_batches()
        members: list[list[np.ndarray]] = [[] for _ in range(n_batches)]
        free = np.full(n_batches, self.classes_per_batch)
        used = self._used_shares(n_batches, rng)
        # The class with the most shares goes first, into the emptiest batches. This way every batch is filled.
        for number in np.lexsort((rng.random(len(used)), -used)):
            emptiest = np.lexsort((rng.random(n_batches), -free))[: used[number]]
            free[emptiest] -= 1
            for batch, share in zip(emptiest, self._draw_shares(self.anchors_by_class[number], rng)):
                members[batch].append(share)
        return [np.concatenate(members[i]) for i in rng.permutation(n_batches)]

    def _shares_per_class(self) -> np.ndarray:
        sizes = np.array([len(anchors) for anchors in self.anchors_by_class])
        return np.maximum(sizes // self.sketches_per_class, 1)

    def _used_shares(self, n_batches: int, rng: np.random.Generator) -> np.ndarray:
        """Number of shares of each class in an epoch: at most one in a batch, and enough to fill all batches."""
        used = np.minimum(self._shares_per_class(), n_batches)
        owners = np.repeat(np.arange(len(used)), used)
        surplus = rng.permutation(owners)[n_batches * self.classes_per_batch :]
        return used - np.bincount(surplus, minlength=len(used))

    def _draw_shares(self, anchors: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        size = self.sketches_per_class
        shuffled = rng.permutation(anchors)
        if len(anchors) < size:
            return [np.resize(shuffled, size)]
        return list(shuffled[: len(anchors) // size * size].reshape(-1, size))
