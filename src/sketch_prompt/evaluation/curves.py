"""The curves of reports: precision over recall, or accuracy over k."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sketch_prompt.vocabulary import Level

from .report import Report

# Okabe and Ito's colours, which colour-blind readers can distinguish
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STYLES = ("-", "--", "-.", ":")
_AXES = {"recall": "recall", "precision": "interpolated precision", "k": "k", "accuracy": "Acc@k"}


def check_comparable(reports: Sequence[Report], level: Level) -> None:
    """Check that the curves of reports can be drawn into a figure for this level.

    Raises:
        ValueError: A report is of the other level, or holds no curve.
    """
    for report in reports:
        if report.level != level:
            raise ValueError(
                f"The report of {report.title} is of {report.level} level and cannot be compared with {level} level."
            )
        if not report.curve:
            raise ValueError(f"The report of {report.title} holds no curve: evaluate it again.")


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
