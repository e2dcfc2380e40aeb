"""A corpus embedded in parts: the gallery of one process, from folders, shards and data sets."""

import io
import json
import tarfile

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.gallery.corpus import embed_corpus, open_corpus, part_file


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = write_photos(tmp_path_factory.mktemp("photos") / "some", {"cat": 6, "dog": 5})
    (folder / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing else")
    return folder


@pytest.fixture(scope="module")
def alone(photos):
    """The gallery that one process makes of the photos."""
    return Gallery.build(make_model(), photos, progress=False)


def of_table(output, photos, **options):
    return Gallery.from_embeddings(output, model=make_model(), photos_dir=photos, **options)


def assert_same(gallery, other):
    assert gallery.photos.paths.tolist() == other.photos.paths.tolist()
    np.testing.assert_allclose(gallery.features, other.features, atol=1e-6)
    ours, theirs = (each.search(picture(3), 5) for each in (gallery, other))
    assert [hit.path for hit in ours] == [hit.path for hit in theirs]


@pytest.mark.parametrize("name", ["vectors", "vectors.lance"])
def test_its_gallery_is_that_of_one_process(name, photos, alone, tmp_path):
    if name.endswith(".lance"):
        pytest.importorskip("lance")
    done = embed_corpus(make_model(), photos, tmp_path / name, part_rows=5, progress=False)
    assert (done.photos, done.unreadable, done.parts, done.resumed) == (12, 1, 3, 0)
    gallery = of_table(tmp_path / name, photos)
    assert_same(gallery, alone)
    assert [image.path for image in gallery.skipped] == ["dog/broken.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_that_was_killed_goes_on_and_embeds_nothing_twice(photos, tmp_path):
    embed_corpus(make_model(), photos, tmp_path / "vectors", part_rows=5, progress=False)
    part_file(tmp_path / "vectors", 1).unlink()
    untouched = part_file(tmp_path / "vectors", 0).read_bytes()
    model = make_model()
    done = embed_corpus(model, photos, tmp_path / "vectors", part_rows=5, progress=False)
    assert (done.resumed, model.embedded, done.photos) == (2, 5, 12)
    assert part_file(tmp_path / "vectors", 0).read_bytes() == untouched


def test_parts_of_another_corpus_or_model_are_not_mixed(photos, tmp_path):
    folder = write_photos(tmp_path / "mine", {"cat": 3})
    embed_corpus(make_model(), folder, tmp_path / "vectors", progress=False)
    with pytest.raises(ValueError, match="a corpus of other model: embed into another folder"):
        embed_corpus(make_model(seed=1), folder, tmp_path / "vectors", progress=False)
    write_photos(folder, {"cow": 1}, first=50)
    with pytest.raises(ValueError, match="a corpus of other photos: embed into another folder"):
        embed_corpus(make_model(), folder, tmp_path / "vectors", progress=False)
    with pytest.raises(ValueError, match="holds other Parquet files"):
        (tmp_path / "vectors" / "corpus.json").unlink()
        embed_corpus(make_model(), folder, tmp_path / "vectors", progress=False)
    with pytest.raises(ValueError, match="there are no photos"):
        (tmp_path / "empty").mkdir()
        embed_corpus(make_model(), tmp_path / "empty", tmp_path / "other", progress=False)


def test_shards_of_webdataset_give_what_the_folder_gives(photos, alone, tmp_path):
    (tmp_path / "shards").mkdir()
    for category in ("cat", "dog"):
        with tarfile.open(tmp_path / "shards" / f"{category}.tar", "w") as shard:
            for path in sorted((photos / category).iterdir()):
                shard.add(path, f"{category}/{path.name}")
            note = tarfile.TarInfo(f"{category}/0.json")
            shard.addfile(note, io.BytesIO(b""))
    done = embed_corpus(make_model(), tmp_path / "shards", tmp_path / "vectors", progress=False)
    assert (done.photos, done.unreadable, done.parts) == (12, 1, 2)
    gallery = of_table(tmp_path / "vectors", None, check=0)
    assert gallery.photos.paths[0] == "cat.tar/cat/0.jpg"
    np.testing.assert_allclose(gallery.features, alone.features, atol=1e-6)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "shards" / "cat.tar").read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"cut\.tar cannot be read as a tar file"):
        embed_corpus(make_model(), tmp_path / "cut.tar", tmp_path / "other", progress=False)


def test_a_data_set_gives_what_its_gallery_gives(tmp_path):
    rows = {"image": [picture(number) for number in range(7)], "label": ["cat", "dog"] * 3 + ["cat"]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    table = datasets.Dataset.from_dict(rows, features)
    embed_corpus(make_model(), table, tmp_path / "vectors", part_rows=3, progress=False)
    gallery = of_table(tmp_path / "vectors", None, check=0)
    other = Gallery.build(make_model(), table, progress=False)
    assert gallery.photos.paths.tolist() == other.photos.paths.tolist() == [f"row {n}" for n in range(7)]
    np.testing.assert_allclose(gallery.features, other.features, atol=1e-6)
    written = [
        row for part in range(3) for row in pq.read_table(part_file(tmp_path / "vectors", part)).to_pylist()
    ]
    assert [row["category"] for row in written] == rows["label"]


def test_photos_of_a_shard_are_read_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("sketch_prompt.gallery.corpus._SHARD_ROWS_AT_ONCE", 4)
    with tarfile.open(tmp_path / "one.tar", "w") as shard:
        for number in range(10):
            content = io.BytesIO()
            Image.new("RGB", (8, 8), (number, 0, 0)).save(content, "png")
            member = tarfile.TarInfo(f"{number}.png")
            member.size = content.tell()
            content.seek(0)
            shard.addfile(member, content)
    assert [len(source) for source in open_corpus(tmp_path / "one.tar").read(0)] == [4, 4, 2]


def test_the_command_embeds_and_index_makes_a_gallery_of_it(photos, tmp_path):
    vectors, gallery = str(tmp_path / "vectors"), str(tmp_path / "gallery")
    model = ["-m", "mini-frozen-clip", "--device", "cpu"]
    done = CliRunner().invoke(app, ["embed", str(photos), "-o", vectors, *model, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["photos"] == 12
    done = CliRunner().invoke(app, ["index", str(photos), "-o", gallery, "--embeddings", vectors, *model])
    assert done.exit_code == 0 and "they come from this CLIP" in done.output, done.output


def test_the_command_embeds_a_split_of_a_data_set_on_the_hub(tmp_path, monkeypatch):
    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        return datasets.Dataset.from_dict({"image": [picture(3)]}).cast_column("image", datasets.Image())

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    command = ["embed", "me/photos", "-o", str(tmp_path / "vectors"), "--split", "test", "--json"]
    done = CliRunner().invoke(app, [*command, "-m", "mini-frozen-clip", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert asked == [("me/photos", "test")] and json.loads(done.stdout)["photos"] == 1
