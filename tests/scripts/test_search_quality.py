"""The measure of search in one gallery of everything."""

import numpy as np
import pytest

from search_quality import first_of_each, quality


def test_right_photos_and_the_photo_that_everybody_is_shown_are_counted():
    photo_labels = np.repeat([0, 1], 10)
    found = np.array([[0, 1, 2, 10], [0, 11, 12, 13]])
    measured = quality(found, np.array([0, 1]), photo_labels)
    assert measured.precision == pytest.approx(6 / 8)
    assert measured.chance == pytest.approx(0.5)
    assert measured.largest_hub == 1.0  # photo 0 is shown to both


def test_as_many_drawings_of_every_class_are_taken():
    assert first_of_each(np.array([1, 0, 0, 0, 1]), 2).tolist() == [0, 1, 2, 4]
