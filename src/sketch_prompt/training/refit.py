"""Training on all seen classes, after a first run on some of them has chosen the number of steps.

These are two ordinary runs, each with its own recipe. The first one, in `selection/`, holds classes out. The second
one trains on all classes, and stops at the step at which the first one was best. Both have the same learning-rate
schedule.
"""

import dataclasses
import json
from typing import Any

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.result import TrainingResult

SELECTION = "selection"


def selection_recipe(config: TrainingConfig) -> TrainingConfig:
    """The recipe of the first run, which is neither tested nor published."""
    return config.with_sections(
        data=dataclasses.replace(config.data, refit=False),
        evaluation=dataclasses.replace(config.evaluation, test=False),
        run=dataclasses.replace(
            config.run, output_dir=str(config.output_dir / SELECTION), trackers=[], hub_model_id=None
        ),
    )


def refit_recipe(config: TrainingConfig, chosen: TrainingResult) -> TrainingConfig:
    """The recipe of the second run, on all seen classes and for the number of steps that the first run has chosen."""
    model, optimisation, run = config.model, config.optimisation, config.run
    kept = _saved_config(chosen)
    if kept.get("lens") is None:
        # The lens did not help on the held-out classes. None is explicit, since a method may have a lens by default.
        model = dataclasses.replace(model, fields=model.fields | {"lens": None})
    if kept.get("rerank_weight") is not None:
        model = dataclasses.replace(model, fields={**model.fields, "rerank_weight": kept["rerank_weight"]})
    if chosen.steps:
        schedule = optimisation.schedule_steps or chosen.steps
        optimisation = dataclasses.replace(optimisation, max_steps=chosen.best_step, schedule_steps=schedule)
    if run.resume == "must":  # this applied to the first run
        run = dataclasses.replace(run, resume="auto")
    data = dataclasses.replace(config.data, refit=False, validation_classes=0)
    return config.with_sections(model=model, data=data, optimisation=optimisation, run=run)


def lens_on_held_out_classes(chosen: TrainingResult) -> dict[str, Any] | None:
    """The scores of the first run on its held-out classes, with and without the lens."""
    return (_saved_config(chosen).get("lens_fit") or {}).get("held_out")


def _saved_config(chosen: TrainingResult) -> dict[str, Any]:
    return json.loads((chosen.output_dir / "config.json").read_text(encoding="utf-8"))
