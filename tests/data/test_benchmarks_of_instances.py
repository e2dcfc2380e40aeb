"""`sketchy-fg`, `shoe-v2`, `chair-v2`: every sketch has its own photo in the gallery."""

import os

import pytest

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.splits import published_split


@pytest.fixture
def load(tmp_path):
    return lambda *args, **options: load_benchmark(*args, cache_dir=tmp_path / "cache", **options)


@pytest.fixture
def shoes(tmp_path, write_images):
    """Twenty photos; two sketches of each but the last, and a sketch of a photo that is not there."""
    root = tmp_path / "data"
    write_images(root, {"ShoeV2_photo": [f"11{i:02}.png" for i in range(20)]})
    sketches = [f"11{i:02}_{k}.png" for i in range(19) for k in (1, 2)]
    write_images(root, {"ShoeV2_sketch_png": [*sketches, "9999_1.png"]})
    return root


def instances(table):
    return set(table["instance_id"][:])


def test_sketchy_fg_keeps_basic_photos_and_the_sketches_that_draw_them(load, tmp_path, write_images):
    names = [name.replace(" ", "_") for name in published_split("sketchy-21").class_names]
    base = tmp_path / "256x256"
    write_images(
        base / "photo/tx_000000000000", {n: [f"n0_{i}.jpg", f"n1_{i}.jpg"] for i, n in enumerate(names)}
    )
    write_images(base / "EXTEND_image_sketchy", {name: [f"ext_{i}.jpg"] for i, name in enumerate(names)})
    sketches = {name: [f"n0_{i}-1.png", f"n0_{i}-2.png", f"ext_{i}-1.png"] for i, name in enumerate(names)}
    write_images(base / "sketch/tx_000000000000", sketches)
    data = load("sketchy-fg", tmp_path)
    assert data["test_photo"].num_rows == 42 and data["test_sketch"].num_rows == 42
    assert data["train_sketch"].num_rows == 208
    for part in ("train", "test"):
        assert instances(data[f"{part}_sketch"]) <= instances(data[f"{part}_photo"])
    assert data["test_photo"].features["label"].names == list(published_split("sketchy-21").class_names)


def test_photos_of_one_category_are_divided_and_their_sketches_with_them(load, shoes):
    data = load("shoe-v2", shoes)
    assert data["test_photo"].num_rows == 2 and data["train_photo"].num_rows == 18
    assert data["train_photo"].features["label"].names == ["shoe"]
    assert not instances(data["train_photo"]) & instances(data["test_photo"])
    for part in ("train", "test"):
        assert instances(data[f"{part}_sketch"]) <= instances(data[f"{part}_photo"])
    assert data["train_sketch"].num_rows + data["test_sketch"].num_rows == 38


def test_the_division_is_seeded_and_its_share_can_be_chosen(load, shoes):
    assert load("shoe-v2", shoes, test_fraction=0.5)["test_photo"].num_rows == 10
    splits = {
        frozenset(instances(load("shoe-v2", shoes, seed=seed)["test_photo"])) for seed in (0, 0, 1, 2, 3)
    }
    assert 1 < len(splits) <= 4
    with pytest.raises(ValueError, match="test_fraction must be from 0 to 1"):
        load("shoe-v2", shoes, test_fraction=30)


def test_a_list_of_test_photos_wins_over_the_seeded_division(load, shoes):
    (shoes / "photo_test.txt").write_text("ShoeV2_photo/1103.png\n1105.png\n1107\n")
    assert instances(load("shoe-v2", shoes)["test_photo"]) == {"1103", "1105", "1107"}


def test_chairs_load_from_plain_folders(load, tmp_path, write_images):
    write_images(tmp_path / "ChairV2", {"photo": [f"{i}.jpg" for i in range(8)]})
    write_images(tmp_path / "ChairV2", {"sketch": [f"{i}-1.png" for i in range(8)]})
    data = load("chair-v2", tmp_path)
    assert data["test_photo"].num_rows == 2 and data["test_sketch"].num_rows == 2


def test_one_category_takes_no_split_of_classes(load, shoes):
    with pytest.raises(ValueError, match="it takes no split of classes"):
        load("shoe-v2", shoes, split={"seen": ["shoe"], "unseen": []})


def test_a_folder_without_photos_or_pairs_is_an_error(load, shoes):
    for name in os.listdir(shoes / "ShoeV2_sketch_png"):
        os.rename(shoes / "ShoeV2_sketch_png" / name, shoes / "ShoeV2_sketch_png" / f"other-{name}")
    with pytest.raises(ValueError, match=r"no sketch draws a photo that is there, in: shoe"):
        load("shoe-v2", shoes)
    for name in os.listdir(shoes / "ShoeV2_photo"):
        os.remove(shoes / "ShoeV2_photo" / name)
    with pytest.raises(ValueError, match="classes without a photo: shoe"):
        load("shoe-v2", shoes)


def test_missing_data_is_an_error_that_shows_the_layout_and_the_source(load, tmp_path):
    for name in ("shoe-v2", "chair-v2", "sketchy-fg"):
        with pytest.raises(FileNotFoundError, match="Where to get it"):
            load(name, tmp_path)


def test_real_data_loads_at_instance_level(load, shared):
    shoes = load("shoe-v2", shared("data") / "shoe304")
    assert shoes["train_photo"].num_rows == 274 and shoes["test_photo"].num_rows == 30
    assert shoes["train_sketch"].num_rows == 822 and shoes["test_sketch"].num_rows == 90
    data = load("sketchy-fg", shared("data") / "sketchy-sub")
    assert data["train_sketch"].num_rows == 2600 and data["test_sketch"].num_rows == 525
    assert instances(data["test_sketch"]) <= instances(data["test_photo"])
