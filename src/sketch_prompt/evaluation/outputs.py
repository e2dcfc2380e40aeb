"""The folder of an evaluation: its report, its curve, and sheets of its queries."""

import os
from collections.abc import Sequence
from pathlib import Path

import datasets

from sketch_prompt.plotting import plot_rankings, save_figure

from .curves import plot_curves
from .evaluate import Evaluation
from .report import Report
from .sheets import choose_queries, extreme_queries, ranked_queries

CURVE_FILES = {"category": "precision_recall.png", "instance": "accuracy.png"}


def write_outputs(
    folder: str | os.PathLike,
    evaluation: Evaluation,
    benchmark: datasets.DatasetDict,
    rankings: int = 10,
    compare: Sequence[Report] = (),
) -> list[Path]:
    """Write `report.json`, `report.md`, the curve, `rankings.png`, `best_queries.png`, `worst_queries.png`.

    Args:
        folder: made where it lacks.
        evaluation: what is written.
        benchmark: where the images are.
        rankings: queries on each sheet; 0 for no sheets.
        compare: other reports, drawn into the curve's figure.

    Returns:
        The files written.

    Raises:
        ValueError: a report to compare with is of another level.
    """
    folder = Path(folder)
    report, search = evaluation.report, evaluation.search
    written = report.save(folder)
    written.append(save_figure(plot_curves([report, *compare]), folder / CURVE_FILES[report.level]))
    if rankings:
        labels = search.sketches.labels
        sheets = {
            "rankings": (choose_queries(labels, rankings), "queries drawn over all classes"),
            "best_queries": (extreme_queries(search, rankings, best=True), "best queries"),
            "worst_queries": (extreme_queries(search, rankings, best=False), "worst queries"),
        }
        for name, (queries, title) in sheets.items():
            figure = plot_rankings(ranked_queries(benchmark, search, queries), f"{report.title}: {title}")
            written.append(save_figure(figure, folder / f"{name}.png"))
    return written
