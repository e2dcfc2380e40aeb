import numpy as np
import pytest

from sketch_prompt.data.minisketch.geometry import (
    Part,
    arc,
    box,
    ellipse,
    fit_to_unit_square,
    flipped,
    left_right,
    line,
    mapped_parts,
    mirrored,
    moved,
    panel,
    polygon,
    spline,
    top_bottom,
    trapezium,
    tube,
    turned,
    wire,
)


def _area(outline):
    x, y = outline.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def test_a_line_runs_through_its_points_in_small_steps():
    path = line((0, 0), (1, 0), (1, 0.5))
    np.testing.assert_allclose(path[[0, -1]], [(0, 0), (1, 0.5)])
    assert (path == (1, 0)).all(axis=1).any()
    assert np.hypot(*np.diff(path, axis=0).T).max() < 0.05


def test_rounding_a_polygon_cuts_its_corners_only():
    sharp, round_ = box(0, 0, 2, 1), box(0, 0, 2, 1, radius=0.2)
    assert _area(sharp) == pytest.approx(2)
    assert 1.9 < _area(round_) < 2
    assert np.abs(round_).max(axis=0) == pytest.approx([1, 0.5])


def test_a_radius_larger_than_the_polygon_keeps_it_inside():
    assert np.abs(polygon((-1, -1), (1, -1), (1, 1), (-1, 1), radius=50)).max() <= 1 + 1e-9


def test_an_ellipse_has_its_area_and_turns_about_its_centre():
    assert _area(ellipse(3, 4, 0.5, 0.25)) == pytest.approx(np.pi / 8, rel=0.02)
    np.testing.assert_allclose(ellipse(3, 4, 0.5, 0.25, angle=90).mean(axis=0), (3, 4), atol=1e-9)


def test_an_arc_ends_where_it_should():
    np.testing.assert_allclose(arc(0, 0, 1, 2, 0, 90)[[0, -1]], [(1, 0), (0, 2)], atol=1e-9)


def test_a_spline_passes_through_its_points():
    knots = np.array([(0, 0), (1, 1), (2, 0), (3, 1)], float)
    for curve in (spline(*knots), spline(*knots, closed=True)):
        for knot in knots:
            assert np.abs(curve - knot).sum(axis=1).min() < 1e-9


def test_a_mirrored_profile_is_symmetric():
    outline = mirrored((0, 0), (0.5, 0.5), (0, 1))
    np.testing.assert_allclose(outline, flipped(outline)[::-1], atol=1e-12)


def test_a_tube_is_as_wide_as_asked_at_either_end():
    outline = tube(line((0, 0), (1, 0)), 0.2, 0.4)
    assert np.ptp(outline[outline[:, 0] == 0, 1]) == pytest.approx(0.2)
    assert np.ptp(outline[outline[:, 0] == 1, 1]) == pytest.approx(0.4)


def test_turning_by_a_right_angle_takes_right_to_down():
    np.testing.assert_allclose(turned(np.array([[1.0, 0.0]]), 90), [[0, 1]], atol=1e-12)


def test_moving_and_flipping():
    np.testing.assert_allclose(moved(np.array([[1.0, 2.0]]), 1, -1), [[2, 1]])
    np.testing.assert_allclose(flipped(np.array([[1.0, 2.0]]), x=3), [[5, 2]])


def test_mapping_parts_moves_every_line_and_keeps_the_rest():
    ring = ellipse(0, 0, 1)
    part = Part("ring", ring, "metal", holes=(ring * 0.5,), details=(ring[:5], ring[5:9]), drawn=False)
    (doubled,) = mapped_parts([part], lambda points: points * 2, scale=2)
    np.testing.assert_array_equal(doubled.outline, ring * 2)
    np.testing.assert_array_equal(doubled.holes[0], ring)
    assert [len(detail) for detail in doubled.details] == [5, 4]
    assert (doubled.name, doubled.material, doubled.drawn) == ("ring", "metal", False)


def test_fitting_fills_the_unit_square_and_scales_wires():
    parts = [Part("body", box(10, 10, 4, 2)), wire("rope", line((10, 9), (10, 11)), 0.4)]
    body, rope = fit_to_unit_square(parts, margin=0.1)
    np.testing.assert_allclose(body.outline.min(axis=0), (0.1, 0.3), atol=1e-9)
    np.testing.assert_allclose(body.outline.max(axis=0), (0.9, 0.7), atol=1e-9)
    assert rope.wire_width == pytest.approx(0.08)


@pytest.mark.parametrize("curve", (line, polygon, spline))
def test_points_are_counted_in_units_of_the_scale_from_a_place(curve):
    points = np.array([(0.0, 0.0), (1.0, 0.25), (0.5, 1.0)])
    np.testing.assert_array_equal(
        curve(*points, scale=(2, 4), at=(3, -1)), curve(*(points * (2, 4) + (3, -1)))
    )


def test_half_an_outline_and_its_mirror_image_are_a_whole_one_with_points_on_the_axis_once():
    assert left_right((0, 0), (1, 2), (0, 3)) == [(0, 0), (1, 2), (0, 3), (-1, 2)]
    assert top_bottom((-1, 2), (1, 3)) == [(-1, 2), (1, 3), (1, -3), (-1, -2)]


def test_a_trapezium_is_as_wide_as_told_at_its_top_and_its_bottom():
    outline = trapezium(1, 0, 2, 3)
    for y, half in ((0, 1), (3, 2)):
        edge = outline[outline[:, 1] == y, 0]
        assert (edge.min(), edge.max()) == (-half, half)


def test_a_panel_has_level_edges_where_it_is_told():
    corners = [(0, 1), (-1, 3), (5, 3), (2, 1)]
    np.testing.assert_array_equal(panel((1, 0, 2), (3, -1, 5), radius=0.1), polygon(*corners, radius=0.1))
