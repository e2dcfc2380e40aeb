import numpy as np

from sketch_prompt.data.minisketch import MiniSketch
from sketch_prompt.data.minisketch.geometry import Part, ellipse
from sketch_prompt.data.minisketch.photo import photo_label_map, render_photo

BALL = [Part("ball", ellipse(0.5, 0.5, 0.4))]


def _photo(look, view):
    rngs = {"look": np.random.default_rng(look), "view": np.random.default_rng(view)}
    return np.asarray(render_photo(BALL, 64, **rngs), int)


def _object(photo, view):
    return photo[photo_label_map(BALL, [1], 64, np.random.default_rng(view)) == 1].mean(axis=0)


def test_two_photos_of_an_object_share_its_colours_but_not_the_surroundings():
    colours = [[_object(_photo(look, view), view) for view in range(8)] for look in range(12)]
    colours = np.asarray(colours)
    assert colours.mean(axis=1).std(axis=0).mean() > 1.5 * colours.std(axis=1).mean()
    assert np.abs(_photo(0, 0)[:4] - _photo(0, 1)[:4]).mean() > 10


def test_clutter_in_front_of_the_object_is_background_in_its_part_map():
    sizes = [(photo_label_map(BALL, [1], 64, np.random.default_rng(view)) == 1).sum() for view in range(60)]
    photos = MiniSketch(64)
    assert min(sizes) < 0.9 * max(sizes)
    assert set(np.unique(photos.photo_parts("apple", 0))) <= set(
        range(len(photos.part_names("apple", 0)) + 1)
    )


def test_colour_does_not_tell_the_class():
    mini = MiniSketch(32)
    means = {
        name: np.array([np.asarray(mini.photo(name, i), float).mean(axis=(0, 1)) for i in range(30)])
        for name in ("banana", "carrot", "whale")
    }
    spread = np.mean([m.std(axis=0).mean() for m in means.values()])
    between = np.std([m.mean(axis=0) for m in means.values()], axis=0).mean()
    assert between < spread
