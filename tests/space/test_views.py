import re

import pytest

from sketch_prompt import SketchPromptModel
from sketch_prompt.data.minisketch.generator import MiniSketch
from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.space import views

EVIL = '<img src=x onerror="alert(1)">'


@pytest.mark.parametrize(
    "shown",
    [
        views.photo_grid([views.Card(1, EVIL, "data:,", 0.5)]),
        views.message(EVIL),
        views.skipped_list([UnreadableImage(EVIL, EVIL)]),
        views.opened_photo(EVIL, EVIL, "data:,", EVIL, views.note(EVIL)),
    ],
)
def test_names_of_files_are_text_and_never_html(shown):
    assert EVIL not in shown and "&lt;img" in shown and 'onerror="' not in shown


def test_grid_shows_every_photo_in_order_with_its_score():
    grid = views.photo_grid([views.Card(7, "cup", "data:,a", 0.734), views.Card(3, "key", "data:,b")])
    assert re.findall(r'data-photo="(\d+)"', grid) == ["7", "3"]
    assert re.findall(r'class="score">([^<]*)', grid) == ["0.73"]


def test_skipped_files_are_all_listed_and_nothing_is_said_of_none():
    listed = views.skipped_list([UnreadableImage(f"{n}.jpg", "damaged") for n in range(40)])
    assert listed.count("<li>") == 40
    assert views.skipped_list([]) == ""


def test_explanation_marks_the_strongest_matches_on_both_pictures():
    model = SketchPromptModel.from_pretrained("mini-clip-at").eval()
    mini = MiniSketch(128)
    correspondence = model.explain(mini.sketch("cup", 1), mini.photo("cup", 1))
    shown = views.explanation(correspondence, "cup")
    numbers = re.findall(r"<text[^>]*>(\d+)</text>", shown)
    assert sorted(map(int, numbers)) == sorted(2 * list(range(1, views.SHOWN_MATCHES + 1)))
    assert "rebuilt" in shown
    left = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', shown)]
    assert sum(x < 448 for x in left) == sum(x > 448 + 64 for x in left) == views.SHOWN_MATCHES
