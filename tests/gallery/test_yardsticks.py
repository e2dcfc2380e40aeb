"""What a fit is worth: its file, and the photo that wins every search."""

from dataclasses import replace
from zipfile import BadZipFile

import numpy as np
import pytest

from sketch_prompt.gallery.yardsticks import Calibration, Yardstick, beyond_usual, same_names

YARDSTICK = Yardstick(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[:3], np.zeros((4, 2)), 0.9)


def calibration(drawings=YARDSTICK, hub_share=0.1):
    return Calibration("key", drawings, None, "wheel.jpg", hub_share)


def test_fits_are_measured_as_documented():
    generator = np.random.default_rng(0)
    query, photos, others = generator.random(6), generator.random((8, 6)), generator.random((20, 6))
    each = [(p @ query - np.mean(others @ p)) / np.std(others @ p) for p in photos]
    assert beyond_usual(query, photos, others) == pytest.approx(np.mean(sorted(each)[-5:]))

    def shares(vector):
        powers = np.exp(others @ vector / 0.05)
        return powers / powers.sum()

    agreed = [shares(query) @ shares(photo) for photo in photos]
    assert same_names(query, photos, others) == pytest.approx(np.log(np.mean(sorted(agreed)[-5:])))


def test_of_two_photos_of_one_score_the_one_that_others_find_too_fits_less():
    hub, own = np.eye(8)[:2]
    others = hub + 0.3 * np.random.default_rng(0).standard_normal((50, 8))
    query = (hub + own) / np.sqrt(2)
    assert beyond_usual(query, own[None], others) > beyond_usual(query, hub[None], others) + 1


def test_of_two_photos_of_one_score_the_one_with_the_drawings_name_agrees_with_it():
    query = np.array([0.77, 0.64, 0, 0])
    same, other = np.array([[0.83, 0, 0.55, 0]]), np.array([[0, 1.0, 0, 0]])
    assert same @ query == pytest.approx(other @ query, abs=0.01)
    assert same_names(query, same, np.eye(4)) > same_names(query, other, np.eye(4)) + 1


def test_a_calibration_comes_back_from_its_file(tmp_path):
    calibration().write(tmp_path / "calibration.npz")
    read = Calibration.read(tmp_path / "calibration.npz")
    assert (read.queries, read.hub, read.hub_share, read.words) == ("key", "wheel.jpg", 0.1, None)
    for name, value in vars(YARDSTICK).items():
        np.testing.assert_allclose(getattr(read.drawings, name), value, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"measures": np.zeros((3, 2))},
        {"measures": np.zeros((4, 1))},
        {"others": np.full((4, 4), np.nan)},
        {"others": np.zeros(4)},
    ],
)
def test_a_calibration_that_was_altered_is_refused(change, tmp_path):
    calibration(replace(YARDSTICK, **change)).write(tmp_path / "calibration.npz")
    with pytest.raises(ValueError):
        Calibration.read(tmp_path / "calibration.npz")


def test_a_file_that_is_no_calibration_is_refused(tmp_path):
    (tmp_path / "calibration.npz").write_bytes(b"nothing")
    with pytest.raises((ValueError, BadZipFile)):
        Calibration.read(tmp_path / "calibration.npz")


def test_a_photo_that_most_drawings_find_is_named_with_what_corrects_it():
    known = calibration(hub_share=0.8)
    assert known.hub_warning.startswith("wheel.jpg is among the first ten photos for 80 of 100")
    assert "sketch-prompt fit" in known.hub_warning
    assert calibration().hub_warning is None
