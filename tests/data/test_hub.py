"""Benchmarks go to the Hub as Parquet with a card, and come back by their id."""

import datasets
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from sketch_prompt import load_benchmark
from sketch_prompt.data.benchmarks import default_level
from sketch_prompt.data.hub import push_benchmark

SPLITS = ["train_sketch", "train_photo", "test_sketch", "test_photo"]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for number, name in enumerate(("cat", "cup", "tree")):
        for domain in ("photo", "sketch"):
            (root / domain / name).mkdir(parents=True)
            for n in range(2):
                picture = Image.new("RGB", (20, 16), (80 * number, 100 * n, 50))
                picture.save(root / domain / name / f"{n}.png")
    (root / "split.yaml").write_text("seen: [cat, cup]\nunseen: [tree]\n")
    return root


@pytest.fixture
def tables(folder, tmp_path):
    return load_benchmark("sketch-folder", folder, cache_dir=tmp_path / "tables")


def test_a_users_own_pictures_come_back_as_the_same_benchmark(hub, tables, tmp_path):
    commit = push_benchmark(tables, "pets", level="instance", license="cc-by-4.0", private=True)
    assert hub["datasets/me/pets"].private and commit.startswith(f"{hub.url}/datasets/me/pets/commit/")
    again = load_benchmark("me/pets")
    assert list(again) == SPLITS and default_level("me/pets") == "instance"
    for split in SPLITS:
        assert again[split].features["label"] == tables[split].features["label"]
        for ours, theirs in zip(tables[split], again[split]):
            assert ours["image"].tobytes() == theirs["image"].tobytes()
            assert {k: v for k, v in ours.items() if k != "image"} == {
                k: v for k, v in theirs.items() if k != "image"
            }
    for name, content in hub["datasets/me/pets"].files().items():
        assert str(tmp_path).encode() not in content, name


def test_it_streams_and_is_a_data_set_like_any_other(hub, tables):
    push_benchmark(tables, "me/pets")
    streamed = load_benchmark("me/pets", streaming=True)
    assert next(iter(streamed["test_photo"]))["image"].size == (20, 16)
    table = datasets.load_dataset("me/pets", split="test_sketch")
    assert table.features["label"].names == ["cat", "cup", "tree"] and len(table) == 2


def test_a_branch_of_it_is_loaded_by_its_revision_and_pushing_again_replaces_the_tables(hub, tables):
    push_benchmark(tables, "me/pets")
    fewer = datasets.DatasetDict(tables | {"train_photo": tables["train_photo"].select(range(2))})
    push_benchmark(fewer, "me/pets", revision="fewer")
    assert len(load_benchmark("me/pets", revision="fewer")["train_photo"]) == 2
    assert len(load_benchmark("me/pets")["train_photo"]) == 4
    assert len([name for name in hub["datasets/me/pets"].files("fewer") if name.endswith("parquet")]) == 4


def test_the_generalised_setting_works_on_it(hub, tables):
    push_benchmark(tables, "me/pets")
    assert len(load_benchmark("me/pets", setting="gzs", seen_share=0.5)["test_photo"]) > len(
        tables["test_photo"]
    )


def test_its_card_is_what_the_viewer_and_a_reader_need(hub, tables):
    push_benchmark(tables, "me/pets", license="cc-by-4.0", about="My pets.", bibtex="@misc{pets}")
    card = DatasetCard(hub["datasets/me/pets"].files()["README.md"].decode())
    data = card.data.to_dict()
    assert data["license"] == "cc-by-4.0" and data["size_categories"] == ["n<1K"]
    files = data["configs"][0]["data_files"]
    assert [part["split"] for part in files] == SPLITS and files[0]["path"] == "data/train_sketch-*.parquet"
    info = data["dataset_info"]
    assert [feature["name"] for feature in info["features"]] == ["image", "label", "instance_id", "domain"]
    for words in ('load_benchmark("me/pets")', "My pets.", "@misc{pets}", "Seen: cat, cup.", "Unseen: tree."):
        assert words in card.text
    card.validate(repo_type="dataset")


def test_what_is_no_benchmark_is_refused_by_name(hub, tables):
    with pytest.raises(FileNotFoundError, match="no data set 'me/none': the Hub has none of that name"):
        load_benchmark("me/none")
    hub.add("me/other", {"data.csv": b"a,b\n1,2\n"}, kind="dataset")
    with pytest.raises(
        ValueError, match="me/other is not a benchmark of sketches and photos: it has no split train_sk"
    ):
        load_benchmark("me/other")
    push_benchmark(tables, "me/pets")
    with pytest.raises(ValueError, match="me/pets comes from the Hub: leave data_dir out"):
        load_benchmark("me/pets", "/data")
    with pytest.raises(ValueError, match=r"me/pets: .*unseen_fraction"):
        load_benchmark("me/pets", unseen_fraction=0.5)
    with pytest.raises(ValueError, match="there is no test_photo"):
        push_benchmark({name: tables[name] for name in SPLITS[:3]}, "me/pets")
