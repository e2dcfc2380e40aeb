"""Figures of reports: curves (precision over recall, accuracy over k), and the numbers of runs side by side."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from sketch_prompt.vocabulary import Level

from .comparison import Comparison
from .report import Report
from .reproduction import Reproduction, Row

# Okabe and Ito's colours, which colour-blind readers can distinguish
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STYLES = ("-", "--", "-.", ":")
_AXES = {"recall": "recall", "precision": "interpolated precision", "k": "k", "accuracy": "Acc@k"}


def check_comparable(reports: Sequence[Report], level: Level) -> None:
    """Check that the curves of reports can be drawn into a figure for this level.

    Raises:
        ValueError: A report is for the other level, or has no curve.
    """
    for report in reports:
        if report.level != level:
            raise ValueError(
                f"The report of {report.title} is at {report.level} level and cannot be compared with {level} level."
            )
        if not report.curve:
            raise ValueError(f"The report of {report.title} has no curve: evaluate it again.")


def plot_curves(reports: Sequence[Report]) -> Figure:
    """Draw the curves of reports of one level, and the chance level of the first report.

    Args:
        reports: At least one. The line of the first one is the thickest.

    Raises:
        ValueError: As in `check_comparable`.
    """
    check_comparable(reports, reports[0].level)
    figure = Figure(figsize=(5.2, 4.2), dpi=150, facecolor="white", layout="constrained")
    ax = figure.subplots()
    for index, (report, label) in enumerate(zip(reports, _labels(reports))):
        x, y = (report.curve[name] for name in _names(report))
        style = {"color": _COLOURS[index % len(_COLOURS)], "linestyle": _STYLES[index % len(_STYLES)]}
        ax.plot(x, y, label=label, linewidth=1.5 if index else 2.2, zorder=3 if index else 4, **style)
    first = reports[0]
    x, y = _names(first)
    ax.plot(first.curve[x], first.curve["chance"], color="#8a8f98", linewidth=1, label="chance")
    ax.set(xlabel=_AXES[x], ylabel=_AXES[y], ylim=(0, 1.02), xlim=(first.curve[x][0], first.curve[x][-1]))
    ax.set_title(
        first.benchmark if len({report.title for report in reports}) > 1 else first.title, fontsize=10
    )
    ax.grid(color="#e3e5e8", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    return figure


def plot_comparison(comparison: Comparison) -> Figure:
    """Draw the metrics of a comparison, a panel each: a dot for each run, the mean, and the deviation or interval."""
    points = {metric: [] for metric in comparison.metrics}
    for metric, rows in points.items():
        for variant in comparison.variants:
            mean, deviation = variant.mean(metric), variant.deviation(metric)
            interval = variant.reports[0].intervals.get(metric)
            spread = (mean - deviation, mean + deviation) if deviation is not None else interval
            rows.append(_Point(variant.name, mean, spread, tuple(variant.values(metric))))
    chance = comparison.variants[0].reports[0].chance
    return _plot_points(comparison.title, points, chance)


def plot_reproduction(reproduction: Reproduction) -> Figure:
    """Draw runs beside papers: a panel for the metric of each setup that most rows have."""
    points = {}
    for setup, rows in reproduction.setups.items():
        names = Counter(name for row in rows for name in row.metrics)
        metric = names.most_common(1)[0][0]
        points[f"{setup.title}\n{metric}"] = [
            _Point(
                row.method if row.source == "paper" else f"{row.method} (run)",
                row.metrics[metric],
                _spread(row, metric),
                (row.metrics[metric],),
            )
            for row in rows
            if metric in row.metrics
        ]
    return _plot_points("", points, {})


class _Point(NamedTuple):
    """A line of a panel: a mean, where it may lie, and single values; all 0..1."""

    name: str
    mean: float
    spread: Sequence[float] | None
    values: tuple[float, ...]


def _spread(row: Row, metric: str) -> Sequence[float] | None:
    if metric in row.deviations:
        return row.metrics[metric] - row.deviations[metric], row.metrics[metric] + row.deviations[metric]
    return row.intervals.get(metric)


def _plot_points(title: str, panels: dict[str, list[_Point]], chance: dict[str, float]) -> Figure:
    """A panel below the other, with the values in percent from left to right."""
    heights = [0.6 + 0.3 * len(points) for points in panels.values()]
    figure = Figure(figsize=(6.4, 0.5 + sum(heights)), dpi=150, facecolor="white", layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (name, points) in zip(axes, panels.items()):
        for place, point in enumerate(points):
            colour = _COLOURS[place % len(_COLOURS)]
            if point.spread is not None:
                ax.plot([100 * end for end in point.spread], [place, place], color=colour, linewidth=2)
            ax.scatter(
                [100 * value for value in point.values], [place] * len(point.values), s=14, color=colour
            )
            ax.scatter([100 * point.mean], [place], s=60, marker="|", color=colour)
        if name in chance:
            ax.axvline(100 * chance[name], color="#8a8f98", linewidth=1, linestyle=":")
        ax.set_yticks(range(len(points)), [point.name for point in points], fontsize=8)
        ax.set(ylim=(len(points) - 0.5, -0.5), xlabel="%")
        ax.set_title(name, fontsize=9, loc="left")
        ax.grid(axis="x", color="#e3e5e8", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _names(report: Report) -> list[str]:
    return [name for name in report.curve if name != "chance"]


def _labels(reports: Sequence[Report]) -> list[str]:
    """For each report its method, what else distinguishes it, and its first metric."""
    benchmarks = len({report.benchmark for report in reports}) > 1
    methods = len({report.method for report in reports}) == len(reports)
    labels = []
    for report in reports:
        metric, value = next(iter(report.metrics.items()))
        parts = [report.method] if methods else [report.method, report.model]
        parts += [report.benchmark] if benchmarks else []
        labels.append(f"{', '.join(parts)} ({metric} {100 * value:.1f})")
    return labels
