import numpy as np
import pytest

from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch, builder, load_mini

SMALL = {
    "image_size": 24,
    "instances_per_class": 2,
    "unseen_instances_per_class": 1,
    "sketches_per_instance": 3,
}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tables(cache_dir):
    return load_mini(**SMALL, cache_dir=cache_dir)


def test_the_four_splits_have_the_rows_their_options_ask_for(tables):
    assert {name: table.num_rows for name, table in tables.items()} == {
        "train_sketch": 36 * 2 * 3,
        "train_photo": 36 * 2,
        "test_sketch": 12 * 3,
        "test_photo": 12,
    }


def test_columns_and_labels_are_those_of_every_benchmark(tables):
    for split, table in tables.items():
        assert table.column_names == ["image", "label", "instance_id", "domain"]
        assert table.features["label"].names == [*SEEN_CLASSES, *UNSEEN_CLASSES]
        assert set(table["domain"]) == {split.split("_")[1]}
    assert set(tables["train_photo"]["label"]) == set(range(36))
    assert set(tables["test_sketch"]["label"]) == set(range(36, 48))


def test_sketches_and_photos_of_an_instance_share_its_id(tables):
    for part in ("train", "test"):
        assert set(tables[f"{part}_sketch"]["instance_id"]) == set(tables[f"{part}_photo"]["instance_id"])
    assert tables["train_photo"]["instance_id"][:2] == ["airplane-0000", "airplane-0001"]
    assert "hot_air_balloon-0001" in tables["train_photo"]["instance_id"]


def test_pictures_are_those_of_the_generator(tables):
    row = tables["test_sketch"][1]
    assert (row["image"].format, row["image"].size) == ("PNG", (24, 24))
    expected = MiniSketch(24).sketch("axe", 0, drawing=1)
    assert np.array_equal(np.asarray(row["image"].convert("RGB")), np.asarray(expected))
    photo = tables["test_photo"][0]["image"]
    assert photo.format == "JPEG"
    error = np.asarray(photo, int) - np.asarray(MiniSketch(24).photo("axe", 0), int)
    assert np.abs(error).mean() < 12


def test_a_second_load_draws_nothing(tables, cache_dir, monkeypatch):
    monkeypatch.setattr(MiniSketch, "photo", None)
    monkeypatch.setattr(MiniSketch, "sketch", None)
    again = load_mini(**SMALL, cache_dir=cache_dir)
    assert again["train_sketch"].cache_files == tables["train_sketch"].cache_files


@pytest.mark.parametrize(
    "option",
    [
        {"image_size": 16},
        {"instances_per_class": 1},
        {"unseen_instances_per_class": 2},
        {"sketches_per_instance": 1},
        {"seed": 5},
    ],
)
def test_every_option_has_a_cache_of_its_own(tables, option):
    names = {
        builder.MiniSketchBuilder(dataset_name="minisketch", **{**SMALL, **changed}).cache_dir
        for changed in ({}, option)
    }
    assert len(names) == 2


def test_a_changed_renderer_does_not_read_the_old_pictures(monkeypatch):
    before = builder.MiniSketchBuilder(dataset_name="minisketch", **SMALL).cache_dir
    monkeypatch.setattr(builder, "source_fingerprint", lambda: "changed")
    assert builder.MiniSketchBuilder(dataset_name="minisketch", **SMALL).cache_dir != before


def test_several_processes_draw_the_same_table(tables, tmp_path):
    parallel = load_mini(**SMALL, cache_dir=tmp_path, num_proc=2)
    for split, table in tables.items():
        assert parallel[split]["instance_id"] == table["instance_id"]
        for row in (0, -1):
            assert parallel[split][row]["image"].tobytes() == table[row]["image"].tobytes()


@pytest.mark.parametrize("option", ["instances_per_class", "sketches_per_instance"])
def test_an_option_below_one_is_an_error_that_names_it(option):
    with pytest.raises(ValueError, match=f"{option} is 0"):
        load_mini(**{option: 0})
