"""Compare runs: mean and deviation over seeds, paired differences, and the settings that differ."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from .report import RESULTS_FILE, Report, format_interval, read_results
from .tables import Table, to_csv

RESAMPLES = 10_000
_AT_ONCE = 2**22
_FILES = ("report.json", "results.json", RESULTS_FILE)
_SETUP = ("benchmark", "train_benchmark", "level", "gallery", "setting")
_SETTINGS = ("method", "base_model", "convention", "query", "ranking", "shortlist")
_SETTINGS += ("expand", "lens", "condition", "support")
_MACHINE = ("sketch_prompt", "torch", "transformers", "device", "dtype")
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Variant:
    """One or several runs that differ only in their seeds.

    Attributes:
        name: Name in the tables.
        reports: The reports of the runs.
        settings: {name: value}, the common settings of the runs.
    """

    name: str
    reports: tuple[Report, ...]
    settings: dict[str, Any] = field(repr=False)

    def mean(self, metric: str) -> float | None:
        """The mean over the runs. None if the metric was not measured."""
        values = self.values(metric)
        return float(np.mean(values)) if values else None

    def deviation(self, metric: str) -> float | None:
        """The standard deviation over the runs (n - 1). None for a single run."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def values(self, metric: str) -> list[float]:
        """The metric of each run."""
        return [report.metrics[metric] for report in self.reports if metric in report.metrics]

    def query_scores(self, metric: str) -> np.ndarray | None:
        """(N,) the mean over the runs for each query. None if the runs have no scores of queries, or other queries."""
        scores = [report.query_scores.get(metric) for report in self.reports]
        if not all(scores) or len({report.query_set for report in self.reports}) > 1:
            return None
        return np.mean(np.array(scores, float), axis=0)


@dataclass(frozen=True)
class Difference:
    """How much better a variant is than the first one, paired by query.

    Attributes:
        name: Name of the variant.
        metric: Name of the metric.
        mean: Difference of the means.
        interval: (lower, upper), 95 % bootstrap interval over the queries. It does not include the variation over
            seeds, classes or photos.
        p_value: Two-sided p-value: twice the share of bootstrap samples with a difference of 0 or of the other sign.
    """

    name: str
    metric: str
    mean: float
    interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Variants on a benchmark. The others are compared with the first one.

    Attributes:
        variants: The variants, in the given order.
        metrics: Names of the metrics that all variants have.
        differences: Differences of the other variants from the first one, if both have the scores of their queries.
        settings: {name: the value of each variant} of the settings that differ.
        notes: Further facts that matter for the comparison.
    """

    variants: tuple[Variant, ...]
    metrics: tuple[str, ...]
    differences: tuple[Difference, ...]
    settings: dict[str, tuple[Any, ...]]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The benchmark."""
        return f"Runs on {self.variants[0].reports[0].benchmark}"

    def tables(self) -> list[Table]:
        """The metrics in percent, the differences in points, and the settings that differ."""
        tables = [Table(self.title, ["run", "seeds", *self.metrics], self._scores())]
        if self.differences:
            against = f"Difference from {self.variants[0].name}, in points (95 % interval, paired by query)"
            tables.append(
                Table(against, ["run", "metric", "difference", "interval", "p"], self._differences(), 2)
            )
        if self.settings:
            names = [variant.name for variant in self.variants]
            rows = [[name, *map(_format_value, values)] for name, values in self.settings.items()]
            tables.append(Table("Settings that differ", ["setting", *names], rows, 1 + len(names)))
        return tables

    def to_markdown(self) -> str:
        """The tables, and the notes as a list."""
        notes = "".join(f"- {note}\n" for note in self.notes)
        return "\n".join([*(table.to_markdown() for table in self.tables()), *([notes] if notes else [])])

    def to_latex(self) -> str:
        """The tables; the notes are comments."""
        notes = "".join(f"% {note}\n" for note in self.notes)
        return "\n".join([*(table.to_latex() for table in self.tables()), *([notes] if notes else [])])

    def to_csv(self) -> str:
        """A line for each run and metric, with the mean of its variant and the difference from the first variant."""
        found = {(entry.name, entry.metric): entry for entry in self.differences}
        header = ["run", "seed", "metric", "value", "mean", "deviation", "difference", "lower", "upper", "p"]
        rows = []
        for variant in self.variants:
            for metric in self.metrics:
                paired = found.get((variant.name, metric))
                more = ("",) * 4 if paired is None else (paired.mean, *paired.interval, paired.p_value)
                deviation = variant.deviation(metric)
                of_all = (variant.mean(metric), "" if deviation is None else deviation, *more)
                for report in variant.reports:
                    seed = "" if report.seed is None else report.seed
                    rows.append([variant.name, seed, metric, report.metrics[metric], *of_all])
        return to_csv(header, rows)

    def to_json(self) -> str:
        """Everything; numbers are between 0 and 1."""
        content = {
            "variants": [
                {
                    "name": variant.name,
                    "seeds": [report.seed for report in variant.reports],
                    "metrics": {metric: variant.values(metric) for metric in self.metrics},
                    "mean": {metric: variant.mean(metric) for metric in self.metrics},
                    "deviation": {metric: variant.deviation(metric) for metric in self.metrics},
                }
                for variant in self.variants
            ],
            "differences": [asdict(difference) for difference in self.differences],
            "settings": self.settings,
            "notes": self.notes,
        }
        return json.dumps(content, indent=2, ensure_ascii=False)

    def to_table(self) -> Group:
        """A rich renderable."""
        return Group(*(table.to_rich() for table in self.tables()), *(Text(note) for note in self.notes))

    def _repr_html_(self) -> str:
        from sketch_prompt import notebook

        tables = (notebook.table(table.header, table.rows, table.title) for table in self.tables())
        return "".join(tables) + "".join(f"<p>{notebook.text(note)}</p>" for note in self.notes)

    def _scores(self) -> list[list[str]]:
        rows = []
        for variant in self.variants:
            row = [variant.name, str(len(variant.reports))]
            for metric in self.metrics:
                deviation = variant.deviation(metric)
                text = f"{100 * variant.mean(metric):.2f}"
                if deviation is not None:
                    text += f" ± {100 * deviation:.2f}"
                elif interval := format_interval(variant.reports[0].intervals.get(metric)):
                    text += f" ({interval})"
                rows_ceiling = variant.reports[0].ceilings.get(metric)
                row.append(text if rows_ceiling is None else f"{text} of {100 * rows_ceiling:.4g}")
            rows.append(row)
        return rows

    def _differences(self) -> list[list[str]]:
        return [
            [
                entry.name,
                entry.metric,
                f"{100 * entry.mean:+.2f}",
                f"{100 * entry.interval[0]:+.2f} to {100 * entry.interval[1]:+.2f}",
                f"{entry.p_value:.4f}" if entry.p_value else f"< {2 / RESAMPLES:.4f}",
            ]
            for entry in self.differences
        ]


