"""Apply a lens to features of sketches."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

_NO_DIRECTION = 1e-6


@dataclass(frozen=True)
class Lens:
    """A fitted lens: q' = normalise((q - m) W).

    Example:
        >>> lens = Lens(mean=torch.tensor([0.0, 1.0]), map=None, penalty=math.inf)
        >>> lens(torch.tensor([[2.0, 1.0]])).tolist()
        [[1.0, 0.0]]

    Attributes:
        mean: (D,) float64, the mean m of the sketches that it was fitted to.
        map: (D, D) float64, W. None for only centring.
        penalty: Lambda of the fit. Infinite for only centring.
        scores: {lambda: score on held-out groups}, empty if lambda was not chosen.
        drawings: Number of drawings that it was fitted to.
        groups: Number of groups (classes, or drawn photos) that the map was fitted to.
        notes: What users should know about this fit, in sentences.
    """

    mean: Tensor
    map: Tensor | None
    penalty: float
    scores: dict[float, float] = field(default_factory=dict)
    drawings: int = 0
    groups: int = 0
    notes: tuple[str, ...] = ()

    def describe(self) -> dict:
        """The facts of the fit as plain values. The lambda of only centring is None."""
        return {
            "penalty": self.penalty if math.isfinite(self.penalty) else None,
            "scores": {
                f"{penalty:g}" if math.isfinite(penalty) else "centring": round(score, 4)
                for penalty, score in self.scores.items()
            },
            "drawings": self.drawings,
            "groups": self.groups,
            "notes": list(self.notes),
        }

    def __call__(self, features: Tensor) -> Tensor:
        """Turn features (B, D) of sketches into queries (B, D); see `apply_lens`."""
        return apply_lens(features, self.mean, self.map)


def apply_lens(features: Tensor, mean: Tensor, map: Tensor | None) -> Tensor:
    """normalise((q - m) W) of each row q. A row equal to m has no direction and stays the same.

    Args:
        features: (B, D)
        mean: (D,)
        map: (D, D), None for the identity.

    Returns:
        (B, D), L2-normalised, with the data type of `features`.
    """
    queries = features - mean.to(features)
    if map is not None:
        queries = queries @ map.to(features)
    norms = queries.norm(dim=-1, keepdim=True)
    return torch.where(norms > _NO_DIRECTION, queries / norms.clamp_min(_NO_DIRECTION), features)
