"""What a checkpoint knows about its own making, beside its configuration: `training.json`, for cards and readers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

FACTS = "training.json"


@dataclass
class Measurement:
    """What the model reached on one benchmark. Metrics are fractions of 1.

    Attributes:
        benchmark: its name.
        metrics: {name: value}.
        intervals: {name: [lower, upper]}, 95 %.
        chance: {name: value} of a random ranking.
        frozen_clip: {name: value} of the base model without the adapter.
        paper: {name: value} that the method's paper prints for this benchmark.
        citation: which paper, and its convention.
        sentence: what was searched with what, in which manner.
    """

    benchmark: str
    metrics: dict[str, float]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    frozen_clip: dict[str, float] = field(default_factory=dict)
    paper: dict[str, float] = field(default_factory=dict)
    citation: str = ""
    sentence: str = ""


@dataclass
class TrainingFacts:
    """How a checkpoint came to be. Nothing in it is of one machine's folders.

    Attributes:
        benchmark: what it was trained on; None for what was not trained.
        dataset: the benchmark's repository on the Hub, where it is from there.
        recipe: the resolved recipe by section, without paths.
        origins: {"section.key": whose value it is}, as the recipe's comments say.
        run: steps, epochs, best step, seconds and the like, in words for a table.
        environment: versions of packages, machine, device.
        measurements: results, the latest of a benchmark.
    """

    benchmark: str | None = None
    dataset: str | None = None
    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)

    def __post_init__(self):
        self.measurements = [
            Measurement(**value) if isinstance(value, Mapping) else value for value in self.measurements
        ]

    def add(self, measurement: Measurement) -> None:
        """Take a measurement in; it replaces an earlier one on the same benchmark in the same manner."""
        key = measurement.benchmark, measurement.sentence
        self.measurements = [m for m in self.measurements if (m.benchmark, m.sentence) != key] + [measurement]

    def add_results(self, results: Mapping[str, Mapping[str, float]]) -> None:
        """Take in plain results, {benchmark: {metric: value}}."""
        for benchmark, metrics in results.items():
            if not any(m.benchmark == benchmark and m.metrics == dict(metrics) for m in self.measurements):
                self.add(Measurement(benchmark, dict(metrics)))

    def write(self, folder: Path) -> None:
        """Write `training.json` into a folder."""
        content = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FACTS).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "TrainingFacts":
        """The facts in a folder; empty ones where it has none or they are damaged, for no model needs them."""
        try:
            content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            known = {f.name for f in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls()

    def __bool__(self) -> bool:
        return self != TrainingFacts()