def read_runs(sources: Iterable[str | os.PathLike]) -> list[Report]:
    """Read the reports of runs.

    Args:
        sources: `report.json` files, `results.jsonl` files, folders that `evaluate -o` or `train` wrote, or folders of
            such folders.

    Raises:
        FileNotFoundError: There is no report in one of the places.
        ValueError: A file is not a report.
    """
    return [report for source in sources for report in _read(Path(source))]


def _read(path: Path) -> list[Report]:
    if path.is_dir():
        for name in _FILES:
            if (path / name).is_file():
                return _read(path / name)
        inside = [
            child for child in sorted(path.iterdir()) if any((child / name).is_file() for name in _FILES)
        ]
        if inside:
            return [report for child in inside for report in _read(child)]
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no run in {path}: a run is a folder that sketch-prompt evaluate -o or train wrote, its "
            f"report.json, or a {RESULTS_FILE}"
        )
    if path.name == "results.json":
        return [_report_of_training(path)]
    if path.suffix == ".jsonl":
        return [Report.of_summary(result) for result in read_results([path])]
    return [Report.load(path)]


def _report_of_training(path: Path) -> Report:
    try:
        test = json.loads(path.read_text(encoding="utf-8")).get("test")
        if test is None:
            raise ValueError("the run was not evaluated (evaluation.test is off)")
        return Report(**test)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a result of sketch-prompt train: {error}") from error


def compare(reports: Sequence[Report], seed: int = 0) -> Comparison:
    """Compare runs on one benchmark.

    Runs that differ only in their seeds are one variant. Each other variant is compared with the first one by a paired
    bootstrap over the queries. The score of a query is its mean over the seeds.

    Args:
        reports: At least one report.
        seed: Random seed of the bootstrap.

    Raises:
        ValueError: The runs have different benchmarks, levels, galleries or settings, or no metric in common.
    """
    if not reports:
        raise ValueError("there is nothing to compare: give at least one run")
    for name in _SETUP:
        found = {getattr(report, name) for report in reports}
        if len(found) > 1:
            values = " and ".join(sorted(map(str, found)))
            raise ValueError(f"these runs cannot be compared: their {name.replace('_', ' ')} is {values}")
    variants = _variants(reports)
    metrics = [name for name in reports[0].metrics if all(name in report.metrics for report in reports)]
    if not metrics:
        raise ValueError("these runs have no metric in common: evaluate them with the same --k")
    settings = _differing([variant.settings for variant in variants])
    differences, notes = [], list(_notes(variants, settings))
    first = variants[0]
    for variant in variants[1:]:
        for metric in metrics:
            pair = first.query_scores(metric), variant.query_scores(metric)
            if (
                any(scores is None for scores in pair)
                or first.reports[0].query_set != variant.reports[0].query_set
            ):
                notes.append(
                    f"{variant.name} and {first.name} cannot be paired: they searched with other sketches, or did not "
                    "keep the score of each (results.jsonl has none, report.json does)"
                )
                break
            differences.append(paired_difference(variant.name, metric, *pair, seed=seed))
    return Comparison(tuple(variants), tuple(metrics), tuple(differences), settings, tuple(notes))


