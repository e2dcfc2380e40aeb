"""A search for good values in a recipe with Optuna: many short trainings, compared on held-out seen classes."""

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
# What no trial does: look at the unseen classes, train twice, or publish.
_ALWAYS = ("data.refit=false", "evaluation.test=false", "evaluation.baseline=false", "run.hub_model_id=null")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Range:
    """The values that a key of a recipe may take.

    Attributes:
        key: `section.key`.
        low, high: The smallest and the greatest value, both whole numbers or both not; None for `choices`.
        log: Draw from the logarithms.
        choices: The values themselves, if they are no range.
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
            RecipeError: It is none of these.
        """
        from sketch_prompt.strict_yaml import NotPlainYamlError, parse_yaml

        key, _, values = text.partition("=")
        wrong = RecipeError(
            f"{text!r} is no range: write section.key=LOW:HIGH, section.key=LOW:HIGH:log or section.key=[ONE, OTHER]"
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
    """What a sweep has found.

    Attributes:
        metric: The metric on the held-out seen classes.
        best: The best score.
        values: The values that reached it, by key.
        trials: How many trainings were compared, those of earlier calls too.
        recipe: The file of the recipe with these values.
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
    """Train a recipe many times with other values, and write the recipe with the best ones.

    Each training is judged on classes that are held out of the seen ones; unseen classes are never looked at. Trials
    are kept in the folder: the same call goes on with a sweep that was stopped, and ends when there are `trials`.

    Args:
        recipe: Name, file or folder, see `find_recipe`.
        ranges: Keys with the values they may take, see `Range.parse`.
        folder: A folder for each trial, and `best.yaml`.
        trials: Number of trainings.
        overrides: Further `section.key=value` for all of them.
        seed: Of the drawing of values. Every training has the seed of the recipe.
        run: The training; another one for tests.

    Raises:
        ValueError: Optuna is not installed, or no training came to an end.
        RecipeError: A range or a value is not valid, or the recipe holds no classes out.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ValueError("a sweep needs Optuna: pip install 'sketch-prompt[sweep]'") from error
    spaces = [Range.parse(text) for text in ranges]
    if not spaces:
        raise RecipeError(
            "nothing to vary: name keys with their ranges, such as optimisation.learning_rate=1e-5:1e-2:log"
        )
    overrides = list(overrides)
    if TrainingConfig.load(recipe, overrides).data.validation_classes == 0:
        raise RecipeError(
            "data.validation_classes is 0: a sweep compares trainings on classes that are held out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )
    metric = ""

    def objective(trial) -> float:
        nonlocal metric
        values = {space.key: space.suggest(trial) for space in spaces}
        place = f"run.output_dir={json.dumps(str(folder / f'trial-{trial.number}'))}"
        config = TrainingConfig.load(recipe, [*overrides, *_as_overrides(values), *_ALWAYS, place])
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
        raise ValueError("no training came to an end: all diverged; try smaller learning rates")
    best = TrainingConfig.load(recipe, [*overrides, *_as_overrides(study.best_params)])
    with atomic_write(folder / "best.yaml") as temporary:
        temporary.write_text(best.to_yaml(), encoding="utf-8")
    metric = metric or best.evaluation.metric
    return SweepResult(metric, study.best_value, study.best_params, len(ended), folder / "best.yaml")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _as_overrides(values: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]
