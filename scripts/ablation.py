"""Ablations: a recipe trained over several seeds, whole and with one thing changed at a time."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from sketch_prompt.atomic import atomic_write
from sketch_prompt.strict_yaml import NotPlainYamlError, read_yaml
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import RecipeError

FULL = "full"

Scores = dict[str, dict[str, list[float]]]
"""{row: {metric: its value for every seed}}"""


def read_rows(path: Path) -> dict[str, list[str]]:
    """The rows of an ablation: `{name: [section.key=value, ...]}` from a YAML file.

    Raises:
        RecipeError: the file is missing or holds something else.
    """
    try:
        rows = read_yaml(path)
    except OSError as error:
        raise RecipeError(f"cannot read the ablation {path}: {error.strerror}") from error
    except NotPlainYamlError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(rows, dict) or not all(
        isinstance(row, list) and all(isinstance(entry, str) for entry in row) for row in rows.values()
    ):
        raise RecipeError(f"{path} must hold `name: [section.key=value, ...]`, one line a row")
    return rows


def ablate(
    recipe: Path,
    rows: Mapping[str, Sequence[str]],
    output: Path,
    seeds: Iterable[int] = range(3),
    overrides: Sequence[str] = (),
) -> Scores:
    """Train and evaluate the recipe and every row of changes to it, once a seed.

    Every run is a training run of its own under `output`; what is finished there is not run again, and
    `results.json` is brought up to date after each.

    Args:
        recipe: folder or file of the recipe.
        rows: changes of each row, besides the recipe as it is.
        output: folder of the runs and of `results.json`.
        seeds: of the runs.
        overrides: changes of all rows. With `evaluation.test=false` the scores are those on the held-out seen
            classes: for choosing hyper-parameters without a look at the unseen ones.

    Raises:
        RecipeError: a row cannot be meant; all are checked before the first one is trained.
    """
    configs = {
        (name, seed): TrainingConfig.load(
            recipe,
            [*overrides, *changes, f"run.seed={seed}", f"run.output_dir={output / _folder(name, seed)}"],
        )
        for name, changes in {FULL: (), **rows}.items()
        for seed in seeds
    }
    scores: Scores = {}
    for (name, _), config in configs.items():
        metrics = _finished(config) or _metrics(train(config))
        for metric, value in metrics.items():
            scores.setdefault(name, {}).setdefault(metric, []).append(value)
        with atomic_write(output / "results.json") as temporary:
            temporary.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    return scores


def _folder(name: str, seed: int) -> str:
    return f"{name.replace(' ', '-').replace('/', '-')}-seed{seed}"


def _metrics(result) -> dict[str, float]:
    return {result.metric: result.validation} if result.test is None else result.test.metrics


def _finished(config: TrainingConfig) -> dict[str, float] | None:
    """The metrics of a run that is done, of this very recipe; None if it has to be run."""
    results, recipe = config.output_dir / "results.json", config.output_dir / "training.yaml"
    if not results.is_file() or TrainingConfig.load(recipe).to_dict() != config.to_dict():
        return None
    result = json.loads(results.read_text(encoding="utf-8"))
    return result["test"]["metrics"] if result["test"] else {result["metric"]: result["validation"]}


def ablation_table(scores: Scores, title: str, baselines: Mapping[str, Mapping[str, float]] = {}) -> Table:
    """Every row in percent, mean and standard deviation over the seeds, and its distance from the full recipe.

    Args:
        scores: from `ablate`.
        title: of the table.
        baselines: {row: {metric: value}} to stand beside, such as the frozen CLIP and chance.
    """
    metrics = list(scores[FULL])
    table = Table(title=title, title_justify="left")
    for name in ("", *metrics, f"{metrics[0]} against {FULL}"):
        table.add_column(name, justify="right" if name else "left")
    for name, values in baselines.items():
        table.add_row(name, *(f"{100 * values[metric]:.1f}" for metric in metrics), "")
    whole = statistics.mean(scores[FULL][metrics[0]])
    for name, values in scores.items():
        difference = statistics.mean(values[metrics[0]]) - whole
        cells = [format_spread(values[metric]) for metric in metrics]
        table.add_row(name, *cells, "" if name == FULL else f"{100 * difference:+.1f}")
    return table


def format_spread(values: Sequence[float]) -> str:
    """Mean and, of several values, standard deviation, in percent."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"
