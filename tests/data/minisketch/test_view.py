import numpy as np
import pytest

from sketch_prompt.data.minisketch.geometry import Part, box, line, wire
from sketch_prompt.data.minisketch.view import PHOTO_VIEWS, SKETCH_VIEWS, ViewRange, seen_from


@pytest.mark.parametrize("views", [PHOTO_VIEWS, SKETCH_VIEWS])
def test_a_view_keeps_the_shape_inside_the_picture(views):
    parts = [Part("frame", box(0.5, 0.5, 0.99, 0.99))]
    for seed in range(50):
        outline = seen_from(parts, views, np.random.default_rng(seed))[0].outline
        assert outline.min() >= 0.02 - 1e-9 and outline.max() <= 0.98 + 1e-9


def test_the_same_generator_gives_the_same_view_and_another_gives_another():
    parts = [Part("frame", box(0.5, 0.5, 0.5, 0.3))]
    one, same, other = (seen_from(parts, PHOTO_VIEWS, np.random.default_rng(s))[0].outline for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_a_view_of_half_the_size_halves_a_wire():
    still = ViewRange(rotation=0, scale=(0.5, 0.5), aspect=0, shear=0, perspective=0, flip=0)
    (rope,) = seen_from([wire("rope", line((0.2, 0.5), (0.8, 0.5)), 0.04)], still, np.random.default_rng(0))
    assert rope.wire_width == pytest.approx(0.02)
    assert np.ptp(rope.outline[:, 0]) == pytest.approx(0.3)
