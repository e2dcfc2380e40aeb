"""What a training run reports at its end."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sketch_prompt.atomic import atomic_write
from sketch_prompt.evaluation import Report


@dataclass
class TrainingResult:
    """The outcome of a run; `results.json` holds the same.

    Attributes:
        output_dir: Folder of the trained checkpoint, the log, the resolved recipe and `checkpoints/`.
        method: The method trained.
        benchmark: What it was trained on.
        classes: Number of training classes.
        steps, epochs: Done in all.
        best_step: Optimiser steps after which the checkpoint in `output_dir` was saved.
        metric: What chose it.
        validation: Its score on the held-out seen classes; None where none are held out. Of a model refitted on all
            seen classes, the score that chose its number of steps.
        test: Its report on the unseen classes; None where `evaluation.test` is off.
        seconds: Wall-clock time of training and validation, over all sittings.
        triplets_per_second: Over the training steps of this sitting, all processes together.
        peak_memory_mb: Of the first process and its GPU.
        unreadable: `path: reason` of the training images that were replaced by others in this sitting.
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
        """Write everything as JSON."""
        values = asdict(self) | {"output_dir": str(self.output_dir)}
        with atomic_write(path, durable=True) as temporary:
            temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
