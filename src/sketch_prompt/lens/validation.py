"""How well a lens does on groups (classes, or drawn photos) that it was not fitted on."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PER_GROUP = 20
"""So many sketches, and so many photos, of each group are kept to choose lambda on."""


class Sample:
    """The first features of every group, by their row in the data: the same however the rows were shared out.

    Args:
        per_group: how many of a group are kept.
    """

    def __init__(self, per_group: int = PER_GROUP):
        self.per_group = per_group
        self._parts: list[tuple[Tensor, ...]] = []
        self._limit = 4096
        self._is_cut = False

    def add(self, features: Tensor, groups: Tensor, rows: Tensor, labels: Tensor | None = None) -> None:
        """Consider features (B, D) of the groups (B,), which stand in the data's rows (B,)."""
        features = features.detach().to("cpu", torch.float32)
        columns = (torch.as_tensor(c).cpu() for c in (groups, rows, groups if labels is None else labels))
        self._parts.append((features, *columns))
        if sum(len(part[0]) for part in self._parts) > self._limit:
            self._limit = 2 * len(self._kept()[0]) + 4096

    def merge(self, other: "Sample") -> None:
        """Consider what another process or another part of the data has kept."""
        self._parts += other._parts

    @property
    def features(self) -> Tensor:
        """(N, D) features, by group and row."""
        return self._kept()[0]

    @property
    def groups(self) -> Tensor:
        """(N,) the group of each."""
        return self._kept()[1]

    @property
    def labels(self) -> Tensor:
        """(N,) what each shows: its group, unless `add` was told something finer."""
        return self._kept()[3]

    def _kept(self) -> tuple[Tensor, ...]:
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

    Args:
        sketches: a sample of the sketches that a lens is fitted on.
        photos: a sample of what they search; None: the texts of the held-out classes.
        scopes: (C,) a sketch searches the photos of groups of its own scope; None: those of all held-out groups.
    """

    def __init__(self, sketches: Sample, photos: Sample | None = None, scopes: Tensor | None = None):
        self.sketches, self.photos, self.scopes = sketches, photos, scopes

    def without(self, held_out: Tensor, directions: Tensor | None = None) -> "HeldOut":
        """The search of the groups `held_out` (C,).

        Args:
            held_out: (C,) bool.
            directions: (C, D) targets of the groups, which are searched where there are no photos.
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
        groups: (N,) the group of each sketch.
        right: (N, M) what each should find.
        outside: (N, M) what each does not search; None if it searches everything.
        n_groups: number C of all groups, held out or not.
    """

    queries: Tensor
    photos: Tensor
    groups: Tensor
    right: Tensor
    outside: Tensor | None
    n_groups: int

    def scores(self, similar: Tensor) -> Tensor:
        """Mean average precision of every group.

        Args:
            similar: (N, M) float32, how alike sketches and photos are.

        Returns:
            (C,), NaN for groups that are not held out or have no sketch that can find anything.
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

    Of photos that are equally alike, the first comes first. Every photo is one integer: its score above, the column
    and whether it is a hit below. Integers are sorted in a fraction of the time of an `argsort`.
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