def paired_difference(
    name: str, metric: str, first: np.ndarray, second: np.ndarray, seed: int = 0
) -> Difference:
    """The mean of `second - first` over the queries, with a percentile bootstrap.

    Args:
        name: Name of the variant with the scores `second`.
        metric: Name of the metric.
        first, second: (N,) scores of the same queries. Queries with NaN in one of them are left out.
        seed: Random seed of the bootstrap.

    Raises:
        ValueError: The scores are not of the same queries, or all queries are left out.
    """
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} queries cannot be paired")
    differences = second - first
    differences = differences[~np.isnan(differences)]
    size = len(differences)
    if not size:
        raise ValueError(f"no query counts for {metric} in both")
    generator, means = np.random.default_rng(seed), []
    height = max(1, _AT_ONCE // size)
    for start in range(0, RESAMPLES, height):
        drawn = generator.integers(0, size, (min(height, RESAMPLES - start), size))
        means.append(differences[drawn].mean(1))
    means = np.concatenate(means)
    lower, upper = np.quantile(means, [0.025, 0.975])
    p_value = 2 * min((means <= 0).mean(), (means >= 0).mean())
    return Difference(
        name, metric, float(differences.mean()), (float(lower), float(upper)), min(1.0, float(p_value))
    )


def settings_of(report: Report) -> dict[str, Any]:
    """{name: value} of all settings that may change the results, except for the seed."""
    settings = {name: getattr(report, name) for name in _SETTINGS}
    settings |= {f"preprocessing.{name}": value for name, value in report.preprocessing.items()}
    for section, keys in report.recipe.items():
        if section != "processor":  # the preprocessing says it
            settings |= _flat(section, keys)
    if settings.get("optimisation.schedule_steps") and not settings.get("data.validation_classes", True):
        # A refit on all classes trains as long as was best on held-out classes, which depends on the seed.
        del settings["optimisation.schedule_steps"], settings["optimisation.max_steps"]
    return settings


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: inner for part, values in value.items() for key, inner in _flat(f"{name}.{part}", values).items()
    }


def _variants(reports: Sequence[Report]) -> list[Variant]:
    groups: dict[str, list[Report]] = {}
    for report in reports:
        key = json.dumps(settings_of(report), sort_keys=True, default=str)
        if report.seed is None and report.recipe == {} and report.method != "frozen-clip":
            key += report.model  # nothing says that these are repetitions
        groups.setdefault(key, []).append(report)
    names: list[str] = []
    for group in groups.values():
        name, alike = group[0].method, [other[0].method for other in groups.values()].count(group[0].method)
        if alike > 1:
            name = f"{name} ({_short_name(group[0].model)})"
        while name in names:
            name += "'"
        names.append(name)
    return [Variant(name, tuple(group), settings_of(group[0])) for name, group in zip(names, groups.values())]


def _short_name(model: str) -> str:
    return Path(model).name if os.sep in model else model


def _differing(settings: Sequence[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """{name: the value of each} of the settings that differ. None if a setting is missing."""
    names = dict.fromkeys(name for one in settings for name in one)
    found = {name: tuple(one.get(name) for one in settings) for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _notes(variants: Sequence[Variant], settings: dict[str, tuple[Any, ...]]) -> Iterable[str]:
    prepared = [name.removeprefix("preprocessing.") for name in settings if name.startswith("preprocessing.")]
    if prepared:
        yield (
            f"The preprocessing differs ({', '.join(prepared)}), which may explain a part of the difference. "
            "`evaluate --preprocessing RUN` evaluates the frozen CLIP with the preprocessing of a run"
        )
    reports = [report for variant in variants for report in variant.reports]
    for name in _MACHINE:
        values = list(dict.fromkeys(str(report.environment.get(name)) for report in reports))
        if len(values) > 1:
            yield f"The runs differ in {name}: {', '.join(values)}"
    if len({(report.photos, tuple(report.differences)) for report in reports}) > 1:
        yield "The runs searched different photos"
    if len({len(variant.reports) for variant in variants}) > 1:
        yield "The numbers of seeds differ"


def _format_value(value: Any) -> str:
    text = "not said" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
