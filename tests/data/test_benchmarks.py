import logging
import os
from dataclasses import dataclass
from typing import ClassVar

import datasets
import pytest
import yaml
from PIL import Image

from sketch_prompt.data import benchmarks
from sketch_prompt.data.benchmarks import load_benchmark, make_builder
from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.check import check_data
from sketch_prompt.data.sketch_folder import SketchFolderConfig
from sketch_prompt.data.splits import SPLIT_NAMES, published_split


@pytest.fixture
def load(tmp_path):
    """`load_benchmark` with a cache of the test's own."""
    return lambda *args, **options: load_benchmark(*args, cache_dir=tmp_path / "cache", **options)


@pytest.fixture
def sketchy(tmp_path, write_images):
    """All 125 classes in the original archive's layout: one photo drawn twice, one extension photo."""
    root = tmp_path / "sketchy"
    names = [
        {"hot air balloon": "hot-air_balloon", "car sedan": "car_(sedan)", "hot dog": "hotdog"}.get(
            name, name if name == "jack-o-lantern" else name.replace(" ", "_")
        )
        for name in published_split("sketchy-21").class_names
    ]
    base = root / "256x256"
    write_images(base / "photo/tx_000000000000", {name: [f"n0_{i}.jpg"] for i, name in enumerate(names)})
    sketches = {name: [f"n0_{i}-1.png", f"n0_{i}-12.png"] for i, name in enumerate(names)}
    write_images(base / "sketch/tx_000000000000", sketches)
    write_images(base / "EXTEND_image_sketchy", {name: [f"ext_{i}-3.jpg"] for i, name in enumerate(names)})
    return root


def rows(dataset):
    """(file, class, instance, domain) of every row, without opening an image."""
    name_of = dataset.features["label"].int2str
    raw = dataset.cast_column("image", datasets.Image(decode=False))
    return [(r["image"]["path"], name_of(r["label"]), r["instance_id"], r["domain"]) for r in raw]


@pytest.mark.parametrize(("protocol", "sizes"), [("sketchy-21", (104, 21)), ("sketchy-25", (100, 25))])
def test_sketchy_loads_from_its_archive_layout(load, sketchy, protocol, sizes):
    data = load(protocol, sketchy)
    assert tuple(sorted(data)) == tuple(sorted(SPLIT_NAMES))
    split = published_split(protocol)
    for name in SPLIT_NAMES:
        assert data[name].features["label"].names == list(split.seen + split.unseen)
    assert [data[name].num_rows for name in SPLIT_NAMES] == [2 * sizes[0]] * 2 + [2 * sizes[1]] * 2
    assert set(data["train_photo"]["label"]) == set(range(sizes[0]))
    assert set(data["test_sketch"]["label"]) == set(range(sizes[0], sum(sizes)))


def test_sketchy_pairs_sketches_with_their_photo_and_extension_photos_with_none(load, sketchy):
    data = load("sketchy-21", sketchy)
    photos, sketches = rows(data["test_photo"]), rows(data["test_sketch"])
    assert [os.path.basename(path) for path, name, *_ in photos if name == "bat"] == [
        "ext_104-3.jpg",
        "n0_104.jpg",
    ]
    assert {instance for _, name, instance, _ in photos if name == "bat"} == {"ext_104-3", "n0_104"}
    assert [instance for _, name, instance, _ in sketches if name == "bat"] == ["n0_104", "n0_104"]
    assert {domain for *_, domain in photos} == {"photo"} and {domain for *_, domain in sketches} == {
        "sketch"
    }


def test_rows_hold_the_paths_of_the_files_and_not_their_content(load, sketchy):
    raw = load("sketchy-21", sketchy)["test_photo"].cast_column("image", datasets.Image(decode=False))
    assert all(row["image"]["bytes"] is None and os.path.isfile(row["image"]["path"]) for row in raw)
    assert isinstance(load("sketchy-21", sketchy)["test_photo"][0]["image"], Image.Image)


def test_the_folder_inside_may_be_given_and_the_extension_may_be_absent(load, sketchy):
    (sketchy / "256x256" / "EXTEND_image_sketchy").rename(sketchy / "elsewhere")
    assert load("sketchy-21", sketchy / "256x256")["test_photo"].num_rows == 21


def test_rows_are_sorted_by_class_and_name(load, sketchy):
    found = [
        (name, os.path.basename(path)) for path, name, *_ in rows(load("sketchy-21", sketchy)["train_photo"])
    ]
    assert found == sorted(found)


