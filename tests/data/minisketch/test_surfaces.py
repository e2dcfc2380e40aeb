import numpy as np
import pytest

from sketch_prompt.data.minisketch.surfaces import MATERIALS, TEXTURES, background, material_colour, textured


@pytest.mark.parametrize("name", TEXTURES[1:])
def test_textures_are_crops_of_the_size_asked_for_with_no_strong_tint(name):
    crop = textured(name, 64, np.random.default_rng(0))
    assert crop.shape == (64, 64) and abs(crop.mean()) < 0.6 and 0.2 < crop.std() < 1.5


def test_natural_colours_keep_to_their_material():
    for seed in range(30):
        red, green, blue = material_colour("leaf", np.random.default_rng(seed), natural=True)
        assert green > red and green > blue


def test_unnatural_colours_keep_light_and_dark_apart():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert max(material_colour("dark", rng, natural=False)) < 0.3
        assert max(material_colour("light", rng, natural=False)) > 0.8
    assert "paint" in MATERIALS


def test_backgrounds_stand_off_from_the_object():
    mean = np.array([0.5, 0.3, 0.3])
    pictures = [background(32, mean, np.random.default_rng(seed)) for seed in range(40)]
    assert all(picture.shape == (32, 32, 3) for picture in pictures)
    assert np.mean([np.abs(picture.mean(axis=(0, 1)) - mean).sum() for picture in pictures]) > 0.5
