import json
import logging

import numpy as np
import pytest

from sketch_prompt.data.strokes import rasterize, read_drawings

CROSS = [[[0, 100], [0, 100]], [[0, 100], [100, 0]]]


def line(drawing=CROSS, **fields):
    return json.dumps({"word": "cross", "recognized": True, "key_id": "7", "drawing": drawing} | fields)


def test_drawings_are_read_in_the_files_order_without_unrecognised_ones(tmp_path):
    path = tmp_path / "cross.ndjson"
    path.write_text("\n".join([line(key_id="1"), line(key_id="2", recognized=False), "", line(key_id="3")]))
    assert [drawing.key_id for drawing in read_drawings(path)] == ["1", "3"]
    assert [drawing.key_id for drawing in read_drawings(path, limit=1)] == ["1"]
    assert next(read_drawings(path)).strokes == CROSS


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        "42",
        "{}",
        line(drawing=[]),
        line(drawing=[[[1], [1, 2]]]),
        line(drawing=[["ab", "cd"]]),
        line(drawing=[[[None], [1]]]),
        line(drawing=5),
        '{"drawing": [[[NaN], [1]]]}',
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_lines_that_hold_no_drawing_are_skipped_and_counted(tmp_path, caplog, bad):
    path = tmp_path / "cross.ndjson"
    bad = bad if isinstance(bad, bytes) else bad.encode()
    path.write_bytes(b"\n".join([line(key_id="1").encode(), bad, line(key_id="3").encode()]))
    with caplog.at_level(logging.WARNING, "sketch_prompt"):
        assert [drawing.key_id for drawing in read_drawings(str(path))] == ["1", "3"]
    assert f"{path}: 1 lines have no drawing and are skipped (lines 2" in caplog.text


def test_a_drawing_fills_the_image_is_centred_and_black_on_white():
    pixels = np.asarray(rasterize(CROSS, size=64, stroke_width=2))
    assert pixels.shape == (64, 64) and pixels.dtype == np.uint8
    assert pixels[31:33, 31:33].max() < 60 and pixels[0].min() == 255
    dark_rows = np.flatnonzero((pixels < 128).any(axis=1))
    assert dark_rows[0] in (2, 3) and dark_rows[-1] in (60, 61)
    assert np.array_equal(pixels < 128, (pixels < 128)[::-1, ::-1])


def test_proportions_are_kept():
    dark = np.asarray(rasterize([[[0, 200, 200, 0], [0, 0, 50, 50]]], size=100)) < 128
    height, width = np.ptp(np.flatnonzero(dark.any(axis=1))), np.ptp(np.flatnonzero(dark.any(axis=0)))
    assert width / height == pytest.approx(4, rel=0.15)


def test_lines_are_anti_aliased_and_as_wide_as_asked():
    def thickness(stroke_width):
        pixels = np.asarray(rasterize([[[0, 100], [50, 50]]], size=128, stroke_width=stroke_width), float)
        return (255 - pixels[:, 64]).sum() / 255

    for stroke_width in (1, 2.5, 6):
        assert thickness(stroke_width) == pytest.approx(stroke_width, abs=0.3)
    shades = np.unique(np.asarray(rasterize([[[0, 100], [0, 37]]], size=128)))
    assert len(shades) > 8


@pytest.mark.parametrize("strokes", [[[[5], [5]]], [[[5, 5], [5, 5]]], [[[0, 9], [0, 0]], [[], []]]])
def test_dots_and_empty_strokes_are_drawn_without_fault(strokes):
    assert np.asarray(rasterize(strokes, size=32)).min() < 128


def test_times_beside_the_coordinates_are_ignored():
    timed = [[*stroke, [0, 1]] for stroke in CROSS]
    assert np.array_equal(np.asarray(rasterize(timed)), np.asarray(rasterize(CROSS)))
