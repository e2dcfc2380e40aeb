"""Training on all seen classes: some are held out to choose the number of steps, then a model is trained on all.

Two ordinary runs, each described by a recipe of its own that is saved with it. The first, in `selection/`, holds
classes out. The second holds none out and stops after the steps at which the first was best; its learning rate follows
the first's schedule.
"""

import dataclasses
import json

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.result import TrainingResult

SELECTION = "selection"


def choosing(config: TrainingConfig) -> TrainingConfig:
    """The recipe of the run that chooses: classes held out, no look at the test data, nothing published."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, refit=False),
        evaluation=dataclasses.replace(config.evaluation, test=False),
        run=dataclasses.replace(
            config.run, output_dir=str(config.output_dir / SELECTION), trackers=[], hub_model_id=None
        ),
    )


def refitting(config: TrainingConfig, chosen: TrainingResult) -> TrainingConfig:
    """The recipe of the run on all seen classes, for as many steps as the run that chose found best."""
    model, optimisation, run = config.model, config.optimisation, config.run
    kept = json.loads((chosen.output_dir / "config.json").read_text(encoding="utf-8"))
    if kept.get("lens") is None:
        # A lens that did not help on the held-out classes.
        model = dataclasses.replace(
            model, fields={key: value for key, value in model.fields.items() if key != "lens"}
        )
    if chosen.steps:
        schedule = optimisation.schedule_steps or chosen.steps
        optimisation = dataclasses.replace(optimisation, max_steps=chosen.best_step, schedule_steps=schedule)
    if run.resume == "must":  # the run that chose was there
        run = dataclasses.replace(run, resume="auto")
    data = dataclasses.replace(config.data, refit=False, validation_classes=0)
    return dataclasses.replace(config, model=model, data=data, optimisation=optimisation, run=run)
