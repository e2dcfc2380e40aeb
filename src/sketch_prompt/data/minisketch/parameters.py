"""The numbers that make one cup differ from the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Parameters:
    """Draws the named parameters of one instance and remembers them.

    Args:
        rng: the instance's own generator; every parameter takes exactly one number from it.
        overrides: values to use in place of the drawn ones, by name.
    """

    def __init__(self, rng: np.random.Generator, overrides: Mapping[str, float] | None = None):
        self._rng = rng
        self._overrides = overrides or {}
        self.values: dict[str, float | int | bool] = {}
        self.ranges: dict[str, tuple[float, float]] = {}

    def real(self, name: str, low: float, high: float) -> float:
        """A length, an angle or a ratio between `low` and `high`."""
        return self._record(name, low + (high - low) * self._rng.random(), (low, high))

    def count(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self._record(name, low + int((high - low + 1) * self._rng.random()), (low, high))

    def chance(self, name: str, probability: float = 0.5) -> bool:
        """Whether an optional part is there."""
        return self._record(name, bool(self._rng.random() < probability), (0, 1))

    def _record(self, name, value, limits):
        value = self._overrides.get(name, value)
        self.values[name] = value
        self.ranges[name] = limits
        return value