def test_two_spellings_of_a_class_merge(load, sketch_folder, write_images):
    write_images(sketch_folder / "photo", {"Hot Air Balloon": ["z.png"]})
    data = load("sketch-folder", sketch_folder, unseen_fraction=1.0)
    stems = [os.path.basename(p) for p, name, *_ in rows(data["test_photo"]) if name == "hot air balloon"]
    assert stems == ["a.jpg", "b.jpg", "c.png", "z.png"]
    assert data["test_photo"].features["label"].names == ["cat", "cup", "dog", "hot air balloon", "tree"]


def test_own_drawings_are_paired_by_their_names(load, sketch_folder):
    data = load("sketch-folder", sketch_folder, unseen_fraction=1.0)
    pairs = {(os.path.basename(path), i) for path, name, i, _ in rows(data["test_sketch"]) if name == "cat"}
    assert pairs == {("a-1.png", "cat/a"), ("a_2.png", "cat/a"), ("b.png", "cat/b"), ("free.png", "cat/free")}
    assert data["train_sketch"].num_rows == 0


def test_a_seeded_fraction_of_own_classes_is_unseen(load, sketch_folder):
    data = load("sketch-folder", sketch_folder, seed=4, unseen_fraction=0.4)
    again = load("sketch-folder", sketch_folder, seed=4, unseen_fraction=0.4)
    assert len(set(data["test_photo"]["label"])) == 2 and len(set(data["train_photo"]["label"])) == 3
    assert rows(data["test_photo"]) == rows(again["test_photo"])


def test_own_split_comes_from_the_folder_or_from_the_option(load, sketch_folder, tmp_path):
    (sketch_folder / "split.yaml").write_text(
        yaml.safe_dump({"seen": ["dog", "cat"], "unseen": ["Hot_Air-Balloon"]})
    )
    data = load("sketch-folder", sketch_folder)
    assert data["train_photo"].features["label"].names == ["cat", "dog", "hot air balloon"]
    data = load("sketch-folder", sketch_folder, split={"seen": ["tree"], "unseen": ["cup"]})
    assert data["train_photo"].features["label"].names == ["tree", "cup"]


def test_photos_and_sketches_may_lie_apart_and_be_named_apart(load, sketch_folder, tmp_path):
    (sketch_folder / "photo").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "cat").rename(tmp_path / "elsewhere" / "Felidae")
    split = {"seen": ["dog"], "unseen": ["cat"], "aliases": {"felidae": "cat"}}
    data = load(
        "sketch-folder", photo_dir=tmp_path / "elsewhere", sketch_dir=sketch_folder / "sketch", split=split
    )
    assert data["test_photo"].num_rows == 3 and data["test_sketch"].num_rows == 4


def test_a_published_benchmark_takes_a_split_of_the_users_own(load, sketchy):
    data = load("sketchy-21", sketchy, split={"seen": ["cat"], "unseen": ["dog", "hotdog"]})
    assert data["train_photo"].features["label"].names == ["cat", "dog", "hot dog"]


def test_a_changed_folder_is_read_anew_and_an_unchanged_one_is_not(
    load, sketch_folder, write_images, tmp_path
):
    def tables():
        return sorted(path.name for path in (tmp_path / "cache").glob("**/sketch-folder-*") if path.is_dir())

    assert load("sketch-folder", sketch_folder, unseen_fraction=1.0)["test_photo"].num_rows == 15
    load("sketch-folder", sketch_folder, unseen_fraction=1.0)
    assert len(tables()) == 1
    write_images(sketch_folder / "photo", {"cat": ["new.png"]})
    assert load("sketch-folder", sketch_folder, unseen_fraction=1.0)["test_photo"].num_rows == 16
    (sketch_folder / "photo" / "cat" / "new.png").unlink()
    assert load("sketch-folder", sketch_folder, unseen_fraction=1.0)["test_photo"].num_rows == 15
    os.utime(sketch_folder / "photo" / "cat" / "a.jpg", (1, 1))
    load("sketch-folder", sketch_folder, unseen_fraction=1.0)
    assert len(tables()) == 3


def test_empty_files_are_skipped_counted_and_listed(load, sketch_folder, caplog):
    (sketch_folder / "photo" / "cat" / "a.jpg").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "sketch_prompt"):
        data = load("sketch-folder", sketch_folder, unseen_fraction=1.0)
    assert data["test_photo"].num_rows == 14
    assert "1 files skipped" in caplog.text and "a.jpg: the file is empty" in caplog.text
    assert "a.jpg: the file is empty" in data["test_photo"].info.description


