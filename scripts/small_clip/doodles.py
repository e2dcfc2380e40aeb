"""Quick, Draw! drawings as 64 px pictures, each drawn several times with other lines, sizes and angles."""

from __future__ import annotations

import math

import numpy as np
from tqdm import tqdm

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.doodles import Doodle, read_doodles
from sketch_prompt.data.quickdraw_caltech import UNSEEN_CLASSES
from sketch_prompt.data.splits import published_split
from sketch_prompt.data.strokes import Stroke, rasterize

from .pictures import SIZE

# Drawings of these are as good as drawings of a class that is kept for a test (house: cabin, mug: cup, ...).
NEAR_TESTED = ("bird", "coffee cup", "house", "mug", "palm tree")


def tested_classes() -> frozenset[str]:
    """The `class_key`s of all classes no drawing of which may be learned from."""
    published = (published_split(protocol).unseen for protocol in ("sketchy-21", "sketchy-25"))
    return frozenset(class_key(name) for names in (UNSEEN_CLASSES, *published, NEAR_TESTED) for name in names)


def training_doodles() -> list[Doodle]:
    """The drawings that come with the package, without those of `tested_classes`."""
    tested = tested_classes()
    return [doodle for doodle in read_doodles() if class_key(doodle.class_name) not in tested]


def draw_variants(drawings: list[list[Stroke]], variants: int, seed: int = 0) -> np.ndarray:
    """(N, variants, 64, 64) uint8, dark on white."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((len(drawings), variants, SIZE, SIZE), np.uint8)
    for index, strokes in enumerate(tqdm(drawings, desc="Drawing", mininterval=10)):
        for variant in range(variants):
            pictures[index, variant] = rasterize(
                distort(strokes, rng), SIZE, stroke_width=rng.uniform(1.2, 3.2)
            )
    return pictures


def distort(strokes: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """The drawing turned, slanted and stretched a little, now and then without one of its strokes."""
    angle, slant = rng.normal(0, 0.12), rng.normal(0, 0.12)
    stretch = math.exp(rng.normal(0, 0.12))
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c, -s], [s, c]]) @ np.array([[stretch, slant], [0, 1 / stretch]])
    kept = list(strokes)
    if len(kept) > 3 and rng.random() < 0.3:
        kept.pop(rng.integers(len(kept)))
    return [(turn @ np.array(stroke[:2], float)).tolist() for stroke in kept]
