"""How good a lens is on groups (classes, or drawn photos) that it was not fitted to."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PER_GROUP = 20
"""Number of sketches and of photos of each group that are kept to choose lambda."""


class Sample:
    """The first features of each group, by their row in the data, however the rows were distributed.

    Example:
        >>> sample = Sample(per_group=1)
        >>> sample.add(torch.eye(2), groups=torch.tensor([0, 0]), rows=torch.tensor([1, 0]))
        >>> sample.features.tolist()
        [[0.0, 1.0]]

    Args:
        per_group: Number of features to keep of each group.
    """

    def __init__(self, per_group: int = PER_GROUP):
        self.per_group = per_group
        self._parts: list[tuple[Tensor, ...]] = []
        self._limit = 4096
        self._is_cut = False

    def add(self, features: Tensor, groups: Tensor, rows: Tensor, labels: Tensor | None = None) -> None:
        """Add features (B, D) of the groups (B,) in the rows (B,) of the data."""
        features = features.detach().to("cpu", torch.float32)
        columns = (torch.as_tensor(c).cpu() for c in (groups, rows, groups if labels is None else labels))
        self._parts.append((features, *columns))
        if sum(len(part[0]) for part in self._parts) > self._limit:
            self._limit = 2 * len(self._first_rows()[0]) + 4096

    @property
    def features(self) -> Tensor:
        """(N, D) features, by group and row."""
        return self._first_rows()[0]

    @property
    def groups(self) -> Tensor:
        """(N,) group of each."""
        return self._first_rows()[1]

    @property
    def labels(self) -> Tensor:
        """(N,) what each shows: its group, unless other labels were given to `add`."""
        return self._first_rows()[3]

    def _first_rows(self) -> tuple[Tensor, ...]:
        if len(self._parts) > 1 or not self._is_cut:
            columns = tuple(torch.cat(column) for column in zip(*self._parts))
            order = torch.argsort(columns[2], stable=True)
            order = order[torch.argsort(columns[1][order], stable=True)]
            groups = columns[1][order]
            place = torch.arange(len(groups)) - torch.searchsorted(groups, groups)
            order = order[place < self.per_group]
            self._parts = [tuple(column[order] for column in columns)]
            self._is_cut = True
        return self._parts[0]


class Validation:
    """Sketches of held-out groups search the photos of held-out groups.

    Example:
        >>> sketches, photos = Sample(), Sample()
        >>> for sample in (sketches, photos):
        ...     sample.add(torch.eye(3), groups=torch.arange(3), rows=torch.arange(3))
        >>> search = Validation(sketches, photos).without(torch.tensor([True, True, False]))
        >>> search.scores(search.queries.float() @ search.photos.T).tolist()
        [1.0, 1.0, nan]

    Args:
        sketches: A sample of the sketches that a lens is fitted to.
        photos: A sample of the photos to search. None: the texts of the held-out classes.
        scopes: (C,) a sketch searches only the photos of groups with its own scope. None: of all held-out groups.
    """

    def __init__(self, sketches: Sample, photos: Sample | None = None, scopes: Tensor | None = None):
        self.sketches, self.photos, self.scopes = sketches, photos, scopes

    def without(self, held_out: Tensor, directions: Tensor | None = None) -> "HeldOut":
        """The search among the groups `held_out` (C,).

        Args:
            held_out: (C,) bool.
            directions: (C, D) targets of the groups, which are searched if there are no photos.
        """
        rows = held_out[self.sketches.groups]
        groups, wanted = self.sketches.groups[rows], self.sketches.labels[rows]
        if self.photos is None:
            places = labels = held_out.nonzero()[:, 0]
            photos = directions[places].float()
        else:
            shown = held_out[self.photos.groups]
            photos, places, labels = (
                column[shown] for column in (self.photos.features, self.photos.groups, self.photos.labels)
            )
        outside = None
        if self.scopes is not None:
            outside = self.scopes[groups][:, None] != self.scopes[places]
        right = wanted[:, None] == labels
        return HeldOut(self.sketches.features[rows].double(), photos, groups, right, outside, len(held_out))


class HeldOut(NamedTuple):
    """Sketches of held-out groups and what they search.

    Attributes:
        queries: (N, D) float64 features of the sketches.
        photos: (M, D) float32 features of what they search.
        groups: (N,) group of each sketch.
        right: (N, M) whether a photo is correct for a sketch.
        outside: (N, M) whether a sketch does not search a photo. None if all photos are searched.
        n_groups: Number C of all groups, held out or not.
    """

    queries: Tensor
    photos: Tensor
    groups: Tensor
    right: Tensor
    outside: Tensor | None
    n_groups: int

    def scores(self, similar: Tensor) -> Tensor:
        """Mean average precision of each group.

        Args:
            similar: (N, M) float32 similarity of sketches and photos.

        Returns:
            (C,), NaN for groups that are not held out or whose sketches have no correct photo.
        """
        if self.outside is not None:
            similar = similar.masked_fill(self.outside, -torch.inf)
        found = self.right.any(1)
        precisions = average_precision(similar[found], self.right[found])
        groups = self.groups[found]
        total = torch.zeros(self.n_groups, dtype=torch.float64).index_add_(0, groups, precisions)
        return total / torch.bincount(groups, minlength=self.n_groups)


def average_precision(similar: Tensor, right: Tensor) -> Tensor:
    """(N,) average precision of ranking by `similar` (N, M) with the hits `right` (N, M), not interpolated.

    Of photos with equal similarity, the first comes first. Each photo is one integer with the score in the high bits,
    and the column and whether it is a hit in the low bits. Sorting integers is several times faster than `argsort`.
    """
    if not similar.numel():
        return torch.zeros(len(similar), dtype=torch.float64)
    bits = (0.0 - similar.float()).contiguous().numpy().view(np.int32)
    ascending = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))  # integers in the order of the floats
    columns = 2 * np.arange(similar.shape[1], dtype=np.int64) + right.numpy()
    ranked = np.sort((ascending.astype(np.int64) << 32) | columns, axis=1)
    rows, ranks = np.nonzero(ranked & 1)
    hits = np.bincount(rows, minlength=len(ranked))
    # The k-th hit of a row, at rank r, has the precision k / r.
    numbers = np.arange(len(rows)) - np.repeat(hits.cumsum() - hits, hits) + 1
    precisions = np.bincount(rows, numbers / (ranks + 1), len(ranked)) / np.maximum(hits, 1)
    return torch.from_numpy(precisions)
