import json

import numpy as np
import pytest
from PIL import Image

from fakes.correspondences import correspondence


def test_boxes_are_those_of_the_patches_row_by_row():
    known = correspondence(sketch_grid=(2, 4), photo_grid=(3, 2))
    assert known.sketch_image.size == (80, 40) and known.photo_image.size == (40, 60)
    assert known.sketch_box(0) == (0, 0, 20, 20)
    assert known.sketch_box(5) == (20, 20, 40, 40)
    assert known.photo_box(5) == (20, 40, 40, 60)


def test_dictionary_is_json_and_gives_boxes_in_the_pictures_own_pixels():
    known = correspondence(
        sketch_grid=(2, 4), photo_grid=(3, 2), sketch_view=(-10, 0, 70, 40), photo_view=(5, 5, 25, 35)
    )
    fields = json.loads(known.to_json())
    assert fields == known.to_dict()
    assert (fields["sketch_grid"], fields["photo_grid"]) == ([2, 4], [3, 2])
    assert np.array_equal(fields["photo_map"], known.photo_map)
    first, second = fields["matches"]
    assert (first["sketch"], first["photo"], first["weight"]) == ([1, 1], [2, 0], 0.75)
    assert first["sketch_box"] == [10, 20, 30, 40]
    assert first["photo_box"] == [5, 25, 15, 35]
    assert second["weight"] == 0.5


def test_without_the_pictures_there_are_no_boxes_in_them():
    assert set(correspondence().to_dict()["matches"][0]) == {"sketch", "photo", "weight"}


def test_top_keeps_the_strongest_matches_and_all_else():
    known = correspondence()
    one = known.top(1)
    assert one.matches.tolist() == known.matches[:1].tolist() and one.weights.tolist() == [0.75]
    assert one.sketch_image is known.sketch_image and isinstance(one.photo_image, Image.Image)
    assert len(known.top(99).matches) == 2
    with pytest.raises(ValueError, match="at least 1"):
        known.top(0)
