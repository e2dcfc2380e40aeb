"""The result of a training run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sketch_prompt.atomic import atomic_write
from sketch_prompt.evaluation import Report


@dataclass
class TrainingResult:
    """The result of a run, which is also saved in `results.json`.

    Attributes:
        output_dir: Folder with the trained checkpoint, the log, the recipe and `checkpoints/`.
        method: Name of the method.
        benchmark: Name of the benchmark trained on.
        classes: Number of training classes.
        steps, epochs: Number of optimiser steps and of epochs, in all.
        best_step: The step of the checkpoint in `output_dir`.
        metric: The metric that chose this checkpoint.
        validation: The score on the held-out seen classes; None if none were held out. After `data.refit`, the score
            that chose the number of steps.
        test: The report on the unseen classes; None without `evaluation.test`.
        seconds: Wall-clock time of training and validation, over all times that the run was resumed.
        triplets_per_second: Training speed since the run was last resumed, over all processes.
        peak_memory_mb: Peak memory of the first process and of its GPU.
        unreadable: `path: reason` for each training image that was replaced since the run was last resumed.
    """

    output_dir: Path
    method: str
    benchmark: str
    classes: int
    steps: int
    epochs: int
    best_step: int
    metric: str
    validation: float | None
    test: Report | None
    seconds: float
    triplets_per_second: float
    peak_memory_mb: dict[str, float]
    unreadable: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the result as JSON."""
        values = asdict(self) | {"output_dir": str(self.output_dir)}
        with atomic_write(path, durable=True) as temporary:
            temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
