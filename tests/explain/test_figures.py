import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from fakes.correspondences import PATCH, correspondence
from sketch_prompt.explain.figures import (
    KINDS,
    draw_heat,
    match_colours,
    plot_explanation,
    plot_heatmap,
    plot_matches,
    plot_synthesis,
    synthesize,
)

GRIDS = [((4, 4), (4, 4)), ((2, 4), (3, 2)), ((3, 2), (2, 5))]


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def frames(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize(("sketch_grid", "photo_grid"), GRIDS)
def test_matched_patches_are_framed_in_one_colour_numbered_and_joined(sketch_grid, photo_grid):
    known = correspondence(sketch_grid, photo_grid)
    (ax,) = plot_matches(known).axes
    offset = ax.images[1].get_extent()[0]
    assert offset > known.sketch_image.width
    for index, (sketch, photo) in enumerate(known.matches):
        in_sketch, in_photo = frames(ax)[2 * index : 2 * index + 2]
        left, top, *_ = known.sketch_box(sketch)
        assert (*in_sketch.get_xy(), in_sketch.get_width(), in_sketch.get_height()) == (
            left,
            top,
            PATCH,
            PATCH,
        )
        left, top, *_ = known.photo_box(photo)
        assert in_photo.get_xy() == (left + offset, top)
        line = ax.lines[index]
        assert (
            to_rgb(line.get_color())
            == to_rgb(in_sketch.get_edgecolor()[:3])
            == to_rgb(in_photo.get_edgecolor()[:3])
        )
        assert line.get_xydata()[1].tolist() == [left + offset + PATCH / 2, top + PATCH / 2]
    assert [text.get_text() for text in ax.texts] == ["1", "1", "2", "2"]
    assert ax.lines[0].get_linewidth() > ax.lines[1].get_linewidth()
    assert "2 strongest matches" in ax.get_title() and "0.250" in ax.get_title()


def test_only_so_many_matches_are_drawn_as_asked():
    assert len(plot_matches(correspondence(), top_k=1).axes[0].lines) == 1
    assert len(set(match_colours(10))) == 10 and len(set(match_colours(40))) == 40


@pytest.mark.parametrize(("sketch_grid", "photo_grid"), GRIDS)
def test_heatmaps_lie_over_the_whole_images_on_one_scale(sketch_grid, photo_grid):
    known = correspondence(sketch_grid, photo_grid)
    sketch, photo, bar = plot_heatmap(known).axes
    for ax, image, heat in (
        (sketch, known.sketch_image, known.sketch_map),
        (photo, known.photo_image, known.photo_map),
    ):
        below, above = ax.images
        assert below.get_extent() == above.get_extent() == [0, image.width, image.height, 0]
        layer = above.get_array()
        assert layer.shape == (*heat.shape, 4)
        assert np.array_equal(layer[..., 3] > 0, heat > 0)
        assert np.argmax(layer[..., 3]) == np.argmax(heat)
    assert bar.get_ylim() == (0, 0.75)


def test_heat_is_measured_against_the_strongest_given():
    ax = plot_heatmap(correspondence()).axes[0]
    draw_heat(ax, correspondence().sketch_image, np.full((4, 4), 0.2), 0.4)
    assert np.allclose(ax.images[-1].get_array()[..., 3], 0.75 * 0.5**0.5)


@pytest.mark.parametrize(("sketch_grid", "photo_grid"), GRIDS)
def test_synthesis_is_the_sketch_with_its_matched_patches_taken_from_the_photo(sketch_grid, photo_grid):
    known = correspondence(sketch_grid, photo_grid)
    made, before, photo = (
        np.asarray(image) for image in (synthesize(known), known.sketch_image, known.photo_image)
    )
    assert made.shape == before.shape
    partner = dict(known.matches)
    for patch in range(sketch_grid[0] * sketch_grid[1]):
        left, top, right, bottom = map(int, known.sketch_box(patch))
        if patch in partner:
            x, y, *_ = map(int, known.photo_box(partner[patch]))
            expected = photo[y : y + PATCH, x : x + PATCH]
        else:
            expected = before[top:bottom, left:right]
        assert np.array_equal(made[top:bottom, left:right], expected)
    titles = [ax.get_title() for ax in plot_synthesis(known).axes]
    assert titles == ["sketch", "sketch from the photo's patches", "photo"]


def test_photo_patches_of_another_size_are_fitted():
    known = correspondence((4, 4), (2, 3), photo_image=correspondence().photo_image.resize((90, 30)))
    assert synthesize(known).size == known.sketch_image.size


def test_all_kinds_stand_below_one_another():
    one = pixels(plot_explanation(correspondence(), "matches"))
    everything = pixels(plot_explanation(correspondence()))
    assert everything.shape[0] == pytest.approx(len(KINDS) * one.shape[0], abs=2)
    assert everything.shape[1] == one.shape[1] > 1000
    for row in np.split(everything[: 3 * (everything.shape[0] // 3)], 3):
        assert row.std() > 10


def test_unknown_kind_and_no_matches_are_errors():
    with pytest.raises(ValueError, match="matches, heatmap, synthesis or all, not 'lines'"):
        plot_explanation(correspondence(), "lines")
    empty = correspondence(matches=np.zeros((0, 2), int), weights=np.zeros(0))
    with pytest.raises(ValueError, match="clip-at connects no patch"):
        plot_explanation(empty)
