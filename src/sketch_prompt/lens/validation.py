"""How well a lens does on groups (classes, or drawn photos) that it was not fitted on."""

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

    def queries(self, held_out: Tensor) -> Tensor:
        """(N, D) float64 features of the sketches of the groups `held_out` (C,)."""
        return self.sketches.features[held_out[self.sketches.groups]].double()

    def scores(self, held_out: Tensor, queries: Tensor, directions: Tensor | None = None) -> Tensor:
        """Mean average precision of every group.

        Args:
            held_out: (C,) the groups.
            queries: (N, D) what the sketches that `queries` returns were made into.
            directions: (C, D) targets of the groups, which are searched where there are no photos.

        Returns:
            (C,), NaN for groups that are not held out or have no sketch that can find anything.
        """
        rows = held_out[self.sketches.groups]
        groups, wanted = self.sketches.groups[rows], self.sketches.labels[rows]
        if self.photos is None:
            places = labels = held_out.nonzero()[:, 0]
            photos = directions[places].float()
        else:
            rows = held_out[self.photos.groups]
            photos, places, labels = (
                column[rows] for column in (self.photos.features, self.photos.groups, self.photos.labels)
            )
        right = wanted[:, None] == labels
        similar = queries.float() @ photos.T
        if self.scopes is not None:
            similar[self.scopes[groups][:, None] != self.scopes[places]] = -torch.inf
        precisions = _average_precision(similar, right)
        found = right.any(1)
        total = torch.zeros(len(held_out), dtype=torch.float64).index_add_(
            0, groups[found], precisions[found]
        )
        return total / torch.bincount(groups[found], minlength=len(held_out))


def _average_precision(similar: Tensor, right: Tensor) -> Tensor:
    """(N,) average precision of ranking by `similar` (N, M) with the hits `right` (N, M), not interpolated."""
    order = similar.argsort(dim=1, descending=True, stable=True)
    hits = right.gather(1, order).double()
    ranks = torch.arange(1, similar.shape[1] + 1)
    return (hits.cumsum(1) / ranks * hits).sum(1) / hits.sum(1).clamp_min(1)
