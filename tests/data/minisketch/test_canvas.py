import numpy as np
import pytest

from sketch_prompt.data.minisketch.canvas import Canvas, label_map
from sketch_prompt.data.minisketch.geometry import Part, box, ellipse, line, wire


def test_a_filled_outline_covers_its_area_the_right_way_up():
    canvas = Canvas(100)
    canvas.fill(box(0.5, 0.25, 0.4, 0.2), (1.0, 0.0, 0.0))
    alpha = canvas.pixels()[..., 3] / 255
    assert alpha.mean() == pytest.approx(0.08, abs=0.002)
    assert alpha[:50].sum() == pytest.approx(alpha.sum())
    assert tuple(canvas.pixels()[25, 50, :3]) == (255, 0, 0)


@pytest.mark.parametrize("turn", [1, -1])
def test_holes_stay_open_whichever_way_their_points_run(turn):
    canvas = Canvas(100)
    canvas.fill(ellipse(0.5, 0.5, 0.4), (0.0, 0.0, 0.0), holes=(ellipse(0.5, 0.5, 0.2)[::turn],))
    alpha = canvas.pixels()[..., 3]
    assert alpha[50, 50] == 0 and alpha[50, 20] == 255


def test_a_stroke_is_as_wide_as_asked():
    canvas = Canvas(100)
    canvas.stroke(line((0.1, 0.5), (0.9, 0.5)), (0.0, 0.0, 0.0), width=0.1)
    assert (canvas.pixels()[:, 50, 3] / 255).sum() == pytest.approx(10, abs=0.2)


def test_a_label_map_shows_the_part_in_front_and_no_mixed_labels():
    parts = [(Part("back", box(0.5, 0.5, 0.8, 0.8)), 7), (Part("front", ellipse(0.5, 0.5, 0.2)), 200)]
    labels = label_map([*parts, (wire("rope", line((0.1, 0.9), (0.9, 0.1)), 0.02), 3)], 64)
    assert set(np.unique(labels)) == {0, 3, 7, 200}
    assert labels[0, 0] == 0 and labels[24, 26] == 200 and labels[10, 32] == 7 and labels[32, 32] == 3
