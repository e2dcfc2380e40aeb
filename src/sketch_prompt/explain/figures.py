"""Figures of explanations, with matplotlib.

`plot_explanation` draws one kind of figure or all of them: `matches` (pairs of patches in the same colour, joined by
lines), `heatmap` (how strongly each patch is matched) and `synthesis` (the sketch made of patches of the photo). All
of them show the square input of the model. `synthesize` returns the synthesis as an image.
"""

from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .correspondence import Box, Correspondence

PANEL = 3.2  # side of an image in inches
DOTS_PER_INCH = 120
GAP = 0.16  # between two images, as a share of the first one's width
SHOWN_MATCHES = 10
WIDTH, HEIGHT, BOTTOM = 0.30, 0.88, 0.02  # of an image, as shares of a row
HEAT = colormaps["inferno"]


def plot_explanation(correspondence: Correspondence, kind: str = "all") -> Figure:
    """Draw one kind of figure, or all of them one below the other.

    Raises:
        ValueError: The kind is unknown, or there is no match to draw.
    """
    if kind != "all" and kind not in KINDS:
        raise ValueError(f"kind must be {', '.join(KINDS)} or all, not {kind!r}")
    if len(correspondence.matches) == 0:
        raise ValueError(f"{correspondence.method} connects no patch of this sketch with one of this photo")
    rows = list(KINDS.values()) if kind == "all" else [KINDS[kind]]
    figure = Figure(figsize=(PANEL * 3, (PANEL + 0.35) * len(rows)), dpi=DOTS_PER_INCH, facecolor="white")
    parts = np.atleast_1d(figure.subfigures(len(rows), 1))
    for part, draw in zip(parts, rows):
        draw(part, correspondence)
    return figure


def plot_matches(correspondence: Correspondence, top_k: int = SHOWN_MATCHES) -> Figure:
    """The strongest matches between sketch and photo. See `draw_matches`."""
    return plot_explanation(correspondence.top(top_k), "matches")


def plot_heatmap(correspondence: Correspondence) -> Figure:
    """How strongly the patches of both images are matched. See `draw_heat`."""
    return plot_explanation(correspondence, "heatmap")


def plot_synthesis(correspondence: Correspondence) -> Figure:
    """The sketch, the sketch made of patches of the photo, and the photo. See `synthesize`."""
    return plot_explanation(correspondence, "synthesis")