def test_all_classes_that_lack_something_are_named_at_once(load, sketch_folder):
    for path in (sketch_folder / "photo" / "cat").iterdir():
        path.write_bytes(b"")
    (sketch_folder / "sketch" / "dog").rename(sketch_folder / "dog")
    split = {"seen": ["cat", "dog", "tree"], "unseen": ["unicorn", "cup"]}
    with pytest.raises(ValueError) as error:
        load("sketch-folder", sketch_folder, split=split)
    assert "classes absent: unicorn" in str(error.value)
    assert "classes without a photo: cat" in str(error.value)
    assert "classes without a sketch: dog" in str(error.value)


@pytest.mark.parametrize("name", ["sketchy-21", "sketchy-25", "sketch-folder"])
def test_missing_data_is_an_error_that_shows_the_layout_and_the_source(load, tmp_path, name):
    (tmp_path / "other").mkdir()
    for folder in (tmp_path / "none", tmp_path / "other", None):
        with pytest.raises(FileNotFoundError, match="Where to get it") as error:
            load(name, folder)
        assert "photo/" in str(error.value)


def test_an_unknown_benchmark_or_option_names_the_nearest(load, sketch_folder):
    with pytest.raises(ValueError, match="did you mean 'sketchy-21'"):
        load("sketchi-21", sketch_folder)
    with pytest.raises(ValueError, match="did you mean 'unseen_fraction'"):
        load("sketch-folder", sketch_folder, unseen_fractoin=0.5)


def test_builders_are_datasets_builders(sketch_folder, tmp_path):
    builder = make_builder("sketch-folder", sketch_folder, cache_dir=tmp_path / "cache")
    assert isinstance(builder, datasets.GeneratorBasedBuilder)


def test_real_sketchy_loads_with_the_published_classes(load, shared):
    folder = shared("data") / "sketchy-sub"
    for protocol, sizes in (("sketchy-21", (104, 21)), ("sketchy-25", (100, 25))):
        data = load(protocol, folder)
        assert len(set(data["train_photo"]["label"])) == sizes[0]
        assert len(set(data["test_photo"]["label"])) == sizes[1]
        assert sum(data[name].num_rows for name in SPLIT_NAMES) == 2 * 125 * 25
        photos = {*data["train_photo"]["instance_id"], *data["test_photo"]["instance_id"]}
        drawn = {*data["train_sketch"]["instance_id"], *data["test_sketch"]["instance_id"]}
        assert len(drawn & photos) == 578


@pytest.fixture
def registered(monkeypatch):
    """Registers benchmarks that are forgotten after the test."""
    monkeypatch.setattr(benchmarks, "_BUILDERS", dict(benchmarks._BUILDERS))
    return benchmarks.register_benchmark


def test_a_registered_benchmark_is_loaded_by_name_and_reported_at_its_own_level(registered, sketch_folder):
    @dataclass
    class PairsConfig(SketchFolderConfig):
        level = "instance"
        test_counts: ClassVar = {"test_photo": 3}

    class PairsBuilder(BenchmarkBuilder):
        BUILDER_CONFIG_CLASS = PairsConfig

    registered("toy-pairs", PairsBuilder)
    assert "toy-pairs" in benchmarks.benchmark_names()
    assert benchmarks.default_level("toy-pairs") == "instance"
    tables = load_benchmark("toy-pairs", sketch_folder)
    assert tables["test_photo"].num_rows == 3
    with pytest.raises(ValueError, match="did you mean 'toy-pairs'"):
        load_benchmark("toy-pair", sketch_folder)
    assert check_data(sketch_folder, "toy-pairs", progress=False).benchmarks[0].published["test_photo"] == 3


def test_a_name_is_registered_once_and_for_builders_of_benchmarks_only(registered):
    with pytest.raises(ValueError, match="there is a benchmark 'mini' already: MiniSketchBuilder"):
        registered("mini", benchmarks.find_builder("sketchy-21"))
    with pytest.raises(TypeError, match="BUILDER_CONFIG_CLASS must be a subclass of"):
        registered("toy", datasets.GeneratorBasedBuilder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_dir": "."}, "mini needs no data"),
        ({"instance_per_class": 2}, "did you mean 'instances_per_class'"),
        ({"split": {"seen": ["cup"]}}, "mini: unknown option 'split'"),
    ],
)
def test_an_option_that_mini_does_not_have_is_an_error_that_says_so(options, message):
    with pytest.raises(ValueError, match=message):
        load_benchmark("mini", **options)
