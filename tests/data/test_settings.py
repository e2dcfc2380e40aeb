import datasets
import numpy as np
import pytest

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.settings import cross_dataset, generalized_zero_shot
from sketch_prompt.data.splits import published_split


def paths(table):
    raw = table.cast_column("image", datasets.Image(decode=False))
    return [row["image"]["path"] for row in raw]


def classes(table):
    names = table.features["label"].names
    return {names[label] for label in table["label"][:]}


@pytest.fixture
def own(tmp_path, write_images):
    """Four classes of ten photos and two sketches, two of them unseen."""
    names = ["ant", "bat", "cat", "dog"]
    write_images(tmp_path / "own/photo", {name: [f"{i}.png" for i in range(10)] for name in names})
    write_images(tmp_path / "own/sketch", {name: ["0-1.png", "1-1.png"] for name in names})
    return lambda **options: load_benchmark(
        "sketch-folder",
        tmp_path / "own",
        split={"seen": ["ant", "bat"], "unseen": ["cat", "dog"]},
        cache_dir=tmp_path / "cache",
        **options,
    )


def test_gzs_moves_the_share_of_every_seen_class_from_training_to_the_gallery(own):
    plain, gzs = own(), own(setting="gzs", seen_share=0.3)
    assert gzs["train_photo"].num_rows == 14 and gzs["test_photo"].num_rows == 26
    assert paths(gzs["test_photo"])[:20] == paths(plain["test_photo"])
    assert set(paths(gzs["train_photo"])) | set(paths(gzs["test_photo"])[20:]) == set(
        paths(plain["train_photo"])
    )
    assert np.bincount(gzs["test_photo"]["label"][:]).tolist() == [3, 3, 10, 10]
    assert paths(gzs["test_sketch"]) == paths(plain["test_sketch"])
    assert paths(gzs["train_sketch"]) == paths(plain["train_sketch"])


def test_gzs_is_seeded_and_leaves_every_class_a_photo_for_training(own):
    galleries = [paths(own(setting="gzs", seed=seed)["test_photo"]) for seed in (1, 1, 2)]
    assert galleries[0] == galleries[1] != galleries[2]
    assert classes(generalized_zero_shot(own(), 1.0)["train_photo"]) == {"ant", "bat"}
    with pytest.raises(ValueError, match="seen_share must be above 0"):
        own(setting="gzs", seen_share=20)


@pytest.mark.parametrize(
    ("trained", "tested", "number"),
    [
        ("sketchy-25", "tu-berlin-30", 21),
        ("sketchy-25", "quickdraw-30", 11),
        ("tu-berlin-30", "sketchy-25", 8),
    ],
)
def test_the_cross_dataset_rule_gives_the_papers_subsets(trained, tested, number):
    seen, target = published_split(trained).seen, published_split(tested)
    label = datasets.ClassLabel(names=list(target.class_names))
    labels = list(range(len(target.seen), len(target.class_names)))
    rows = {"label": labels, "instance_id": list(map(str, labels))}
    features = datasets.Features(label=label, instance_id=datasets.Value("string"))
    tables = datasets.DatasetDict(
        {
            f"{part}_{domain}": datasets.Dataset.from_dict(rows, features=features)
            for part in ("train", "test")
            for domain in ("sketch", "photo")
        }
    )
    crossed = cross_dataset(seen, tables)
    assert len(classes(crossed["test_sketch"])) == len(classes(crossed["test_photo"])) == number
    assert not classes(crossed["test_photo"]) & set(seen)
    assert crossed["train_sketch"].num_rows == 0


@pytest.fixture
def two_benchmarks(tmp_path, write_images):
    """Sketchy and TU-Berlin with one photo and one sketch of every class."""
    for protocol, photo, sketch in (
        ("sketchy-25", "256x256/photo/tx_000000000000", "256x256/sketch/tx_000000000000"),
        ("tu-berlin-30", "images", "sketches"),
    ):
        for root, file in ((photo, "a.png"), (sketch, "a-1.png")):
            names = published_split(protocol).class_names
            write_images(tmp_path / protocol / root, {name: [file] for name in names})
    return tmp_path


