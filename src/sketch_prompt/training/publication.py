"""Facts about a run for the model card, and pushing its checkpoint to the Hub."""

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo

from sketch_prompt.data.hub import hub_benchmark
from sketch_prompt.evaluation import Report
from sketch_prompt.evaluation.reproduction import paper_of
from sketch_prompt.hub.facts import Measurement, TrainingFacts
from sketch_prompt.hub.upload import create_repository
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.training.config import TrainingConfig

logger = logging.getLogger(__name__)

# Keys that are about this machine, not about the training.
_LEFT_OUT = {
    "data": {"data_dir", "num_workers", "feature_cache"},
    "evaluation": {"work_dir"},
    "run": {"output_dir", "resume", "log_every", "save_every", "trackers", "progress"},
}


def public_recipe(config: TrainingConfig) -> dict[str, dict[str, Any]]:
    """The sections of a recipe without folders and other settings of this machine."""
    sections = config.to_dict()
    sections["run"] = {k: v for k, v in sections["run"].items() if not k.startswith("hub_")}
    return {
        name: _without_paths({key: v for key, v in keys.items() if key not in _LEFT_OUT.get(name, ())})
        for name, keys in sections.items()
        if keys
    }


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_paths(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not _PATH}
    if isinstance(value, str) and (os.path.isabs(value) or (os.sep in value and os.path.exists(value))):
        return _PATH
    return value


_PATH = object()


def measurement(report: Report, baseline: Report | None) -> Measurement:
    """A report for the model card, with the numbers of the frozen CLIP, of chance and of the paper."""
    paper = paper_of(asdict(report))
    return Measurement(
        benchmark=report.benchmark,
        metrics=report.metrics,
        intervals=report.intervals,
        chance=report.chance,
        frozen_clip=baseline.metrics if baseline else {},
        paper=paper.metrics if paper else {},
        citation=f"{paper.model}; convention: {paper.convention or 'the only one'}" if paper else "",
        sentence=report.sentence,
    )


def training_facts(config: TrainingConfig, result, baseline: Report | None, machine: dict) -> TrainingFacts:
    """All facts about a run for the model card.

    Args:
        config: The recipe.
        result: The `TrainingResult` of the run.
        baseline: The report of the frozen CLIP on the same test, or None.
        machine: From `evaluation.environment.describe_environment`.
    """
    minutes, seconds = divmod(round(result.seconds), 60)
    memory = ", ".join(f"{name} {value:,.0f} MB" for name, value in result.peak_memory_mb.items())
    run = {
        "benchmark": result.benchmark,
        "training classes": result.classes,
        "optimiser steps": f"{result.steps:,} ({result.epochs} whole epochs)",
        "checkpoint": f"after step {result.best_step:,}"
        + (
            f", the best of {result.metric} on held-out seen classes: {100 * result.validation:.2f} %"
            if result.validation is not None
            else ""
        ),
        "seed": config.run.seed,
        "time": f"{minutes} min {seconds} s, {result.triplets_per_second:,.0f} triplets a second",
        "machine": f"{machine.get('device')}, {machine.get('processors')} processors, {machine.get('platform')}",
    }
    if memory:
        run["peak memory"] = memory
    facts = TrainingFacts(
        benchmark=result.benchmark,
        dataset=hub_benchmark(result.benchmark),
        recipe=public_recipe(config),
        origins=config.origins,
        run=run,
        environment={
            name: machine[name]
            for name in ("sketch_prompt", "torch", "transformers", "python")
            if name in machine
        },
    )
    if result.test is not None:
        facts.add(measurement(result.test, baseline))
    return facts


class Publisher:
    """Pushes the checkpoint of a run, as `run.hub_model_id` and `run.hub_strategy` say.

    Args:
        config: The recipe.
    """

    def __init__(self, config: TrainingConfig):
        self.run = config.run
        self.repo_id = None

    def start(self) -> None:
        """Create the repository. This finds a wrong token before the training.

        Raises:
            PermissionError, ConnectionError, ValueError: The Hub refuses it.
        """
        if self.run.hub_model_id is not None:
            self.repo_id = create_repository(self.run.hub_model_id, private=self.run.hub_private)

    def saved(self, model: SketchPromptPreTrainedModel, processor: SketchPromptProcessor, step: int) -> None:
        """Push a model during training, if the strategy is "every_save". A failed push is only logged."""
        if self.repo_id is None or self.run.hub_strategy != "every_save":
            return
        training = model.training
        try:
            model.push_to_hub(
                self.repo_id, processor=processor, commit_message=f"Training in progress, step {step}"
            )
        except (OSError, ValueError) as error:
            logger.warning("not pushed at step %d, the run continues: %s", step, error)
        model.train(training)

    def finished(self, folder: Path) -> CommitInfo | None:
        """Push the checkpoint of the finished run.

        Raises:
            ConnectionError: The push failed. The run is complete, and the message says how to push it later.
        """
        if self.repo_id is None:
            return None
        try:
            return push_run(folder, self.repo_id, commit_message="End of training")
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"the run is complete in {folder}, but was not pushed: {error}. "
                f"To push it: sketch-prompt push {folder} {self.repo_id}"
            ) from error


def push_run(source: str | os.PathLike, repo_id: str, **options) -> CommitInfo:
    """Push a trained checkpoint to the Hub.

    Args:
        source: The folder of a run, or another argument of `from_pretrained`.
        repo_id: The repository.
        options: Arguments of the model's `push_to_hub`.
    """
    from sketch_prompt.models.auto import SketchPromptModel

    return SketchPromptModel.from_pretrained(source).push_to_hub(repo_id, **options)
