import io
import json

import datasets
import numpy as np
import pytest
from PIL import Image

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.check import check_data
from sketch_prompt.data.loading import ImageTable
from sketch_prompt.data.splits import published_split

# Google's names of what QuickDraw-Extended calls otherwise.
GOOGLE = {"crocodilian": "crocodile", "motorcycle": "motorbike", "eiffel tower": "The Eiffel Tower"}


@pytest.fixture
def strokes(tmp_path, write_images):
    """Photos of every class and a stroke file of three drawings each, one of which was not recognised."""
    root = tmp_path / "QuickDraw"
    names = published_split("quickdraw-30").class_names
    write_images(root / "images", {name.replace(" ", "_"): ["a.jpg"] for name in names})
    (root / "ndjson").mkdir()
    for name in names:
        lines = [
            {"key_id": str(k), "recognized": k != 1, "drawing": [[[0, 50 + k], [0, 90]]]} for k in range(3)
        ]
        path = root / "ndjson" / f"full_simplified_{GOOGLE.get(name, name)}.ndjson"
        path.write_text("\n".join(map(json.dumps, lines)))
    return root


def test_strokes_stand_in_for_sketches_under_googles_class_names(strokes, tmp_path):
    data = load_benchmark("quickdraw-30", strokes, cache_dir=tmp_path / "cache")
    assert data["train_sketch"].num_rows == 160 and data["test_sketch"].num_rows == 60
    example = data["train_sketch"].filter(lambda row: row["label"] == 18)[1]
    assert example["instance_id"].endswith("/2")
    assert example["image"].size == (256, 256)


def test_strokes_are_drawn_at_the_chosen_size_and_number(strokes, tmp_path):
    def load(**options):
        return load_benchmark("quickdraw-30", strokes, cache_dir=tmp_path / "cache", **options)["test_sketch"]

    small = load(drawings_per_class=1, sketch_size=64)
    assert small.num_rows == 30 and small[0]["image"].size == (64, 64)
    thin, thick = load(stroke_width=1.0), load(stroke_width=6.0)
    assert np.asarray(thin[0]["image"]).mean() > np.asarray(thick[0]["image"]).mean()


def test_drawn_sketches_reach_the_loader_with_their_place(strokes, tmp_path):
    table = load_benchmark("quickdraw-30", strokes, cache_dir=tmp_path / "cache")["test_sketch"]
    assert np.asarray(ImageTable(table).read(0)).min() < 128
    raw = table.cast_column("image", datasets.Image(decode=False))[1]["image"]
    assert raw["path"].endswith("full_simplified_banana.ndjson#2")
    assert Image.open(io.BytesIO(raw["bytes"])).mode == "L"


def test_a_stroke_file_without_drawings_is_an_error_naming_it(strokes, tmp_path):
    path = strokes / "ndjson" / "full_simplified_ant.ndjson"
    path.write_text('{"recognized": false, "drawing": [[[0, 1], [0, 1]]]}\n')
    with pytest.raises(ValueError, match=r"no drawing that was recognised in: .*_ant\.ndjson$"):
        load_benchmark("quickdraw-30", strokes, cache_dir=tmp_path / "cache")
    report = check_data(strokes, read_images=False)
    assert "full_simplified_ant.ndjson" in report.benchmarks[0].problem and not report.is_usable


def test_own_folders_may_hold_strokes(strokes, tmp_path):
    split = {"seen": ["ant", "bat"], "unseen": ["Eiffel Tower"]}
    data = load_benchmark(
        "sketch-folder",
        photo_dir=strokes / "images",
        sketch_dir=strokes / "ndjson",
        split=split,
        drawings_per_class=1,
        cache_dir=tmp_path / "cache",
    )
    assert data["train_sketch"].num_rows == 2 and data["test_sketch"].num_rows == 1


def test_real_strokes_and_photos_make_a_benchmark_with_their_own_split(shared, tmp_path):
    folder = shared("data")
    pairs = json.loads((folder / "caltech40" / "pairs.json").read_text())
    aliases = {photo: drawing for drawing, photo in pairs["pairs"].items()}
    data = load_benchmark(
        "sketch-folder",
        photo_dir=folder / "caltech40",
        sketch_dir=folder / "quickdraw25",
        split={"seen": pairs["seen"], "unseen": pairs["unseen"], "aliases": aliases},
        cache_dir=tmp_path / "cache",
    )
    assert data["train_photo"].num_rows == 900 and data["test_photo"].num_rows == 300
    assert 200 < data["test_sketch"].num_rows <= 250
    assert len(set(data["train_sketch"]["label"][:])) == 30
