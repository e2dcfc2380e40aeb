"""The weights that are evaluated and saved: a running average of the trained weights, mixed with the initial ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel


class FinalWeights:
    """The weights that are evaluated and saved, which may differ from the weights that the optimiser updates.

    Args:
        model: The model, before its first step.
        ema_decay: d of an exponential running average a of the weights w. After step t it is d_t a + (1 - d_t) w with
            d_t = min(d, (1 + t) / (10 + t)), which gives the first weights less influence. None does not average.
        wise_ft_alpha: Share alpha of the trained (or averaged) weights w. The rest is the initial weights w_0:
            (1 - alpha) w_0 + alpha w (WiSE-FT, Wortsman et al., CVPR 2022, eq. 1).
    """

    def __init__(
        self, model: SketchPromptPreTrainedModel, ema_decay: float | None = None, wise_ft_alpha: float = 1.0
    ):
        self.decay = ema_decay
        self.alpha = wise_ft_alpha
        self._weights = model.trainable_parameters()
        self._first = self._copy() if wise_ft_alpha < 1 else None
        self.average: dict[str, Tensor] | None = None if ema_decay is None else self._copy()

    def update(self, step: int) -> None:
        """Update the average after an optimiser step. Steps are counted from 1."""
        if self.average is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.average.items():
            average.lerp_(self._weights[name].detach(), 1 - decay)

    def load_average(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the average from a saved one."""
        for name, average in (self.average or {}).items():
            average.copy_(tensors[name])

    def apply(self) -> None:
        """Set the weights of the model to the final ones."""
        if self.average is not None:
            self._set(self.average)
        if self._first is not None:
            self._set(
                {name: torch.lerp(self._first[name], w, self.alpha) for name, w in self._copy().items()}
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context, the model has the final weights. Afterwards it has its own weights again."""
        if self.average is None and self._first is None:
            yield
            return
        own = self._copy()
        self.apply()
        try:
            yield
        finally:
            self._set(own)

    def _copy(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def _set(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(tensors[name])
