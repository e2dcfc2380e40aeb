"""Muon in a chosen precision.

`torch.optim.Muon` always orthogonalises in bfloat16, which processors without bfloat16 arithmetic emulate hundreds
of times more slowly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose every update is made orthogonal (Jordan et al., 2024), for hidden matrices.

    Args:
        params: two-dimensional parameters.
        lr: learning rate; updates have a spectral norm of about lr * sqrt(max(1, rows / columns)).
        momentum: Nesterov momentum.
        weight_decay: decoupled decay, scaled by the learning rate.
        steps: Newton-Schulz iterations.
        dtype: precision of these iterations.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        steps: int = 4,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": steps}
        )
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient; matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for (rows, columns), parameters in by_shape.items():
                momenta = torch.stack([self._momentum(p, group["momentum"]) for p in parameters])
                updates = orthogonalize(momenta.to(self.dtype), group["steps"]).to(momenta.dtype)
                size = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, updates):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-size)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["momentum"], momentum)


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace the singular values of (N, rows, columns) matrices by about one (quintic Newton-Schulz)."""
    a, b, c = _COEFFICIENTS
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.mT if matrices.shape[1] > matrices.shape[2] else wide
