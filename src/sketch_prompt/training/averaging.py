"""Other weights than those of the last step: a running average, and a mixture with those that a model began with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class FinalWeights:
    """The weights that a training evaluates and saves, in place of those that the optimiser moves.

    Args:
        model: The model, before its first step.
        ema_decay: d of an exponential running average a of the weights w. After step t it is d_t a + (1 - d_t) w with
            d_t = min(d, (1 + t) / (10 + t)), so that it does not cling to the first weights. None averages nothing.
        wise_ft_alpha: Share of the trained weights, averaged or not, beside those that the model began with:
            (1 - alpha) w_0 + alpha w (WiSE-FT, Wortsman et al., CVPR 2022, eq. 1).
    """

    def __init__(self, model, ema_decay: float | None = None, wise_ft_alpha: float = 1.0):
        self.decay = ema_decay
        self.alpha = wise_ft_alpha
        self._weights = model.trainable_parameters()
        self._first = self._copy() if wise_ft_alpha < 1 else None
        self.average: dict[str, Tensor] | None = None if ema_decay is None else self._copy()

    def update(self, step: int) -> None:
        """Take in the weights after an optimiser step; steps count from 1."""
        if self.average is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.average.items():
            average.lerp_(self._weights[name].detach(), 1 - decay)

    def load_average(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the average back to what was saved."""
        for name, average in (self.average or {}).items():
            average.copy_(tensors[name])

    def settle(self) -> None:
        """Give the model the final weights for good."""
        if self.average is not None:
            self._put(self.average)
        if self._first is not None:
            self._put(
                {name: torch.lerp(self._first[name], w, self.alpha) for name, w in self._copy().items()}
            )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the final weights, and with its own again afterwards."""
        if self.average is None and self._first is None:
            yield
            return
        own = self._copy()
        self.settle()
        try:
            yield
        finally:
            self._put(own)

    def _copy(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(tensors[name])
