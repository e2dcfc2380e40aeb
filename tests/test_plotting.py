import numpy as np
import pytest
from matplotlib.colors import same_color
from PIL import Image

from sketch_prompt.plotting import (
    RIGHT,
    WRONG,
    RankedQuery,
    plot_ranking,
    plot_rankings,
    save_figure,
)


def images(count):
    return [Image.new("RGB", (20 + 5 * index, 30), (index * 20, 90, 200)) for index in range(count)]


def test_right_photos_are_framed_green_with_a_tick_and_wrong_ones_red_with_a_cross():
    figure = plot_ranking(Image.new("L", (40, 20), 255), images(3), [True, False, True], [0.9, 0.5, 0.1])
    query, *photos = figure.axes
    assert len(photos) == 3
    for ax, right in zip(photos, [True, False, True]):
        colours = {spine.get_edgecolor() for spine in ax.spines.values()}
        assert len(colours) == 1
        assert same_color(colours.pop(), RIGHT if right else WRONG)
        assert [text.get_text() for text in ax.texts] == ["✓" if right else "✗"]
    assert photos[0].get_xlabel().endswith("0.900")
    assert not query.texts


def test_without_ground_truth_nothing_is_called_right_or_wrong():
    figure = plot_ranking(Image.new("RGBA", (40, 20)), images(2))
    for ax in figure.axes:
        assert not ax.texts
        assert not any(same_color(spine.get_edgecolor(), RIGHT) for spine in ax.spines.values())


def test_sheet_has_a_row_for_each_query_and_leaves_missing_places_empty():
    rows = [RankedQuery(images(1)[0], images(3), [True] * 3), RankedQuery(images(1)[0], images(1), [False])]
    figure = plot_rankings(rows, title="two queries")
    assert len(figure.axes) == 8
    assert [ax.axison for ax in figure.axes[4:]] == [True, True, False, False]


def test_unreadable_photo_keeps_its_place():
    figure = plot_ranking(images(1)[0], [images(1)[0], None], [True, False])
    assert "unreadable" in [text.get_text() for text in figure.axes[2].texts]


def test_transparent_drawing_stands_on_white():
    figure = plot_ranking(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), images(1))
    assert np.all(figure.axes[0].images[0].get_array() == 255)


def test_saved_figure_is_a_readable_picture(tmp_path):
    path = save_figure(plot_ranking(images(1)[0], images(10)), tmp_path / "new folder" / "ranking.png")
    with Image.open(path) as picture:
        assert picture.width > 1000
    assert [entry.name for entry in path.parent.iterdir()] == ["ranking.png"]


def test_lists_that_do_not_fit_together_are_an_error():
    with pytest.raises(ValueError, match="correct has 2 entries for 3 gallery images"):
        plot_ranking(images(1)[0], images(3), [True, False])
    with pytest.raises(ValueError, match="no query"):
        plot_rankings([])


def test_caption_of_the_query_and_places_of_the_photos_are_printed():
    row = RankedQuery(images(1)[0], images(2), scores=[0.9, 0.1], query_caption="rank 37", ranks=[1, 37])
    labels = [ax.get_xlabel() for ax in plot_rankings([row]).axes]
    assert labels == ["rank 37", "1.  0.900", "37.  0.100"]
