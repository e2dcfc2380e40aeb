"""The drawings that come with the package."""

import numpy as np
import pytest

from sketch_prompt.data.doodles import doodle_classes, read_doodles
from sketch_prompt.data.strokes import rasterize, read_drawings


def test_there_are_drawings_of_344_classes_and_every_one_can_be_drawn():
    doodles = read_doodles()
    assert len(doodles) == 7920 and len(doodle_classes()) == 344
    assert {doodle.class_name for doodle in doodles} == set(doodle_classes())
    assert len({doodle.key_id for doodle in doodles}) == len(doodles)
    for doodle in doodles[::400]:
        assert np.asarray(rasterize(doodle.strokes, 64)).min() < 100


def test_classes_come_in_the_order_asked_for_however_they_are_spelled():
    doodles = read_doodles(["stop_sign", "ant"], limit=3)
    assert [doodle.class_name for doodle in doodles] == ["stop sign"] * 3 + ["ant"] * 3


def test_an_unknown_class_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="'crocodile'"):
        read_doodles(["crocodiel"])


def test_packing_loses_nothing(shared):
    folder = shared("data/quickdraw25")
    for name in ("ant", "The Eiffel Tower", "zebra"):
        original = list(read_drawings(str(folder / f"{name}.ndjson")))
        packed = read_doodles([name])
        assert [doodle.key_id for doodle in packed] == [drawing.key_id for drawing in original]
        assert [doodle.strokes for doodle in packed] == [drawing.strokes for drawing in original]
