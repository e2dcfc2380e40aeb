"""The tiny model, and a folder of photos."""

import pytest

from fakes.photos import make_model, picture, write_photos


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def photos(tmp_path):
    """Four cats, three dogs, and two photos that lie in no folder."""
    folder = write_photos(tmp_path / "photos", {"cat": 4, "dog": 3})
    for number in range(2):
        picture(100 + number).save(folder / f"free {number}.png")
    return folder