def test_cross_dataset_trains_on_one_benchmark_and_tests_on_the_other(two_benchmarks, tmp_path):
    data = load_benchmark(
        "tu-berlin-30",
        two_benchmarks / "tu-berlin-30",
        train_benchmark="sketchy-25",
        train_dir=two_benchmarks / "sketchy-25",
        cache_dir=tmp_path / "cache",
    )
    seen = published_split("sketchy-25").seen
    assert classes(data["train_sketch"]) == classes(data["train_photo"]) == set(seen)
    assert set(data["train_sketch"]["label"][:]) == set(range(100))
    assert set(data["test_photo"]["label"][:]) == set(range(100, 121))
    assert len({tuple(table.features["label"].names) for table in data.values()}) == 1
    assert all("sketchy-25" in path for path in paths(data["train_photo"]))
    for path, label in zip(paths(data["test_photo"]), data["test_photo"]["label"][:]):
        assert f"tu-berlin-30/images/{data['test_photo'].features['label'].names[label]}/" in path
    assert data["test_photo"].column_names == ["image", "label", "instance_id", "domain"]


def test_cross_dataset_without_training_data_serves_an_evaluation(two_benchmarks, tmp_path):
    folder = two_benchmarks / "tu-berlin-30"
    data = load_benchmark("tu-berlin-30", folder, train_benchmark="sketchy-25", cache_dir=tmp_path / "cache")
    assert data["train_sketch"].num_rows == 0 and data["test_sketch"].num_rows == 21


def test_the_benchmark_trained_on_may_have_its_old_name(two_benchmarks, tmp_path):
    arguments = ("tu-berlin-30", two_benchmarks / "tu-berlin-30")
    with pytest.warns(FutureWarning, match="train_protocol is now called train_benchmark"):
        data = load_benchmark(*arguments, train_protocol="sketchy-25", cache_dir=tmp_path / "cache")
    assert data["test_sketch"].num_rows == 21


def test_settings_can_be_combined(two_benchmarks, tmp_path):
    data = load_benchmark(
        "tu-berlin-30",
        two_benchmarks / "tu-berlin-30",
        train_benchmark="sketchy-25",
        train_dir=two_benchmarks / "sketchy-25",
        setting="gzs",
        seen_share=0.5,
        cache_dir=tmp_path / "cache",
    )
    assert data["test_photo"].num_rows == 21 and data["train_photo"].num_rows == 100


def test_nothing_left_to_test_is_an_error(own):
    with pytest.raises(ValueError, match="every unseen class of the test benchmark"):
        cross_dataset(["Cat", "dog"], own())


def test_streaming_gives_the_same_rows_without_a_table(own, tmp_path):
    streamed = own(streaming=True)
    assert isinstance(streamed, datasets.IterableDatasetDict)
    assert not list((tmp_path / "cache").glob("**/*.arrow"))
    plain = own()
    for name, table in plain.items():
        rows = list(streamed[name])
        for column in ("label", "instance_id", "domain"):
            assert [row[column] for row in rows] == table[column][:]
        assert rows[0]["image"].size == (12, 10)
        assert streamed[name].features == table.features


def test_streaming_leaves_other_settings_to_tables(own):
    for options in ({"setting": "gzs"}, {"train_benchmark": "sketchy-25"}):
        with pytest.raises(ValueError, match="streaming serves"):
            own(streaming=True, **options)


def test_an_unknown_setting_names_the_nearest(own):
    with pytest.raises(ValueError, match="did you mean 'gzs'"):
        own(setting="gzsl")


def test_mini_streams_and_generalises(tmp_path):
    options = {"image_size": 64, "instances_per_class": 2}
    data = load_benchmark("mini", setting="gzs", seen_share=0.5, cache_dir=tmp_path / "cache", **options)
    assert data["test_photo"].num_rows == 24 + 36
    row = next(iter(load_benchmark("mini", streaming=True, **options)["test_sketch"]))
    assert row["image"].size == (64, 64)
