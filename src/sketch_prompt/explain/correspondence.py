"""What an explanation is: pairs of patches, and how strongly each patch takes part."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from .matching import Grid

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Which patches of a photo a model takes for which patches of a sketch.

    Patches are numbered row by row in the square that the model is shown, which may be a cropped or padded part of
    the picture. `sketch_image` and `photo_image` show that square, enlarged.

    Attributes:
        method: the model's method.
        score: similarity of the two embeddings, by which photos are ranked.
        sketch_grid, photo_grid: rows and columns of patches.
        matches: (M, 2) sketch patch and photo patch, strongest first, each patch at most once.
        weights: (M,) strength of each match in (0, 1], descending.
        similarity: (P_s, P_p) of every pair, up to 1.
        ink: (P_s,) bool, the sketch patches that hold ink; blank paper is not matched.
        sketch_map: (rows, columns), strength of the best partner of each patch in [0, 1]; 0 for blank paper.
        photo_map: likewise for the photo.
        sketch_image, photo_image: what the model was shown, enlarged; the grid covers it exactly.
        sketch_view, photo_view: where that lies in the picture given, in its pixels; beyond its borders where it was
            padded, None for pixel values.
    """

    method: str
    score: float
    sketch_grid: Grid
    photo_grid: Grid
    matches: np.ndarray
    weights: np.ndarray
    similarity: np.ndarray
    ink: np.ndarray
    sketch_map: np.ndarray
    photo_map: np.ndarray
    sketch_image: Image.Image
    photo_image: Image.Image
    sketch_view: Box | None = None
    photo_view: Box | None = None

    def top(self, k: int) -> "Correspondence":
        """The same with the `k` strongest matches alone."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        return replace(self, matches=self.matches[:k], weights=self.weights[:k])

    def sketch_box(self, patch: int) -> Box:
        """Where a sketch patch lies in `sketch_image`, in pixels."""
        return patch_box(patch, self.sketch_grid, (0, 0, *self.sketch_image.size))

    def photo_box(self, patch: int) -> Box:
        """Where a photo patch lies in `photo_image`, in pixels."""
        return patch_box(patch, self.photo_grid, (0, 0, *self.photo_image.size))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures and `similarity`, as JSON knows it.

        Matches are {"sketch": [row, column], "photo": [row, column], "weight": w}; where the pictures were given,
        also "sketch_box" and "photo_box", the patch in the picture's own pixels: [left, top, right, bottom].
        """
        return {
            "method": self.method,
            "score": self.score,
            "sketch_grid": list(self.sketch_grid),
            "photo_grid": list(self.photo_grid),
            "matches": [
                self._match(sketch, photo, weight)
                for (sketch, photo), weight in zip(self.matches.tolist(), self.weights.tolist())
            ],
            "sketch_map": self.sketch_map.tolist(),
            "photo_map": self.photo_map.tolist(),
        }

    def _match(self, sketch: int, photo: int, weight: float) -> dict[str, Any]:
        match = {
            "sketch": list(divmod(sketch, self.sketch_grid[1])),
            "photo": list(divmod(photo, self.photo_grid[1])),
            "weight": weight,
        }
        if self.sketch_view is not None:
            match["sketch_box"] = list(patch_box(sketch, self.sketch_grid, self.sketch_view))
        if self.photo_view is not None:
            match["photo_box"] = list(patch_box(photo, self.photo_grid, self.photo_view))
        return match

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2)


def patch_box(patch: int, grid: Grid, view: Box) -> Box:
    """Where patch number `patch` of a grid that covers `view` lies."""
    row, column = divmod(patch, grid[1])
    left, top, right, bottom = view
    width, height = (right - left) / grid[1], (bottom - top) / grid[0]
    return (
        left + column * width,
        top + row * height,
        left + (column + 1) * width,
        top + (row + 1) * height,
    )
