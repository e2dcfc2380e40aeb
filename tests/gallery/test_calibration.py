"""When nothing looks like a drawing, and photos that win every search."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fakes.photos import write_photos
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.data.minisketch import MiniSketch
from sketch_prompt.gallery import calibration
from sketch_prompt.gallery.calibration import _choose_line
from sketch_prompt.gallery.hits import Calibration, share_as_good


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_share_of_drawings_that_fit_as_well():
    fits = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert [share_as_good(fits, score) for score in (0.0, 0.15, 0.35, 0.5)] == [1, 0.75, 0.25, 0]


def test_the_line_lets_nine_of_ten_drawings_pass_whose_class_is_there():
    generator = np.random.default_rng(0)
    classes = generator.standard_normal((20, 16))

    def draw(count, noise):
        labels = np.repeat(np.arange(20), count)
        vectors = classes[labels] + noise * generator.standard_normal((len(labels), 16))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels

    queries, query_labels = draw(30, 1.5)
    gallery, gallery_labels = draw(5, 0.5)
    bank = generator.standard_normal((100, 16))
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    line = _choose_line(bank, queries, gallery, query_labels, gallery_labels)
    alarms = []
    for half in (0, 1):
        photos = gallery[gallery_labels % 2 == half]
        fits = np.sort((bank @ photos.T).max(1))
        own = (queries[query_labels % 2 == half] @ photos.T).max(1)
        alarms += [share_as_good(fits, score) > line for score in own]
    assert 0.05 < np.mean(alarms) <= 0.1


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


def weak(gallery, *names):
    mini = MiniSketch(64)
    return np.mean([gallery.search(mini.sketch(name, 900 + n)).is_weak for name in names for n in range(10)])


def test_drawings_of_what_is_not_there_are_weak_more_often_than_others(gallery):
    opened = Gallery.load(gallery, device="cpu")
    there, elsewhere = weak(opened, "teapot", "umbrella"), weak(opened, "giraffe", "airplane", "fish")
    assert there <= 0.2 and elsewhere > there


def test_the_command_says_so_and_json_too(gallery, tmp_path):
    mini = MiniSketch(64)
    opened = Gallery.load(gallery, device="cpu")
    drawn = min(
        (mini.sketch(name, 900 + n) for name in ("giraffe", "airplane", "fish") for n in range(10)),
        key=lambda sketch: opened.search(sketch)[0].score,
    )
    drawn.save(tmp_path / "drawing.png")
    done = run("search", gallery, tmp_path / "drawing.png")
    assert "Note: nothing here looks like your drawing: " in done.stderr
    assert json.loads(run("search", gallery, tmp_path / "drawing.png", "--json").stdout)["is_weak"] is True
    assert "Nothing here looks like your drawing" in opened.search(drawn)._repr_html_()


def test_it_is_not_known_for_words_for_some_of_the_photos_or_for_another_preparation(gallery):
    opened = Gallery.load(gallery, device="cpu")
    drawing = MiniSketch(64).sketch("teapot", 900)
    assert opened.search(drawing).is_weak is not None
    assert opened.search(drawing, text="red").is_weak is None
    assert opened.search(drawing, filters={"category": "teapot"}).is_weak is None
    other = Gallery.load(gallery, device="cpu", sketches={"sketch_line_width": 3.0})
    assert other.search(drawing).is_weak is None


def test_photos_that_come_later_make_it_void_and_indexing_again_makes_it_anew(gallery, tmp_path):
    opened = Gallery.load(gallery, device="cpu")
    write_photos(tmp_path / "more", {"cat": 1})
    opened.add([tmp_path / "more" / "cat" / "0.jpg"], progress=False)
    assert opened.search(MiniSketch(64).sketch("teapot", 900)).is_weak is None
    assert opened.calibrate(progress=False).queries == opened._encoder.query_key()


def test_a_model_is_measured_once(gallery, monkeypatch):
    monkeypatch.setattr(calibration, "_measure", lambda *_: pytest.fail("measured again"))
    Gallery.load(gallery, device="cpu").calibrate(progress=False)


def test_few_photos_are_calibrated_only_if_that_is_asked_for(tmp_path):
    photos = write_photos(tmp_path / "photos", {"cat": 4})
    arguments = ("index", photos, "-o", tmp_path / "gallery", "-m", "mini-clip-at", "--device", "cpu")
    assert run(*arguments).exit_code == 0
    assert Gallery.load(tmp_path / "gallery", device="cpu").collection.calibration is None
    assert run(*arguments, "--calibrate").exit_code == 0
    assert Gallery.load(tmp_path / "gallery", device="cpu").collection.calibration is not None


def test_a_photo_that_most_drawings_find_is_named_with_what_corrects_it():
    known = Calibration("key", np.zeros(4, np.float32), 0.9, "wheel.jpg", 0.8)
    assert known.hub_warning.startswith("wheel.jpg is among the first ten photos for 80 of 100")
    assert "sketch-prompt fit" in known.hub_warning
    assert Calibration("key", np.zeros(4, np.float32), 0.9, "wheel.jpg", 0.1).hub_warning is None


@pytest.mark.parametrize("change", [{"fits": []}, {"fits": "none"}, {"line": None}])
def test_a_calibration_that_was_altered_is_damage(change):
    sound = Calibration("key", np.arange(4, dtype=np.float32), 0.9, "wheel.jpg", 0.8).to_dict()
    assert Calibration.from_dict(sound).to_dict() == sound
    with pytest.raises((ValueError, TypeError)):
        Calibration.from_dict(sound | change)
