"""Queries: a drawing in any form, a text, or both."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from sketch_prompt.data.listing import STROKE_EXTENSION
from sketch_prompt.data.reading import read_image
from sketch_prompt.imaging import to_rgb

Sketch = str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor | Mapping | Sequence


def as_drawing(sketch: Sketch) -> Image.Image:
    """A sketch in any form as an RGB image on white.

    Args:
        sketch: The path of an image or of a QuickDraw `.ndjson` file (its first drawing), an encoded image, a PIL
            image, an array or tensor as for `imaging.to_rgb`, or strokes as in QuickDraw: `[[[x, ...], [y, ...]],
            ...]`, also as the value of "drawing" in a mapping.

    Raises:
        ValueError: It cannot be read, has no drawing, or is not an image (`UnreadableImageError` is a ValueError).
        TypeError: It has another type.
    """
    if isinstance(sketch, str | os.PathLike) and str(sketch).lower().endswith(STROKE_EXTENSION):
        from sketch_prompt.data.strokes import rasterize, read_drawings

        drawing = next(read_drawings(os.fspath(sketch), limit=1), None)
        if drawing is None:
            raise ValueError(f"{sketch} has no drawing")
        return rasterize(drawing.strokes).convert("RGB")
    if isinstance(sketch, np.ndarray | torch.Tensor):
        return to_rgb(sketch)
    if isinstance(sketch, str | os.PathLike | bytes | Image.Image):
        return to_rgb(read_image(sketch))
    if isinstance(sketch, Mapping) and "drawing" in sketch:
        sketch = sketch["drawing"]
    if isinstance(sketch, list | tuple):
        return _rasterize(sketch)
    raise TypeError(
        f"a sketch is a path, an encoded or a PIL image, an array or strokes, not {type(sketch).__name__}"
    )


def _rasterize(strokes) -> Image.Image:
    try:
        lines = [(np.asarray(stroke[0], np.float64), np.asarray(stroke[1], np.float64)) for stroke in strokes]
        sound = all(xs.ndim == 1 and xs.shape == ys.shape and np.isfinite([xs, ys]).all() for xs, ys in lines)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        sound = False
    if not sound or not any(len(xs) for xs, _ in lines):
        raise ValueError("strokes are [[[x, ...], [y, ...]], ...] with at least one point and finite numbers")
    from sketch_prompt.data.strokes import rasterize

    return rasterize(lines).convert("RGB")


def combine(sketch: np.ndarray, text: np.ndarray, weight: float, sample: np.ndarray) -> np.ndarray:
    """Combine a sketch (D,) and a text (D,) into one query (D,).

    For a text, the scores of photos differ much less than for a sketch. So each part is divided by the standard
    deviation of its scores over photos of the gallery. With a weight of 0.5, both then have the same influence.

    Args:
        weight: Weight of the text, in [0, 1].
        sample: (n, D) photos of the gallery.

    Raises:
        ValueError: The weight is out of range.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must be between 0 (the sketch alone) and 1 (the text alone), not {weight}")
    spreads = [float((sample @ part).std()) if len(sample) > 1 else 1.0 for part in (sketch, text)]
    parts = [part / max(spread, 1e-6) for part, spread in zip((sketch, text), spreads)]
    query = (1 - weight) * parts[0] + weight * parts[1]
    return (query / np.linalg.norm(query)).astype(np.float32)
