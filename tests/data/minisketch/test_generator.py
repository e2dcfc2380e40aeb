import numpy as np
import pytest

from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch

ALL_CLASSES = SEEN_CLASSES + UNSEEN_CLASSES


@pytest.fixture(scope="module")
def mini():
    return MiniSketch(64)


def test_the_split_is_36_seen_and_12_unseen_classes_that_do_not_overlap():
    assert (len(SEEN_CLASSES), len(UNSEEN_CLASSES)) == (36, 12)
    assert not set(SEEN_CLASSES) & set(UNSEEN_CLASSES)
    assert list(SEEN_CLASSES) == sorted(SEEN_CLASSES)
    assert list(UNSEEN_CLASSES) == sorted(UNSEEN_CLASSES)
    assert {"teapot", "bus", "penguin", "windmill", "axe", "pear"} < set(UNSEEN_CLASSES)


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_every_class_draws_many_instances_inside_the_picture(mini, name):
    for instance in range(25):
        outlines = np.concatenate([part.outline for part in mini.shape(name, instance)])
        assert np.isfinite(outlines).all()
        assert outlines.min() >= 0.07 and outlines.max() <= 0.93


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_two_instances_of_a_class_differ_in_parameters_photo_and_sketch(mini, name):
    assert mini.instance_parameters(name, 0) != mini.instance_parameters(name, 1)
    for draw in (mini.photo, mini.sketch):
        difference = np.abs(np.asarray(draw(name, 0), int) - np.asarray(draw(name, 1), int))
        assert (difference > 40).mean() > 0.02


def test_the_same_arguments_give_the_same_pictures_in_any_order():
    forwards, backwards = MiniSketch(48, seed=3), MiniSketch(48, seed=3)
    jobs = [("cup", 0), ("whale", 5), ("bicycle", 2)]
    first = {job: (forwards.photo(*job).tobytes(), forwards.sketch(*job).tobytes()) for job in jobs}
    second = {job: (backwards.photo(*job).tobytes(), backwards.sketch(*job).tobytes()) for job in jobs[::-1]}
    assert first == second


def test_another_seed_gives_other_instances():
    one, other = MiniSketch(48, seed=0), MiniSketch(48, seed=1)
    assert one.instance_parameters("cup", 0) != other.instance_parameters("cup", 0)
    assert one.photo("cup", 0).tobytes() != other.photo("cup", 0).tobytes()


def test_views_and_drawings_of_an_instance_differ(mini):
    assert mini.photo("snail", 4, view=0).tobytes() != mini.photo("snail", 4, view=1).tobytes()
    assert mini.sketch("snail", 4, drawing=0).tobytes() != mini.sketch("snail", 4, drawing=1).tobytes()


def test_pictures_are_rgb_of_the_size_asked_for():
    mini = MiniSketch(80)
    for image in (mini.photo("fish", 0), mini.sketch("fish", 0)):
        assert image.mode == "RGB" and image.size == (80, 80)


def test_photos_are_colourful_and_sketches_dark_strokes_on_white(mini):
    for name in ALL_CLASSES:
        sketch = np.asarray(mini.sketch(name, 0), int)
        assert (sketch == 255).all(axis=2).mean() > 0.4
        assert sketch.min() < 120
        assert np.ptp(sketch, axis=2).max() == 0
    photos = np.stack([np.asarray(mini.photo(name, 0), int) for name in ALL_CLASSES])
    assert np.ptp(photos, axis=3).mean() > 20


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_part_maps_number_the_parts_that_photo_and_sketch_share(mini, name):
    names = mini.part_names(name, 0)
    assert len(set(names)) == len(names) >= 2
    assert set(names) == {part.name for part in mini.shape(name, 0)}
    for part_map in (mini.photo_parts(name, 0), mini.sketch_parts(name, 0)):
        assert part_map.shape == (64, 64) and part_map.dtype == np.uint8
        assert part_map.max() <= len(names)
        assert 0.01 < (part_map > 0).mean() < 0.95


def test_a_photo_is_drawn_where_its_part_map_says(mini):
    # The same camera and surroundings with and without the object differ only on the object and its shadow.
    for name in ("cup", "house", "fish"):
        object_map = mini.photo_parts(name, 0) > 0
        photo = np.asarray(mini.photo(name, 0), int)
        inside, outside = photo[object_map].mean(axis=0), photo[~object_map].mean(axis=0)
        assert np.abs(inside - outside).max() > 10


def test_a_sketch_has_its_strokes_on_the_parts_of_its_part_map(mini):
    for name in ("cup", "house", "truck", "penguin"):
        strokes = np.asarray(mini.sketch(name, 2))[..., 0] < 128
        parts = mini.sketch_parts(name, 2) > 0
        near = parts.copy()
        for _ in range(3):
            near[1:] |= near[:-1]
            near[:-1] |= near[1:]
            near[:, 1:] |= near[:, :-1]
            near[:, :-1] |= near[:, 1:]
        assert strokes[near].sum() / strokes.sum() > 0.97


def test_an_unknown_category_is_an_error_that_names_the_known_ones(mini):
    with pytest.raises(ValueError, match=r"no category 'unicorn'.*airplane"):
        mini.photo("unicorn", 0)


def test_a_picture_too_small_to_draw_is_an_error():
    with pytest.raises(ValueError, match="image_size is 8"):
        MiniSketch(8)
