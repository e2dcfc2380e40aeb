"""How a checkpoint was trained and what it reached: `training.json`, which the model card is written from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

FACTS = "training.json"


@dataclass
class Measurement:
    """Results of the model on a benchmark. Metrics are fractions of 1.

    Attributes:
        benchmark: Name of the benchmark.
        metrics: {name: value}.
        intervals: {name: [lower, upper]}, 95 %.
        chance: {name: value} of a random ranking.
        frozen_clip: {name: value} of the base model without the adapter.
        paper: {name: value} of the method's paper on this benchmark.
        citation: The paper and its convention.
        sentence: A sentence that describes the setting.
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
    """How a checkpoint was trained. It contains no paths of the machine.

    Attributes:
        benchmark: Benchmark of the training data. None if nothing was trained.
        dataset: Repository of the benchmark on the Hub, if it was loaded from there.
        recipe: The whole recipe by section, without paths.
        origins: {"section.key": where its value comes from}, from the comments of the recipe.
        run: Steps, epochs, best step, seconds and so on, as text for a table.
        environment: Versions of packages, machine, device.
        measurements: Results, the latest ones for each benchmark and setting.
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
        """Add a measurement. It replaces an earlier one on the same benchmark in the same setting."""
        key = measurement.benchmark, measurement.sentence
        self.measurements = [m for m in self.measurements if (m.benchmark, m.sentence) != key] + [measurement]

    def add_results(self, results: Mapping[str, Mapping[str, float]]) -> None:
        """Add plain results, {benchmark: {metric: value}}."""
        for benchmark, metrics in results.items():
            if not any(m.benchmark == benchmark and m.metrics == dict(metrics) for m in self.measurements):
                self.add(Measurement(benchmark, dict(metrics)))

    def write(self, folder: Path) -> None:
        """Write `training.json` into a folder."""
        content = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FACTS).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "TrainingFacts":
        """Read the facts in a folder. They are empty if the file is missing or damaged, as no model needs them."""
        try:
            content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            known = {f.name for f in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls()

    def __bool__(self) -> bool:
        return self != TrainingFacts()