def synthesize(correspondence: Correspondence) -> Image.Image:
    """The sketch with each matched patch replaced by its photo patch, in the size of `sketch_image`."""
    canvas = correspondence.sketch_image.convert("RGB")
    for sketch, photo in correspondence.matches.tolist():
        left, top, right, bottom = map(round, correspondence.sketch_box(sketch))
        patch = correspondence.photo_image.convert("RGB").crop(
            tuple(map(round, correspondence.photo_box(photo)))
        )
        canvas.paste(patch.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return canvas


def draw_matches(ax: Axes, correspondence: Correspondence) -> None:
    """Draw both images side by side. The patches of a match have frames in the same colour, a number and a line.

    Matches are numbered from the strongest one on. Stronger matches have thicker lines.
    """
    sketch, photo = correspondence.sketch_image, correspondence.photo_image
    offset = sketch.width * (1 + GAP)
    height = max(sketch.height, photo.height)
    ax.imshow(np.asarray(sketch), extent=(0, sketch.width, sketch.height, 0))
    ax.imshow(np.asarray(photo), extent=(offset, offset + photo.width, photo.height, 0))
    ax.set(xlim=(0, offset + photo.width), ylim=(height, 0), xticks=[], yticks=[], frame_on=False)
    colours = match_colours(len(correspondence.matches))
    strongest = correspondence.weights[0]
    for rank, (patches, weight) in enumerate(zip(correspondence.matches.tolist(), correspondence.weights)):
        colour, strength = colours[rank], weight / strongest
        boxes = correspondence.sketch_box(patches[0]), correspondence.photo_box(patches[1])
        centres = []
        for box, shift in zip(boxes, (0.0, offset)):
            centres.append(((box[0] + box[2]) / 2 + shift, (box[1] + box[3]) / 2))
            _frame(ax, box, shift, colour)
        ax.plot(*zip(*centres), color=colour, linewidth=0.6 + 1.6 * strength, alpha=0.85)
        for x, y in centres:
            style = {"boxstyle": "circle,pad=0.18", "facecolor": colour, "edgecolor": "white"}
            ax.text(x, y, str(rank + 1), fontsize=6, color="white", ha="center", va="center", bbox=style)


def draw_heat(ax: Axes, image: Image.Image, heat: np.ndarray, strongest: float) -> None:
    """Draw an image in grey under a heat map (rows, columns), which is brightest at `strongest`, and clear at 0."""
    extent = (0, image.width, image.height, 0)
    ax.imshow(np.asarray(image.convert("L")), cmap="gray", vmin=0, vmax=255, extent=extent)
    share = np.clip(heat / strongest, 0, 1)
    layer = HEAT(share)
    layer[..., 3] = 0.75 * np.sqrt(share)
    ax.imshow(layer, extent=extent, interpolation="nearest")
    _hide_ticks(ax)


def match_colours(count: int) -> list[tuple[float, ...]]:
    """Ten distinct colours, or a spectrum for more matches."""
    if count <= 10:
        return [colormaps["tab10"](index) for index in range(count)]
    return [colormaps["turbo"](value) for value in np.linspace(0.05, 0.95, count)]


def _matches_row(figure, correspondence: Correspondence) -> None:
    shown = correspondence.top(SHOWN_MATCHES)
    ax = figure.add_axes((0.02, BOTTOM, 0.96, HEIGHT))
    draw_matches(ax, shown)
    ax.set_title(
        f"{correspondence.method}: the {len(shown.matches)} strongest matches of {len(correspondence.matches)}, "
        f"similarity {correspondence.score:.3f}",
        fontsize=9,
    )


def _heatmap_row(figure, correspondence: Correspondence) -> None:
    strongest = float(correspondence.weights[0])
    axes = [figure.add_axes((left, BOTTOM, WIDTH, HEIGHT)) for left in (0.17, 0.53)]
    sides = ("sketch_image", "sketch_map", "sketch"), ("photo_image", "photo_map", "photo")
    for ax, (image, heat, name) in zip(axes, sides):
        draw_heat(ax, getattr(correspondence, image), getattr(correspondence, heat), strongest)
        ax.set_title(f"{name}: strength of each patch's best match", fontsize=9)
    scale = ScalarMappable(cmap=HEAT)
    scale.set_clim(0, strongest)
    bar = figure.colorbar(scale, cax=figure.add_axes((0.86, BOTTOM, 0.015, HEIGHT)))
    bar.ax.tick_params(labelsize=7)


def _synthesis_row(figure, correspondence: Correspondence) -> None:
    pictures = {
        "sketch": correspondence.sketch_image,
        "sketch from the photo's patches": synthesize(correspondence),
        "photo": correspondence.photo_image,
    }
    for left, (title, picture) in zip((0.02, 0.35, 0.68), pictures.items()):
        ax = figure.add_axes((left, BOTTOM, WIDTH, HEIGHT))
        ax.imshow(np.asarray(picture))
        ax.set_title(title, fontsize=9)
        _hide_ticks(ax)


KINDS: dict[str, Callable[..., None]] = {
    "matches": _matches_row,
    "heatmap": _heatmap_row,
    "synthesis": _synthesis_row,
}
"""{kind of figure: the function that draws it}"""


def _frame(ax: Axes, box: Box, shift: float, colour) -> None:
    left, top, right, bottom = box
    ax.add_patch(
        Rectangle(
            (left + shift, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.8
        )
    )


def _hide_ticks(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="#c9ccd1", linewidth=0.8)
