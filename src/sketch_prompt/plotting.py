"""Figures of rankings, with matplotlib.

`plot_ranking` draws one query, and `plot_rankings` a sheet of several ones. Both use `draw_row`, which shows framed
images with `show_image`. Correct photos have a green frame and a tick, wrong ones a red frame and a cross, so the
difference is not only one of colour.
"""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from sketch_prompt.atomic import atomic_write
from sketch_prompt.imaging import to_rgb

RIGHT, WRONG, NEUTRAL = "#1a8a3c", "#c8322b", "#8a8f98"
TILE = 1.35
DOTS_PER_INCH = 120


@dataclass(frozen=True)
class RankedQuery:
    """A query and its photos, best first.

    Attributes:
        query_image: The sketch.
        gallery_images: Photos in rank order. None if a photo cannot be read.
        correct: Whether each photo is correct. None if that is not known.
        scores: Similarity of each photo, printed below it.
        titles: A line above each photo, such as its class.
        query_title: A line above the sketch.
        query_caption: A line below the sketch, such as its score.
        ranks: Rank of each photo, from 1. The default is 1, 2, 3, ...
    """

    query_image: Image.Image
    gallery_images: Sequence[Image.Image | None]
    correct: Sequence[bool] | None = None
    scores: Sequence[float] | None = None
    titles: Sequence[str] | None = None
    query_title: str = "query"
    query_caption: str | None = None
    ranks: Sequence[int] | None = None

    def __post_init__(self):
        for name in ("correct", "scores", "titles", "ranks"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.gallery_images):
                raise ValueError(
                    f"{name} has {len(values)} entries for {len(self.gallery_images)} gallery images."
                )


def plot_ranking(
    query_image: Image.Image,
    gallery_images: Sequence[Image.Image | None],
    correct: Sequence[bool] | None = None,
    scores: Sequence[float] | None = None,
    titles: Sequence[str] | None = None,
    query_title: str = "query",
) -> Figure:
    """A query and its photos in rank order. Correct photos have green frames, wrong ones red. See `RankedQuery`."""
    return plot_rankings([RankedQuery(query_image, gallery_images, correct, scores, titles, query_title)])


def plot_rankings(rows: Sequence[RankedQuery], title: str | None = None) -> Figure:
    """A sheet of several queries, one in each row.

    Args:
        rows: At least one query. Their numbers of photos may differ.
        title: A line above the sheet.

    Raises:
        ValueError: There is no row.
    """
    if not rows:
        raise ValueError("There is no query to draw.")
    columns = 1 + max(len(row.gallery_images) for row in rows)
    captions = any(row.titles is not None for row in rows)
    title_height, margin = 0.35 if title else 0.0, 0.12
    width = TILE * columns
    height = TILE * (1.26 if captions else 1.15) * len(rows) + title_height
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    figure.subplots_adjust(
        left=margin / width,
        right=1 - margin / width,
        bottom=margin / height,
        top=1 - (title_height + 2 * margin) / height,
    )
    if title:
        figure.suptitle(title, fontsize=10, y=1 - 0.25 * title_height / height, va="top")
    for axes, row in zip(grid, rows):
        draw_row(axes, row)
    return figure


def plot_hits(
    query: Image.Image | str, images: Sequence[Image.Image | None], titles: Sequence[str], columns: int = 6
) -> Figure:
    """The hits of a search in rows, beside the query.

    Args:
        query: The sketch, or the text.
        images: Photos in rank order. None if one cannot be read.
        titles: A line below each photo.
        columns: Number of photos in a row.
    """
    rows = max(1, -(-len(images) // columns))
    columns = max(1, min(columns, len(images)))
    figure = Figure(
        figsize=(TILE * (columns + 1), 1.15 * TILE * rows),
        dpi=DOTS_PER_INCH,
        facecolor="white",
        layout="constrained",
    )
    grid = figure.subplots(rows, columns + 1, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    _show_query(grid[0, 0], query)
    for index, (image, title) in enumerate(zip(images, titles)):
        ax = grid[index // columns, 1 + index % columns]
        ax.set_axis_on()
        show_image(ax, image)
        frame(ax, NEUTRAL)
        caption(ax, f"{index + 1}.  {_shorten(title)}")
    return figure


def _show_query(ax: Axes, query: Image.Image | str) -> None:
    ax.set_axis_on()
    if isinstance(query, str):
        ax.set(xticks=[], yticks=[], box_aspect=1)
        ax.text(0.5, 0.5, "\n".join(textwrap.wrap(query, 16)), ha="center", va="center", fontsize=7)
    else:
        show_image(ax, query)
    frame(ax, NEUTRAL, dashed=True)
    caption(ax, "query")


def draw_row(axes: Sequence[Axes], row: RankedQuery) -> None:
    """Draw the query into the first of the axes and its photos into the next ones. The others stay empty."""
    show_image(axes[0], row.query_image, title=row.query_title)
    frame(axes[0], NEUTRAL, dashed=True)
    if row.query_caption is not None:
        caption(axes[0], row.query_caption)
    for index, (ax, image) in enumerate(zip(axes[1:], row.gallery_images)):
        show_image(ax, image, title=row.titles[index] if row.titles is not None else None)
        right = None if row.correct is None else bool(row.correct[index])
        frame(ax, NEUTRAL if right is None else RIGHT if right else WRONG)
        if right is not None:
            badge(ax, right)
        if row.scores is not None:
            place = index + 1 if row.ranks is None else row.ranks[index]
            caption(ax, f"{place}.  {row.scores[index]:.3f}")
    for ax in axes[1 + len(row.gallery_images) :]:
        ax.set_axis_off()


def show_image(ax: Axes, image: Image.Image | None, title: str | None = None) -> None:
    """An image, fitted into a white square, or the word "unreadable" if there is none."""
    ax.set_xticks([])
    ax.set_yticks([])
    if image is None:
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_box_aspect(1)
        ax.text(0.5, 0.5, "unreadable", ha="center", va="center", fontsize=7, color=NEUTRAL)
    else:
        side = int(TILE * DOTS_PER_INCH)
        tile = ImageOps.pad(to_rgb(image), (side, side), color="white")
        ax.imshow(np.asarray(tile), interpolation="lanczos")
    if title:
        ax.set_title(_shorten(title), fontsize=7, pad=3)


def frame(ax: Axes, colour: str, dashed: bool = False) -> None:
    """A coloured frame around the axes."""
    for spine in ax.spines.values():
        spine.set(color=colour, linewidth=1.0 if dashed else 2.2, linestyle="--" if dashed else "-")


def caption(ax: Axes, text: str) -> None:
    """A small line below the axes."""
    ax.set_xlabel(text, fontsize=6.5, labelpad=2, color="#444444")


def badge(ax: Axes, right: bool) -> None:
    """A tick or a cross in the upper left corner."""
    style = {"boxstyle": "square,pad=0.18", "facecolor": RIGHT if right else WRONG, "edgecolor": "none"}
    ax.text(
        0.0,
        1.0,
        "✓" if right else "✗",
        transform=ax.transAxes,
        ha="left",
        va="top",
        fontsize=8,
        color="white",
        fontfamily="DejaVu Sans",
        bbox=style,
    )


def save_figure(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure in the format of its suffix (.png, .pdf, .svg, ...), by default as PNG.

    Raises:
        ValueError: matplotlib does not support the suffix.
    """
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=temporary.suffix[1:] or "png")
    return Path(path)


def _shorten(text: str, limit: int = 18) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
