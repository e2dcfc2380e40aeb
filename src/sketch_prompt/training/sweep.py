"""Search for good hyper-parameters with Optuna: many trainings, compared on held-out seen classes."""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketch_prompt.atomic import atomic_write
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import DivergedError, train
from sketch_prompt.training.recipe import RecipeError
from sketch_prompt.training.result import TrainingResult

JOURNAL = "trials.journal"
# A trial is not tested on the unseen classes, trains only once, and is not published.
_ALWAYS = ("data.refit=false", "evaluation.test=false", "evaluation.baseline=false", "run.hub_model_id=null")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Range:
    """The possible values of a key of a recipe.

    Attributes:
        key: `section.key`.
        low, high: The smallest and the greatest value, both int or both float; None for `choices`.
        log: Draw from a logarithmic scale.
        choices: The values to choose from, instead of a range.
    """

    key: str
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple = ()

    @classmethod
    def parse(cls, text: str) -> "Range":
        """Read `section.key=LOW:HIGH`, `section.key=LOW:HIGH:log` or `section.key=[one, other]`.

        Raises:
            RecipeError: The text has none of these forms.
        """
        from sketch_prompt.strict_yaml import NotPlainYamlError, parse_yaml

        key, _, values = text.partition("=")
        wrong = RecipeError(
            f"{text!r} is not a range: write section.key=LOW:HIGH, section.key=LOW:HIGH:log or section.key=[ONE, TWO]"
        )
        if "." not in key or not values:
            raise wrong
        if values.startswith("["):
            try:
                choices = parse_yaml(values, text)
            except NotPlainYamlError as error:
                raise wrong from error
            if not isinstance(choices, list) or not choices:
                raise wrong
            return cls(key, choices=tuple(choices))
        try:
            low, high, *rest = values.split(":")
            bounds = [_number(low), _number(high)]
        except ValueError:
            raise wrong from None
        if rest not in ([], ["log"]) or bounds[0] >= bounds[1] or (rest and bounds[0] <= 0):
            raise wrong
        if float in map(type, bounds):
            bounds = [float(bound) for bound in bounds]
        return cls(key, *bounds, log=bool(rest))

    def suggest(self, trial) -> Any:
        """The value of this key in an `optuna.Trial`."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        draw = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return draw(self.key, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        metric: The metric on the held-out seen classes.
        best: The best score.
        values: {key: value} of the best trial.
        trials: Number of trials that were compared, including those of earlier calls.
        recipe: File of the recipe with the best values.
    """

    metric: str
    best: float
    values: dict[str, Any]
    trials: int
    recipe: Path


def sweep(
    recipe: str,
    ranges: Iterable[str],
    folder: Path,
    trials: int,
    overrides: Iterable[str] = (),
    seed: int = 0,
    run: Callable[[TrainingConfig], TrainingResult] = train,
) -> SweepResult:
    """Train a recipe many times with different values, and write the recipe with the best ones.

    The trials are compared on held-out seen classes, never on unseen ones. They are saved in the folder, so the same
    call continues a sweep that was stopped, until there are `trials` in all.

    Args:
        recipe: Name, file or folder; see `find_recipe`.
        ranges: Keys with their possible values; see `Range.parse`.
        folder: Folder for the trials and for `best.yaml`.
        trials: Number of trials.
        overrides: Overrides `section.key=value` for all trials.
        seed: Seed for the choice of values. All trainings have the seed of the recipe.
        run: Trains a trial.

    Raises:
        ValueError: Optuna is not installed, or no trial was completed.
        RecipeError: A range or a value is not valid, or the recipe does not hold out classes.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("a sweep needs Optuna: pip install 'sketch-prompt[sweep]'") from error
    spaces = [Range.parse(text) for text in ranges]
    if not spaces:
        raise RecipeError(
            "there are no ranges: give keys with ranges, such as optimisation.learning_rate=1e-5:1e-2:log"
        )
    overrides = list(overrides)
    if TrainingConfig.load(recipe, overrides).data.validation_classes == 0:
        raise RecipeError("data.validation_classes is 0, but a sweep compares its trials on held-out classes")
    study = _open_study(folder, seed)
    metric = ""

    def objective(trial) -> float:
        nonlocal metric
        values = {space.key: space.suggest(trial) for space in spaces}
        own = values | {"run.output_dir": str(folder / f"trial-{trial.number}")}
        config = TrainingConfig.load(recipe, [*overrides, *_as_overrides(own), *_ALWAYS])
        try:
            result = run(config)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        metric = result.metric
        logger.info("Trial %d: %s %.4f with %s", trial.number, metric, result.validation, values)
        return result.validation

    complete = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
    study.optimize(objective, n_trials=max(0, trials - len(study.get_trials(states=complete))))
    ended = study.get_trials(states=complete[:1])
    if not ended:
        raise ValueError("all trials diverged: try smaller learning rates")
    best = TrainingConfig.load(recipe, [*overrides, *_as_overrides(study.best_params)])
    with atomic_write(folder / "best.yaml") as temporary:
        temporary.write_text(best.to_yaml(), encoding="utf-8")
    metric = metric or best.evaluation.metric
    return SweepResult(metric, study.best_value, study.best_params, len(ended), folder / "best.yaml")


def _open_study(folder: Path, seed: int):
    """The Optuna study in a folder, with the trials of earlier calls."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _as_overrides(values: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]
