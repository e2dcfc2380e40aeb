"""The training log: one JSON object a line, and accelerate's trackers if they are wanted."""

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
    """`log.jsonl` of a run; only the first process writes.

    Args:
        path: Where the log is.
        accelerator: Knows which process this is, and its trackers get every number too.
        resumed_step: Lines of later steps, which a killed run left behind, are dropped; 0 starts a new log.
    """

    def __init__(self, path: Path, accelerator: Accelerator, resumed_step: int = 0):
        self.path = path
        self.accelerator = accelerator
        if accelerator.is_main_process:
            kept = [line for line in self.lines(path) if line["step"] <= resumed_step] if resumed_step else []
            with atomic_write(path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def write(self, event: str, step: int, **values: Any) -> None:
        """Append a line: `event` ("step", "evaluation"), the step, and whatever else there is to say."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
        numbers = {f"{event}/{name}": value for name, value in _flat(values)}
        self.accelerator.log(numbers, step=step)

    @staticmethod
    def lines(path: Path) -> list[dict]:
        """The complete lines of a log; a last one cut short by a kill is left out."""
        if not path.exists():
            return []
        lines = []
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return lines


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            pairs.append((f"{prefix}{name}", value))
    return pairs


class LossMeter:
    """Mean loss, mean loss terms and speed since the last reading; losses stay on their device until then.

    A term that a schedule switches on or off in between is averaged over the passes that had it.

    Args:
        accelerator: Averages over the processes.
        triplets: Triplets of a forward pass, over all processes.
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
        """Seconds since the last lap, which count for nothing else."""
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        return seconds

    def add(
        self, loss: Tensor, terms: dict[str, Tensor], statistics: dict[str, Tensor] | None = None
    ) -> float:
        """Take in losses and statistics of a forward pass; returns the seconds since the last lap, which it took."""
        self._statistics |= (statistics or {}).keys()
        for name, value in {"loss": loss, **terms, **(statistics or {})}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().float()
            self._counts[name] += 1
        seconds = self.lap()
        self._seconds += seconds
        return seconds

    def loss(self) -> float:
        """This process's mean loss since the last reading; 0 where there is none."""
        return (self._sums["loss"] / self._counts["loss"]).item() if self._sums else 0.0

    def read(self) -> tuple[dict[str, float], dict[str, float], float]:
        """Mean losses by name ("loss" first), mean statistics and the triplets a second; starts anew."""
        means = torch.stack([total / self._counts[name] for name, total in self._sums.items()])
        values = dict(zip(self._sums, self.accelerator.reduce(means, reduction="mean").tolist()))
        speed = self._counts["loss"] * self.triplets / max(self._seconds, 1e-9)
        statistics = {name: values.pop(name) for name in list(values) if name in self._statistics}
        self._clear()
        return values, statistics, speed
