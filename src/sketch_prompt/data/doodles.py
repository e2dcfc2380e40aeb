"""The drawings that come with the package: people's quick doodles of 344 things, as strokes.

7,920 drawings of Quick, Draw! (Google, CC BY 4.0), about 23 a class, all recognised by the game's classifier, in
a file of 0.7 MB. Nothing is lost: coordinates are the whole numbers from 0 to 255 of Google's simplified files.
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
    """A drawing: what it shows, as Quick, Draw! asked for it, its id there, and its strokes.

    `sketch_prompt.data.strokes.rasterize(doodle.strokes)` is its picture.
    """

    class_name: str
    key_id: str
    strokes: list[Stroke]


def doodle_classes() -> tuple[str, ...]:
    """The names of all classes, sorted."""
    return tuple(_pack()["classes"].tolist())


def read_doodles(class_names: Iterable[str] | None = None, limit: int | None = None) -> list[Doodle]:
    """The drawings of some classes, class by class in the order asked for.

    Args:
        class_names: None for all of `doodle_classes`. Spelling is free: "stop_sign" is "stop sign".
        limit: at most so many of each class; None for all there are (17 to 25).

    Raises:
        ValueError: if there are no drawings of a class; the nearest known one is named.
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
