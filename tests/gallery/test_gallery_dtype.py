"""A gallery embedded in bfloat16: it remembers, says so, and finds what one in float32 finds."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.cli import app


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "some", {"cat": 6, "dog": 6})


def test_features_in_bfloat16_are_of_length_1_and_close(photos):
    full, half = (
        Gallery.build("mini-clip-at", photos, progress=False, device="cpu", dtype=dtype).features
        for dtype in (None, "bfloat16")
    )
    assert np.abs(half - full).max() > 0 and (half * full).sum(1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)


def test_a_gallery_remembers_its_dtype_and_takes_no_photos_in_another(photos, tmp_path):
    folder = tmp_path / "gallery"
    model = "mini-clip-at"
    found = Gallery.build(model, photos, folder, progress=False, device="cpu", dtype="bfloat16").search(
        picture(3), 4
    )
    assert (
        json.loads((folder / "gallery.json").read_text())["model"]["fingerprint"]["computed_in"] == "bfloat16"
    )
    again = Gallery.load(folder, device="cpu")
    assert [(hit.path, hit.score) for hit in again.search(picture(3), 4)] == [
        (hit.path, hit.score) for hit in found
    ]
    assert Gallery.build(None, photos, folder, progress=False, device="cpu").changes.embedded == 0
    write_photos(tmp_path / "more", {"cow": 1}, first=50)
    with (
        pytest.warns(UserWarning, match="were embedded in bfloat16, drawings are in float32"),
        pytest.raises(ValueError, match="this model embeds in float32"),
    ):
        Gallery.load(folder, dtype="float32", device="cpu").add(tmp_path / "more" / "cow", progress=False)


def test_only_a_model_in_float32_computes_in_another_type():
    for model, dtype in (
        (make_model().half(), "bfloat16"),
        (make_model(), "float16"),
        (make_model(), "int8"),
    ):
        with pytest.raises(ValueError, match=f"and not in {dtype}"):
            Gallery(model, dtype=dtype)
    Gallery(make_model(), dtype="float32")


def test_the_command_takes_a_dtype(photos, tmp_path):
    command = ["index", str(photos), "-o", str(tmp_path / "gallery"), "-m", "mini-clip-at", "--device", "cpu"]
    done = CliRunner().invoke(app, [*command, "--dtype", "bfloat16"])
    assert done.exit_code == 0 and "Embedded in bfloat16 by torch" in done.output, done.output
