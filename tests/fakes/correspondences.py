"""An explanation whose every number is known, for tests of what is made of it."""

import numpy as np
from PIL import Image

from sketch_prompt.explain import Correspondence

PATCH = 20


def picture(grid, blue):
    """One flat colour a patch: red tells its row, green its column."""
    rows, columns = np.indices(grid)
    colours = np.stack([40 + 30 * rows, 40 + 30 * columns, np.full(grid, blue)], axis=-1).astype(np.uint8)
    return Image.fromarray(colours.repeat(PATCH, axis=0).repeat(PATCH, axis=1))


def correspondence(sketch_grid=(4, 4), photo_grid=(4, 4), **fields) -> Correspondence:
    """Sketch patch 5 goes with photo patch 4, sketch patch 2 with photo patch 1."""
    matches, weights = np.array([[5, 4], [2, 1]]), np.array([0.75, 0.5], np.float32)
    sizes = sketch_grid[0] * sketch_grid[1], photo_grid[0] * photo_grid[1]
    similarity = np.full(sizes, -0.5, np.float32)
    similarity[matches[:, 0], matches[:, 1]] = weights
    strength = similarity.clip(0)
    known = {
        "method": "clip-at",
        "score": 0.25,
        "sketch_grid": sketch_grid,
        "photo_grid": photo_grid,
        "matches": matches,
        "weights": weights,
        "similarity": similarity,
        "ink": np.ones(sizes[0], bool),
        "sketch_map": strength.max(1).reshape(sketch_grid),
        "photo_map": strength.max(0).reshape(photo_grid),
        "sketch_image": picture(sketch_grid, 255),
        "photo_image": picture(photo_grid, 0),
    }
    return Correspondence(**known | fields)
