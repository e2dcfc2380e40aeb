"""What small-clip learns from: rows, drawings and photos, and nothing that a test needs."""

import numpy as np
import pytest
from PIL import Image

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.quickdraw_caltech import UNSEEN_CLASSES
from sketch_prompt.data.quickdraw_caltech.builder import photo_files
from sketch_prompt.data.splits import published_split
from small_clip.concepts import SAME_AS, Concepts, imagenet_rows, plain
from small_clip.doodles import distort, draw_variants, training_doodles
from small_clip.pictures import caltech, pack, tiny_imagenet


def test_no_drawing_of_a_tested_class_is_learned_from():
    learned = {class_key(doodle.class_name) for doodle in training_doodles()}
    for unseen in (UNSEEN_CLASSES, *(published_split(name).unseen for name in ("sketchy-21", "sketchy-25"))):
        assert not learned & {class_key(name) for name in unseen}
    assert len(learned) == 300


def test_classes_that_mean_the_same_share_a_row():
    concepts = Concepts.of(["elephant", "scorpion", "stop_sign", "stop sign", "motorbikes", "squiggle"])
    assert concepts.rows["scorpion"] == imagenet_rows()["n01770393"]
    assert concepts.names[concepts.rows["elephant"]] == "african bush elephant"
    assert concepts.rows["stop_sign"] == concepts.rows["stop sign"] >= 1000
    assert len(concepts.names) == 1003
    assert {"elephant", "african elephant"} <= set(concepts.synonyms()[concepts.rows["elephant"]])


def test_every_name_that_a_class_is_joined_to_is_spelled_as_rows_are():
    assert all(plain(name) == name for names in SAME_AS.items() for name in names)


def test_variants_of_a_drawing_differ_and_stay_drawings():
    strokes = [[[0, 100, 100, 0, 0], [0, 0, 100, 100, 0]], [[50, 50], [0, 100]]]
    pictures = draw_variants([strokes], 3)
    assert pictures.shape == (1, 3, 64, 64)
    assert not np.array_equal(pictures[0, 0], pictures[0, 1])
    assert (pictures == 255).mean() > 0.5 and pictures.min() < 100
    assert len(distort(strokes, np.random.default_rng(0))) == 2


def test_photos_of_the_benchmark_are_left_out(tmp_path):
    for name, files in photo_files().items():
        for file in list(files) + [f"{next(iter(files)).split('/')[0]}/other_{name}.jpg"]:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
    left = caltech(tmp_path)
    assert {photo.path.name[:6] for photo in left} == {"other_"} and len(left) == 2 * 40
    (tmp_path / "ant" / "image_0001.jpg").unlink()
    with pytest.raises(ValueError, match="lacks 1 photos"):
        caltech(tmp_path)


def test_photos_are_packed_as_squares_with_their_classes(tmp_path):
    folder = tmp_path / "tiny" / "train" / "n01443537" / "images"
    folder.mkdir(parents=True)
    Image.new("RGB", (80, 60), (255, 0, 0)).save(folder / "a.JPEG")
    photos = tiny_imagenet(tmp_path / "tiny", "train")
    pack(photos, tmp_path / "work", "photos")
    packed = np.load(tmp_path / "work" / "photos.npy")
    assert packed.shape == (1, 64, 64, 3) and packed[0, 0, 0, 0] > 240
    assert '"n01443537"' in (tmp_path / "work" / "photos.json").read_text()
