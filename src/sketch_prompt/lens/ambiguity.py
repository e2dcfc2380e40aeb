"""How ambiguous a drawing is: the AmbiScore of DisAmb, for weights of a fit and margins of a training."""

import torch
from torch import Tensor

EPSILON = 10.0
TEMPERATURE = 1 / 1.5


def clarity(
    features: Tensor,
    texts: Tensor,
    labels: Tensor,
    epsilon: float = EPSILON,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Weights (B,) from 0 (a drawing does not show its class) to 1 (no other class fits).

    With the score s = 1 - softmax(cos(drawing, class texts) / temperature) of its own class,

        w = (epsilon^(1 - s) - 1) / (epsilon - 1).

    Args:
        features: (B, D) of drawings, L2-normalised.
        texts: (C, D) text features of the classes, L2-normalised.
        labels: (B,) in [0, C).
        epsilon: Above 1. Larger values give ambiguous drawings less weight.
        temperature: Above 0.
    """
    shares = (features.to(texts) @ texts.T / temperature).softmax(dim=1)
    own = shares[torch.arange(len(labels), device=shares.device), labels.to(shares.device)]
    return (epsilon**own - 1) / (epsilon - 1)
