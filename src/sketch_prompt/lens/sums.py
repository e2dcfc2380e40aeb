"""Running sums of features, from which a lens is fitted. They take O(D^2) memory for any number of drawings.

Everything is float64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MEAN_ONLY = -1
"""The fold of groups whose drawings count for the mean, but not for the map."""


class FeatureMeans:
    """Count and sum of features by group, for the mean photo features of classes.

    Example:
        >>> photos = FeatureMeans(groups=2, dim=2)
        >>> photos.add(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), labels=torch.tensor([1, 1]))
        >>> photos.means.tolist()
        [[nan, nan], [2.0, 0.0]]

    Args:
        groups: Number C of groups.
        dim: Width D of the features.
    """

    def __init__(self, groups: int, dim: int):
        self.counts = torch.zeros(groups, dtype=torch.float64)
        self.sums = torch.zeros(groups, dim, dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add features (B, D) of the groups `labels` (B,).

        Raises:
            ValueError: A feature is not finite, or a label is out of range.
        """
        features, labels = _checked(features, labels, len(self.counts), self.sums.shape[1])
        self.counts.index_add_(0, labels, torch.ones(len(labels), dtype=torch.float64))
        self.sums.index_add_(0, labels, features)

    @property
    def mean(self) -> Tensor:
        """(D,) mean of all features."""
        return self.sums.sum(0) / self.counts.sum()

    @property
    def means(self) -> Tensor:
        """(C, D) mean of each group, NaN for empty groups."""
        return self.sums / self.counts[:, None]


class LensSums:
    """Sums over sketch features q and, optionally, over the features y of the photos that they draw.

    With n the (weighted) number of sketches: n, sum q and sum y by group, and sum q q' and sum q y' by fold of groups.
    So a lens can be fitted to all folds but one.

    Example:
        >>> sums = LensSums(folds=[0, 1], dim=2)
        >>> sums.add(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), groups=torch.tensor([0, 1]))
        >>> sums.drawings, sums.mean.tolist()
        (2, [0.5, 0.5])

    Args:
        folds: (C,) fold of each group, from 0. `MEAN_ONLY` for groups that count only for the mean.
        dim: Width D of the features.
        partners: Also sum over partners, the features of the drawn photos.

    Attributes:
        folds: (C,) as given.
        drawings: Number of sketches, without their weights.
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
        """Add a batch.

        Args:
            sketches: (B, D) features.
            groups: (B,) group of each sketch.
            partners: (B, D) features of the photos that they draw.
            weights: (B,) weight of each sketch, 1 by default.

        Raises:
            ValueError: A feature or weight is not finite, a weight is negative, a group is out of range, or partners
                are missing.
        """
        sketches, groups = _checked(sketches, groups, len(self.folds), self.dim)
        weights = torch.ones(len(groups)) if weights is None else weights
        weights = weights.detach().to("cpu", torch.float64)
        if not (weights.isfinite() & (weights >= 0)).all():
            raise ValueError("weights of drawings must be finite and not negative")
        if self.partners is not None:
            if partners is None:
                raise ValueError("these sums are over pairs: give the partners too")
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

    @property
    def mean(self) -> Tensor:
        """(D,) mean of all sketches."""
        return self.sketches.sum(0) / self.counts.sum()


def _checked(features: Tensor, labels: Tensor, groups: int, dim: int) -> tuple[Tensor, Tensor]:
    features = features.detach().to("cpu", torch.float64)
    labels = torch.as_tensor(labels).to("cpu", torch.int64)
    if features.ndim != 2 or features.shape[1] != dim or len(labels) != len(features):
        raise ValueError(
            f"features must be ({len(labels)}, {dim}), one row for each label, not {tuple(features.shape)}"
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
