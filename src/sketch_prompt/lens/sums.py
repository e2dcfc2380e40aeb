"""Running sums of features: all that a lens is fitted from, in O(D^2) memory however many drawings there are.

Everything is float64. Sums of parts of the data (batches, processes, machines) add up to the sums of the whole.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MEAN_ONLY = -1
"""The fold of a group whose drawings count for the mean and not for the map."""


class FeatureMeans:
    """Count and sum of features by group: what mean photo features of classes are made from.

    Args:
        groups: number C of groups.
        dim: width D of the features.
    """

    def __init__(self, groups: int, dim: int):
        self.counts = torch.zeros(groups, dtype=torch.float64)
        self.sums = torch.zeros(groups, dim, dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Count features (B, D) of the groups `labels` (B,).

        Raises:
            ValueError: a feature is not finite, or a label is out of range.
        """
        features, labels = _checked(features, labels, len(self.counts), self.sums.shape[1])
        self.counts.index_add_(0, labels, torch.ones(len(labels), dtype=torch.float64))
        self.sums.index_add_(0, labels, features)

    def merge(self, other: "FeatureMeans") -> None:
        """Add what another process or another part of the data has summed."""
        self.counts += other.counts
        self.sums += other.sums

    @property
    def mean(self) -> Tensor:
        """(D,) mean of all features."""
        return self.sums.sum(0) / self.counts.sum()

    @property
    def means(self) -> Tensor:
        """(C, D) mean of each group, NaN where it has none."""
        return self.sums / self.counts[:, None]


class LensSums:
    """Sums over sketch features q, and over the features y of the photos they draw, where there are any.

    With n the (weighted) number of sketches: n, sum q and sum y by group; sum q q' and sum q y' by fold of groups, so
    that a lens can be fitted on all folds but one.

    Args:
        folds: (C,) the fold of every group, from 0; `MEAN_ONLY` for a group that counts for the mean alone.
        dim: width D of the features.
        partners: also sum over partners, the features of the drawn photos.

    Attributes:
        folds: (C,) as given.
        drawings: how many sketches were counted, whatever their weights.
        counts: (C,) n.
        sketches: (C, D) sum q.
        squared_norms: (C,) sum q'q.
        partners: (C, D) sum y, or None.
        grams: (K, D, D) sum q q'.
        crosses: (K, D, D) sum q y', or None.
        squares: (K,) sum y'y, or None.
    """

    def __init__(self, folds: Tensor | Sequence[int], dim: int, partners: bool = False):
        self.folds = torch.as_tensor(folds, dtype=torch.int64)
        n_folds = int(self.folds.max()) + 1 if len(self.folds) else 0
        self.drawings = 0
        self.counts = torch.zeros(len(self.folds), dtype=torch.float64)
        self.sketches = torch.zeros(len(self.folds), dim, dtype=torch.float64)
        self.squared_norms = torch.zeros(len(self.folds), dtype=torch.float64)
        self.grams = torch.zeros(n_folds, dim, dim, dtype=torch.float64)
        self.partners = torch.zeros_like(self.sketches) if partners else None
        self.crosses = torch.zeros_like(self.grams) if partners else None
        self.squares = torch.zeros(n_folds, dtype=torch.float64) if partners else None

    @property
    def dim(self) -> int:
        """Width of the features."""
        return self.sketches.shape[1]

    def add(
        self, sketches: Tensor, groups: Tensor, partners: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        """Count a batch.

        Args:
            sketches: (B, D) features.
            groups: (B,) the group of each.
            partners: (B, D) features of the photos that they draw.
            weights: (B,) how much each counts; 1 by default.

        Raises:
            ValueError: a feature or weight is not finite, a weight is negative, a group is out of range, or partners
                are missing.
        """
        sketches, groups = _checked(sketches, groups, len(self.folds), self.dim)
        weights = torch.ones(len(groups)) if weights is None else weights
        weights = weights.detach().to("cpu", torch.float64)
        if not (weights.isfinite() & (weights >= 0)).all():
            raise ValueError("weights of drawings must be finite and not negative")
        if self.partners is not None:
            if partners is None:
                raise ValueError("these sums are over pairs: give the partners, too")
            partners, _ = _checked(partners, groups, len(self.folds), self.dim)
        self.drawings += len(groups)
        weighted = weights[:, None] * sketches
        self.counts.index_add_(0, groups, weights)
        self.sketches.index_add_(0, groups, weighted)
        self.squared_norms.index_add_(0, groups, weights * sketches.square().sum(1))
        if self.partners is not None:
            self.partners.index_add_(0, groups, weights[:, None] * partners)
        folds = self.folds[groups]
        for fold in folds.unique().tolist():
            if fold == MEAN_ONLY:
                continue
            rows = folds == fold
            self.grams[fold] += weighted[rows].T @ sketches[rows]
            if self.partners is not None:
                self.crosses[fold] += weighted[rows].T @ partners[rows]
                self.squares[fold] += weights[rows] @ partners[rows].square().sum(1)

    def merge(self, other: "LensSums") -> None:
        """Add what another process or another part of the data has summed.

        Raises:
            ValueError: the other sums have other groups, folds or widths.
        """
        if not torch.equal(self.folds, other.folds) or self.dim != other.dim:
            raise ValueError("sums of other groups, folds or widths do not add up")
        if (self.partners is None) != (other.partners is None):
            raise ValueError("sums with partners and sums without do not add up")
        self.drawings += other.drawings
        for name in ("counts", "sketches", "squared_norms", "grams", "partners", "crosses", "squares"):
            if getattr(self, name) is not None:
                getattr(self, name).add_(getattr(other, name))

    @property
    def mean(self) -> Tensor:
        """(D,) mean of all sketches."""
        return self.sketches.sum(0) / self.counts.sum()


def _checked(features: Tensor, labels: Tensor, groups: int, dim: int) -> tuple[Tensor, Tensor]:
    features = features.detach().to("cpu", torch.float64)
    labels = torch.as_tensor(labels).to("cpu", torch.int64)
    if features.ndim != 2 or features.shape[1] != dim or len(labels) != len(features):
        raise ValueError(
            f"features must be ({len(labels)}, {dim}), one row a label, not {tuple(features.shape)}"
        )
    if not features.isfinite().all():
        broken = int((~features.isfinite()).any(1).sum())
        raise ValueError(
            f"{broken} of {len(features)} features hold NaN or infinity: the CLIP overflows or its weights are "
            "damaged (in float16 on a CPU? load it in float32)"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < groups:
        raise ValueError(f"labels must be from 0 to {groups - 1}")
    return features, labels
