"""When nothing looks like a drawing or fits words, and photos that win every search."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fakes.photos import write_photos
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.data.minisketch import MiniSketch
from sketch_prompt.gallery import calibration
from sketch_prompt.gallery.calibration import FALSE_ALARMS, _choose_line
from sketch_prompt.gallery.yardsticks import Yardstick


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nearest(queries, photos):
    return [photos[rows] for rows in np.argsort(-(queries @ photos.T), axis=1)[:, : Yardstick.nearest]]


@pytest.fixture(scope="module")
def classes():
    """Queries and photos of 20 classes, and queries of other classes: unit vectors around their classes' own."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((20, 16))

    def draw(count, noise):
        labels = np.repeat(np.arange(20), count)
        return unit(centres[labels] + noise * generator.standard_normal((len(labels), 16)))

    return draw(30, 1.5), draw(5, 0.5), unit(generator.standard_normal((100, 16)))


def test_the_line_is_crossed_by_the_chosen_share_of_queries_whose_things_are_there(classes):
    queries, photos, others = classes
    line = _choose_line(others, None, queries, photos)
    yardstick = Yardstick.of(others, None, nearest(others, photos), line)
    alarms = [
        yardstick.unlike(query, found) > line for query, found in zip(queries, nearest(queries, photos))
    ]
    assert FALSE_ALARMS - 0.03 < np.mean(alarms) <= FALSE_ALARMS


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Photos of 20 teapots and 20 umbrellas, calibrated by the command."""
    folder = tmp_path_factory.mktemp("calibrated")
    mini = MiniSketch(64)
    for name in ("teapot", "umbrella"):
        (folder / "photos" / name).mkdir(parents=True)
        for instance in range(20):
            mini.photo(name, instance).save(folder / "photos" / name / f"{instance}.png")
    done = run("index", folder / "photos", "-o", folder / "gallery", "-m", "mini-clip-at", "--device", "cpu")
    assert done.exit_code == 0, done.output
    return folder / "gallery"


def searches(gallery, *names):
    mini = MiniSketch(64)
    return [gallery.search(mini.sketch(name, 900 + n)) for name in names for n in range(10)]


def test_drawings_of_what_is_not_there_are_unlike_it_more_than_others_and_weak_above_the_line(gallery):
    opened = Gallery.load(gallery, device="cpu")
    there, elsewhere = searches(opened, "teapot", "umbrella"), searches(opened, "giraffe", "airplane", "fish")
    assert np.mean([hits.is_weak for hits in there]) <= 0.2
    assert np.mean([hits.unlike for hits in there]) < np.mean([hits.unlike for hits in elsewhere])
    line = 100 * opened.calibration.drawings.line
    assert all(hits.is_weak == (hits.unlike > line) for hits in there + elsewhere)


def test_the_judgement_is_the_same_whatever_is_shown_of_what_was_found(gallery):
    opened = Gallery.load(gallery, device="cpu")
    drawing = MiniSketch(64).sketch("giraffe", 900)
    few, many = opened.search(drawing, 1), opened.search(drawing, 40, group_copies=True)
    assert len(few) == 1 and few.unlike == many.unlike == few[:1].unlike
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        opened.search(drawing, 0)


def test_the_command_the_notebook_and_json_say_so_of_drawings_and_of_words(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(Yardstick, "unlike", lambda *_: 1.0)
    MiniSketch(64).sketch("giraffe", 900).save(tmp_path / "drawing.png")
    for yours, query in (("drawing", [tmp_path / "drawing.png"]), ("words", ["--text", "an ocean"])):
        done = run("search", gallery, *query)
        assert f"Note: nothing here looks like your {yours}: 100 of 100 " in done.stderr
        assert json.loads(run("search", gallery, *query, "--json").stdout)["is_weak"] is True
    hits = Gallery.load(gallery, device="cpu").search(tmp_path / "drawing.png")
    assert "Nothing here looks like your drawing" in hits._repr_html_()


def test_it_is_known_for_drawings_and_words_but_not_for_both_some_photos_or_another_preparation(gallery):
    opened = Gallery.load(gallery, device="cpu")
    drawing = MiniSketch(64).sketch("teapot", 900)
    assert opened.search(drawing).is_weak is not None and opened.search(text="teapot").is_weak is not None
    assert opened.search(drawing, text="red").is_weak is None
    assert opened.search(drawing, filters={"category": "teapot"}).is_weak is None
    assert opened.search(drawing, expand=3).is_weak is None
    other = Gallery.load(gallery, device="cpu", sketches={"sketch_line_width": 3.0})
    assert other.search(drawing).is_weak is None


def test_photos_that_come_later_make_it_void_and_indexing_again_makes_it_anew(gallery, tmp_path):
    opened = Gallery.load(gallery, device="cpu")
    write_photos(tmp_path / "more", {"cat": 1})
    opened.add([tmp_path / "more" / "cat" / "0.jpg"], progress=False)
    assert opened.search(MiniSketch(64).sketch("teapot", 900)).is_weak is None
    assert opened.calibrate(progress=False).queries == opened._encoder.query_key()


def test_a_model_is_measured_once(gallery, monkeypatch):
    monkeypatch.setattr(calibration, "_embed_references", lambda *_: pytest.fail("measured again"))
    Gallery.load(gallery, device="cpu").calibrate(progress=False)


def test_few_photos_are_calibrated_only_if_that_is_asked_for(tmp_path):
    photos = write_photos(tmp_path / "photos", {"cat": 4})
    arguments = ("index", photos, "-o", tmp_path / "gallery", "-m", "mini-clip-at", "--device", "cpu")
    assert run(*arguments).exit_code == 0
    assert Gallery.load(tmp_path / "gallery", device="cpu").calibration is None
    assert run(*arguments, "--calibrate").exit_code == 0
    assert Gallery.load(tmp_path / "gallery", device="cpu").calibration is not None
