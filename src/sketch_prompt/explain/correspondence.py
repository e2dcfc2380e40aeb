"""The result of an explanation: pairs of patches, and the strength of each patch."""

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
    """The patches of a photo that a model matches with the patches of a sketch.

    Patches are numbered row by row in the square input of the model, which may be a cropped or padded part of the
    picture. `sketch_image` and `photo_image` show this square, enlarged.

    Example:
        ```python
        correspondence = model.explain("drawing.png", "photo.jpg")
        for (sketch_patch, photo_patch), weight in zip(correspondence.matches, correspondence.weights):
            print(correspondence.sketch_box(sketch_patch), correspondence.photo_box(photo_patch), weight)
        ```

    Attributes:
        method: Name of the method.
        score: Similarity of the two embeddings, by which photos are ranked.
        sketch_grid, photo_grid: Rows and columns of patches.
        matches: (M, 2) sketch patch and photo patch, strongest first. Each patch occurs at most once.
        weights: (M,) strength of each match in (0, 1], descending.
        similarity: (P_s, P_p) similarity of each pair, at most 1.
        ink: (P_s,) bool, the sketch patches with ink. Blank paper is not matched.
        sketch_map: (rows, columns) strength of the best match of each patch in [0, 1]; 0 for blank paper.
        photo_map: (rows, columns) the same for the photo.
        sketch_image, photo_image: The input of the model, enlarged. The grid covers it exactly.
        sketch_view, photo_view: The place of this input in the original picture, in its pixels. It extends beyond the
            picture if that was padded. None if pixel values were given.
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

    def __repr__(self) -> str:
        sizes = " and ".join(f"{rows} x {columns}" for rows, columns in (self.sketch_grid, self.photo_grid))
        return f"Correspondence({self.method}, score {self.score:.3f}, {len(self.matches)} matches, {sizes} patches)"

    def _repr_html_(self) -> str:
        from sketch_prompt import notebook

        if not len(self.matches):
            return notebook.text(repr(self))
        from .figures import plot_explanation

        return notebook.of_figure(plot_explanation(self), repr(self))

    def top(self, k: int) -> "Correspondence":
        """A copy with only the `k` strongest matches."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        return replace(self, matches=self.matches[:k], weights=self.weights[:k])

    def sketch_box(self, patch: int) -> Box:
        """The box of a sketch patch in `sketch_image`, in pixels."""
        return patch_box(patch, self.sketch_grid, (0, 0, *self.sketch_image.size))

    def photo_box(self, patch: int) -> Box:
        """The box of a photo patch in `photo_image`, in pixels."""
        return patch_box(patch, self.photo_grid, (0, 0, *self.photo_image.size))

    def to_dict(self) -> dict[str, Any]:
        """All values that JSON can hold: everything except the pictures and `similarity`.

        Matches are {"sketch": [row, column], "photo": [row, column], "weight": w}. If pictures were given, they also
        have "sketch_box" and "photo_box": [left, top, right, bottom] in pixels of the original picture.
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
    """The box of a patch in a grid that covers `view`."""
    row, column = divmod(patch, grid[1])
    left, top, right, bottom = view
    width, height = (right - left) / grid[1], (bottom - top) / grid[0]
    return (
        left + column * width,
        top + row * height,
        left + (column + 1) * width,
        top + (row + 1) * height,
    )
