"""How ambiguous a drawing is: DisAmb's AmbiScore, as weights of a fit and as margins of a training."""

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
    """(B,) weights from 0 (nothing in a drawing tells its class) to 1 (only its class fits).

    With the score s = 1 - softmax(cos(drawing, class texts) / temperature) of its own class,

        w = (epsilon^(1 - s) - 1) / (epsilon - 1).

    Args:
        features: (B, D) of drawings, L2-normalised.
        texts: (C, D) text features of the classes, L2-normalised.
        labels: (B,) in [0, C).
        epsilon: above 1; the greater, the less an ambiguous drawing counts.
        temperature: above 0.
    """
    shares = (features.to(texts) @ texts.T / temperature).softmax(dim=1)
    own = shares[torch.arange(len(labels), device=shares.device), labels.to(shares.device)]
    return (epsilon**own - 1) / (epsilon - 1)
