"""What is packed into the drawings that come with the package."""

import pytest

from pack_doodles import pack_doodles
from sketch_prompt.data.strokes import Drawing


def test_only_drawings_on_the_grid_can_be_packed():
    with pytest.raises(ValueError, match="from 0 to 255"):
        pack_doodles({"dot": [Drawing("1", [[[0, 256], [3, 4]]])]})
