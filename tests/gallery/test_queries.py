import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sketch_prompt.data.strokes import rasterize
from sketch_prompt.gallery.queries import as_drawing, combine

STROKES = [[[0, 100, 100], [0, 0, 100]], [[50], [50]]]


def test_every_form_of_a_drawing_gives_the_same_picture(tmp_path):
    expected = rasterize(STROKES)
    expected.save(tmp_path / "drawing.png")
    line = {"key_id": "1", "recognized": True, "drawing": STROKES}
    (tmp_path / "drawing.ndjson").write_text(json.dumps(line) + "\n")
    buffer = io.BytesIO()
    expected.save(buffer, "PNG")
    forms = [
        tmp_path / "drawing.png",
        str(tmp_path / "drawing.ndjson"),
        buffer.getvalue(),
        expected,
        np.asarray(expected),
        torch.from_numpy(np.array(expected)),
        STROKES,
        tuple(STROKES),
        [(np.array(xs), np.array(ys), np.zeros(len(xs))) for xs, ys in STROKES],
        line,
    ]
    for form in forms:
        drawing = as_drawing(form)
        assert drawing.mode == "RGB" and drawing.convert("L").tobytes() == expected.tobytes()


def test_a_transparent_canvas_is_paper():
    canvas = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert as_drawing(canvas).getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize(
    "strokes",
    [
        [],
        [[]],
        [[[], []]],
        [[[1, 2], [1]]],
        [[[float("nan")], [0]]],
        [["a", "b"]],
        [[[1], None]],
        [5],
        "nope.ndjson",
    ],
)
def test_strokes_without_a_drawing_are_a_clear_error(strokes, tmp_path):
    if isinstance(strokes, str):
        strokes = tmp_path / strokes
        strokes.write_text("{}\n")
    with pytest.raises(ValueError, match=r"strokes are|has no drawing"):
        as_drawing(strokes)


@pytest.mark.parametrize("thing", [5, object(), {"strokes": STROKES}])
def test_anything_else_is_refused_by_name(thing):
    with pytest.raises(TypeError, match=f"not {type(thing).__name__}"):
        as_drawing(thing)


def test_both_parts_of_a_query_have_the_same_say_at_half_weight():
    generator = np.random.default_rng(0)
    sample = generator.standard_normal((500, 16)).astype(np.float32)
    sample[:, 0] *= 0.05  # what the text speaks of varies little
    sketch, text = np.eye(16, dtype=np.float32)[[1, 0]]
    query = combine(sketch, text, 0.5, sample)
    assert np.linalg.norm(query) == pytest.approx(1)
    spread = [(sample @ (query * part)).std() for part in (sketch, text)]
    assert spread[0] == pytest.approx(spread[1], rel=1e-4)
    np.testing.assert_allclose(combine(sketch, text, 0, sample), sketch)
    np.testing.assert_allclose(combine(sketch, text, 1, sample), text)
