"""The drawings in the package: quick doodles of 344 things, as strokes.

There are 7,920 drawings from Quick, Draw! (Google, CC BY 4.0), about 23 for each class, in a file of 0.7 MB. The
game's classifier recognised all of them. The coordinates are exactly those of Google's simplified files, from 0 to
255.
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.splits import unknown_name
from sketch_prompt.data.strokes import Stroke

_PACK = "doodles.npz"


class Doodle(NamedTuple):
    """A drawing: the name of its class, its id in Quick, Draw!, and its strokes.

    `sketch_prompt.data.strokes.rasterize(doodle.strokes)` makes a picture of it.
    """

    class_name: str
    key_id: str
    strokes: list[Stroke]


def doodle_classes() -> tuple[str, ...]:
    """The names of all classes, sorted."""
    return tuple(_pack()["classes"].tolist())


def read_doodles(class_names: Iterable[str] | None = None, limit: int | None = None) -> list[Doodle]:
    """The drawings of some classes, in the order of the classes.

    Args:
        class_names: The classes, in any spelling ("stop_sign" is "stop sign"); None for all `doodle_classes`.
        limit: Return at most so many drawings of each class; None for all (17 to 25).

    Raises:
        ValueError: There are no drawings of a class. The message suggests the nearest class.
    """
    pack = _pack()
    known = {class_key(name): label for label, name in enumerate(doodle_classes())}
    doodles = []
    for name in doodle_classes() if class_names is None else class_names:
        label = known.get(class_key(name))
        if label is None:
            raise ValueError(unknown_name("class of doodles", name, doodle_classes()))
        rows = np.flatnonzero(pack["labels"] == label)[:limit]
        doodles += [
            Doodle(doodle_classes()[label], str(pack["key_ids"][row]), _strokes(pack, row)) for row in rows
        ]
    return doodles


@cache
def _pack() -> dict[str, np.ndarray]:
    with resources.files("sketch_prompt.data").joinpath(_PACK).open("rb") as file, np.load(file) as archive:
        pack = dict(archive)
    pack["first_stroke"] = np.concatenate([[0], np.cumsum(pack["strokes"], dtype=np.int64)])
    pack["first_point"] = np.concatenate([[0], np.cumsum(pack["points"], dtype=np.int64)])
    return pack


def _strokes(pack: dict[str, np.ndarray], row: int) -> list[Stroke]:
    edges = pack["first_point"][pack["first_stroke"][row] : pack["first_stroke"][row + 1] + 1]
    return [
        [np.cumsum(pack[axis][start:stop], dtype=np.uint8).tolist() for axis in ("x", "y")]
        for start, stop in zip(edges, edges[1:])
    ]
