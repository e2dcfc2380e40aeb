"""The training log, with a JSON object on each line, and the trackers of accelerate."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from sketch_prompt.atomic import atomic_write


class TrainingLog:
    """The file `log.jsonl` of a run. Only the first process writes it.

    Args:
        path: Path of the log.
        accelerator: Its trackers get every number too.
        resumed_step: The step to resume from; lines of later steps are deleted. 0 starts a new log.
    """

    def __init__(self, path: Path, accelerator: Accelerator, resumed_step: int = 0):
        self.path = path
        self.accelerator = accelerator
        if accelerator.is_main_process:
            kept = [line for line in self.lines(path) if line["step"] <= resumed_step] if resumed_step else []
            with atomic_write(path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def write(self, event: str, step: int, **values: Any) -> None:
        """Append a line with an `event` (such as "step" or "validation"), the step, and other values."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
        numbers = {f"{event}/{name}": value for name, value in _flat(values)}
        self.accelerator.log(numbers, step=step)

    @staticmethod
    def lines(path: Path) -> list[dict]:
        """The complete lines of a log. An incomplete last line of a killed run is left out."""
        if not path.exists():
            return []
        lines = []
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return lines


def hyper_parameters(recipe: dict[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """A recipe for trackers: a plain value for each `section.key`. Lists and null are JSON."""
    found: dict[str, int | float | str | bool] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            found |= hyper_parameters(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else json.dumps(value)
    return found


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            pairs.append((f"{prefix}{name}", value))
    return pairs


class LossMeter:
    """Mean loss, mean loss terms and speed since they were last read. Until then, losses stay on their device.

    A term that is not in every pass is averaged over the passes that have it.

    Args:
        accelerator: Averages over the processes.
        triplets: Number of triplets in a forward pass, over all processes.
    """

    def __init__(self, accelerator: Accelerator, triplets: int):
        self.accelerator = accelerator
        self.triplets = triplets
        self._clock = time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self._statistics: set[str] = set()
        self._seconds = 0.0

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        return seconds

    def add(
        self, loss: Tensor, terms: dict[str, Tensor], statistics: dict[str, Tensor] | None = None
    ) -> float:
        """Add the losses and statistics of a forward pass; returns the seconds since the last lap."""
        self._statistics |= (statistics or {}).keys()
        for name, value in {"loss": loss, **terms, **(statistics or {})}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().float()
            self._counts[name] += 1
        seconds = self.lap()
        self._seconds += seconds
        return seconds

    def loss(self) -> float:
        """Mean loss of this process since it was last read; 0 if there was no pass."""
        return (self._sums["loss"] / self._counts["loss"]).item() if self._sums else 0.0

    def read(self) -> tuple[dict[str, float], dict[str, float], float]:
        """Mean losses by name ("loss" first), mean statistics and triplets per second. Resets the meter."""
        means = torch.stack([total / self._counts[name] for name, total in self._sums.items()])
        values = dict(zip(self._sums, self.accelerator.reduce(means, reduction="mean").tolist()))
        speed = self._counts["loss"] * self.triplets / max(self._seconds, 1e-9)
        statistics = {name: values.pop(name) for name in list(values) if name in self._statistics}
        self._clear()
        return values, statistics, speed
