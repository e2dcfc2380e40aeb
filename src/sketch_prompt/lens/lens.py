"""What a lens does to the features of sketches."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

_NO_DIRECTION = 1e-6


@dataclass(frozen=True)
class Lens:
    """A fitted lens: q' = normalise((q - m) W).

    Attributes:
        mean: (D,) float64, the mean m of the sketches that it was fitted on.
        map: (D, D) float64, W; None for centring alone.
        penalty: lambda of the fit; infinite for centring alone.
        scores: {lambda: how well it did on groups held out}, empty where nothing was chosen.
        drawings: how many drawings it was fitted on.
        groups: how many groups (classes, or drawn photos) the map was fitted on.
        notes: what a user should know of this fit, in sentences.
    """

    mean: Tensor
    map: Tensor | None
    penalty: float
    scores: dict[float, float] = field(default_factory=dict)
    drawings: int = 0
    groups: int = 0
    notes: tuple[str, ...] = ()

    def describe(self) -> dict:
        """What is known of the fit as plain values; the lambda of centring alone is None."""
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
        """Features (B, D) of sketches as queries (B, D), see `apply_lens`."""
        return apply_lens(features, self.mean, self.map)


def apply_lens(features: Tensor, mean: Tensor, map: Tensor | None) -> Tensor:
    """normalise((q - m) W) of every row q; a row equal to m has no direction left and stays as it is.

    Args:
        features: (B, D)
        mean: (D,)
        map: (D, D), None for the identity.

    Returns:
        (B, D), L2-normalised, of the type of `features`.
    """
    queries = features - mean.to(features)
    if map is not None:
        queries = queries @ map.to(features)
    norms = queries.norm(dim=-1, keepdim=True)
    return torch.where(norms > _NO_DIRECTION, queries / norms.clamp_min(_NO_DIRECTION), features)
