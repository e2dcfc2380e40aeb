"""The files of an evaluation: its report, its curve, and sheets that show queries and the photos found for them."""

import os
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.metrics.ranking import rank
from sketch_prompt.plotting import RankedQuery, plot_rankings, save_figure
from sketch_prompt.vocabulary import TEST_SPLITS

from .curves import plot_curves
from .evaluate import Evaluation
from .report import Report
from .search import Search

CURVE_FILES = {"category": "precision_recall.png", "instance": "accuracy.png"}
_OF_A_CLASS = 2


def write_outputs(
    folder: str | os.PathLike,
    evaluation: Evaluation,
    benchmark: datasets.DatasetDict,
    sheet_size: int = 10,
    compare: Sequence[Report] = (),
) -> list[Path]:
    """Write `report.json`, `report.md`, the curve, `rankings.png`, `best_queries.png`, `worst_queries.png`.

    Args:
        folder: Is created if needed.
        evaluation: The evaluation to write.
        benchmark: The tables with the images.
        sheet_size: Number of queries on each sheet; 0 for no sheets.
        compare: Other reports whose curves are drawn into the same figure.

    Returns:
        The files written.

    Raises:
        ValueError: A report to compare with is for another level.
    """
    folder = Path(folder)
    report, search = evaluation.report, evaluation.search
    written = report.save(folder)
    written.append(save_figure(plot_curves([report, *compare]), folder / CURVE_FILES[report.level]))
    if sheet_size:
        labels = search.sketches.labels
        sheets = {
            "rankings": (choose_queries(labels, sheet_size), "queries drawn over all classes"),
            "best_queries": (extreme_queries(search, sheet_size, best=True), "best queries"),
            "worst_queries": (extreme_queries(search, sheet_size, best=False), "worst queries"),
        }
        for name, (queries, title) in sheets.items():
            figure = plot_rankings(ranked_queries(benchmark, search, queries), f"{report.title}: {title}")
            written.append(save_figure(figure, folder / f"{name}.png"))
    return written


def choose_queries(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` random queries. No class has two before every class has one."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    turn = _earlier_of_class(labels, shuffled)
    return shuffled[np.argsort(turn, kind="stable")][:count]


def extreme_queries(search: Search, count: int, best: bool, seed: int = 0) -> np.ndarray:
    """Indices of the `count` queries that did best or worst, the most extreme one first.

    At most two have the same class, unless there are too few classes. Otherwise one hard class could fill the sheet.
    The order of queries that did equally well is random.
    """
    quality = -search.quality if best else search.quality
    order = np.random.default_rng(seed).permutation(len(quality))
    order = order[np.argsort(quality[order], kind="stable")]
    order = order[~np.isnan(quality[order])]
    later = _earlier_of_class(search.sketches.labels, order) >= _OF_A_CLASS
    chosen = order[np.argsort(later, kind="stable")][:count]
    return chosen[np.argsort(quality[chosen], kind="stable")]


def ranked_queries(
    benchmark: datasets.DatasetDict, search: Search, queries: Sequence[int], top_k: int = 10
) -> list[RankedQuery]:
    """The first `top_k` photos for some queries, to be drawn by `sketch_prompt.plotting.plot_rankings`.

    At instance level, if the sketch's own photo is not among them, it takes the last place.

    Args:
        benchmark: The tables with the images.
        search: The search.
        queries: Rows of `search.sketches`.
        top_k: Number of photos for each query.
    """
    names = benchmark[TEST_SPLITS["sketch"]].features["label"].names
    sketches, photos = search.sketches, search.photos
    sketch_images, photo_images = (
        benchmark[split].select_columns("image").cast_column("image", datasets.Image(decode=False))
        for split in TEST_SPLITS.values()
    )
    rows = []
    for query in queries:
        ranking, scores, ranks = _first_photos(search, query, top_k)
        titles = [names[photos.labels[photo]] for photo in ranking]
        if search.level == "instance":
            titles = photos.instance_ids[ranking].tolist()
        rows.append(
            RankedQuery(
                query_image=_open(sketch_images[int(sketches.rows[query])]["image"]),
                gallery_images=[_open(photo_images[int(photos.rows[photo])]["image"]) for photo in ranking],
                correct=search.is_right(query, ranking).tolist(),
                scores=scores.tolist(),
                titles=titles,
                query_title=names[sketches.labels[query]],
                query_caption=search.captions[query],
                ranks=ranks.tolist(),
            )
        )
    return rows


def _first_photos(search: Search, query: int, top_k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of `search.photos`, their scores and their ranks (from 1)."""
    gallery = search.gallery_of(query)
    scores, indices = (values[0] for values in rank(search.scores, top_k, [query], gallery))
    ranking, ranks = gallery[indices], np.arange(1, len(indices) + 1)
    if search.own_ranks is not None and search.own_ranks[query] >= len(ranking):
        own = gallery[search.is_right(query, gallery)][0]
        ranking[-1], ranks[-1] = own, search.own_ranks[query] + 1
        scores[-1] = rank(search.scores, 1, [query], [own]).scores[0, 0]
    return ranking, scores, ranks


def _earlier_of_class(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """For each index in `order`, the number of indices of its class before it."""
    seen: dict[int, int] = {}
    turns = np.empty(len(order), np.int64)
    for place, index in enumerate(order):
        turns[place] = seen.get(labels[index], 0)
        seen[labels[index]] = turns[place] + 1
    return turns


def _open(source) -> Image.Image | None:
    try:
        return read_image(source)
    except UnreadableImageError:
        return None
