import numpy as np
import pytest
from PIL import Image, ImageOps

from sketch_prompt.data.transforms import Coins, Movement, PairAugmentation


@pytest.fixture
def picture():
    """A picture that no flip, rotation or crop leaves as it is."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))


def augmented(augmentation, picture, seed):
    return [np.asarray(image) for image in augmentation(*[picture] * 3, np.random.default_rng(seed))]


def test_the_default_changes_nothing(picture):
    for image in augmented(PairAugmentation(), picture, 0):
        assert np.array_equal(image, np.asarray(picture))


@pytest.mark.parametrize("option", [{"flip": 0.5}, {"rotation": 30}, {"crop": 0.5}])
def test_sketch_and_photo_move_together_and_the_negative_on_its_own(picture, option):
    apart = 0
    for seed in range(20):
        sketch, photo, negative = augmented(PairAugmentation(**option), picture, seed)
        assert np.array_equal(sketch, photo)
        apart += not np.array_equal(photo, negative)
    assert apart > 0


def test_a_flip_mirrors_and_happens_as_often_as_asked(picture):
    flipped = [augmented(PairAugmentation(flip=0.3), picture, seed)[0] for seed in range(300)]
    share = np.mean([np.array_equal(image, np.asarray(picture)[:, ::-1]) for image in flipped])
    assert share == pytest.approx(0.3, abs=0.08)


def test_rotation_uncovers_paper_and_stays_within_its_angle():
    black = Image.new("RGB", (101, 101))
    for seed in range(10):
        turned = augmented(PairAugmentation(rotation=20), black, seed)[0]
        assert turned.shape == (101, 101, 3)
        assert (turned == 255).all(axis=-1).mean() < 0.16


def test_a_crop_keeps_at_least_its_share_of_each_side(picture):
    sizes = np.array(
        [augmented(PairAugmentation(crop=0.5), picture, seed)[0].shape[:2] for seed in range(50)]
    )
    assert (sizes >= [20, 30]).all() and (sizes < [40, 60]).any()
    tiny = augmented(PairAugmentation(crop=0.01), Image.new("RGB", (1, 1)), 0)[0]
    assert tiny.shape == (1, 1, 3)


def test_only_photos_lose_their_colours(picture):
    sketch, photo, negative = augmented(PairAugmentation(greyscale=1), picture, 0)
    assert np.array_equal(sketch, np.asarray(picture))
    for image in (photo, negative):
        assert image.shape == sketch.shape
        assert (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()


def test_augmentation_depends_on_the_generator_alone(picture):
    augmentation = PairAugmentation(flip=0.5, rotation=10, crop=0.8, greyscale=0.5)
    for one, other in zip(augmented(augmentation, picture, 7), augmented(augmentation, picture, 7)):
        assert np.array_equal(one, other)


def test_images_are_upright_and_rgb_before_they_are_turned():
    lying = Image.new("LA", (30, 10), (0, 0))
    lying.getexif()[0x0112] = 6
    sketch, _, _ = PairAugmentation()(lying, lying, lying, np.random.default_rng(0))
    assert sketch.mode == "RGB" and sketch.getpixel((0, 0)) == (255, 255, 255)
    turned = Image.new("RGB", (30, 10))
    turned.getexif()[0x0112] = 6
    assert PairAugmentation()(turned, turned, turned, np.random.default_rng(0))[1].size == (10, 30)


@pytest.mark.parametrize(
    "option",
    [
        {"flip": 2},
        {"greyscale": -0.1},
        {"rotation": 200},
        {"rotation_probability": 2},
        {"crop": 0},
        {"crop": 1.1},
        {"square": 0},
        {"negative": "turned"},
        {"resampling": "cubic"},
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_it(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        PairAugmentation(**option)


REFERENCE = PairAugmentation(
    flip=0.5,
    rotation=30,
    rotation_probability=0.5,
    greyscale=0.5,
    greyscale_jointly=True,
    negative="still",
    square=48,
    resampling="nearest",
)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("angle", [0.0, -17.3])
@pytest.mark.parametrize("flip", [False, True])
def test_given_the_coins_pictures_are_those_of_dp_clips_published_code(flip, angle, grey):
    random = np.random.default_rng(1)
    shapes = (40, 60, 3), (50, 30, 3), (48, 48, 3)
    given = [Image.fromarray(random.integers(0, 256, shape, np.uint8)) for shape in shapes]
    # What it does, step by step: fit into a square with black borders; flip and turn sketch and photo, the corners
    # white, each pixel the nearest one; one coin takes the colours of photo and negative. The negative never moves.
    sketch, photo, negative = (ImageOps.pad(image, (48, 48)) for image in given)
    if flip:
        sketch, photo = (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in (sketch, photo))
    if angle:
        sketch, photo = (image.rotate(angle, fillcolor=(255, 255, 255)) for image in (sketch, photo))
    if grey:
        photo, negative = (Image.merge("RGB", [image.convert("L")] * 3) for image in (photo, negative))
    coins = Coins(pair=Movement(flip, angle), grey_photo=grey, grey_negative=grey)
    for ours, theirs in zip(REFERENCE.apply(*given, coins), (sketch, photo, negative)):
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_the_published_codes_coins_fall_as_often_as_there_and_never_for_the_negative_alone():
    drawn = [REFERENCE.draw(np.random.default_rng(seed)) for seed in range(400)]
    assert all(coins.negative == Movement() and coins.grey_photo == coins.grey_negative for coins in drawn)
    for happened in (
        [coins.pair.flip for coins in drawn],
        [coins.pair.angle != 0 for coins in drawn],
        [coins.grey_photo for coins in drawn],
    ):
        assert np.mean(happened) == pytest.approx(0.5, abs=0.07)
    angles = np.array([coins.pair.angle for coins in drawn if coins.pair.angle])
    assert np.abs(angles).max() <= 30 and np.abs(angles).mean() == pytest.approx(15, abs=2)


def test_with_two_grey_coins_colour_tells_photo_and_negative_apart_half_the_time():
    drawn = [PairAugmentation(greyscale=0.5).draw(np.random.default_rng(seed)) for seed in range(400)]
    apart = np.mean([coins.grey_photo != coins.grey_negative for coins in drawn])
    assert apart == pytest.approx(0.5, abs=0.07)
