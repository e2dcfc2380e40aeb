"""A Lance table of vectors becomes a gallery."""

import numpy as np
import pyarrow as pa
import pytest

from fakes.photos import picture
from sketch_prompt import Gallery
from sketch_prompt.gallery.vectors import lance as reader
from sketch_prompt.gallery.vectors import read_embeddings

lance = pytest.importorskip("lance", reason="Lance tables need the extra lance")


def write(path, features, names, **columns):
    flat = pa.array(np.ravel(features), pa.float32())
    table = {"vector": pa.FixedSizeListArray.from_arrays(flat, features.shape[1]), "path": names, **columns}
    lance.write_dataset(pa.table(table), path)
    return path


@pytest.fixture
def built(model, photos):
    return Gallery.build(model, photos, progress=False)


def found(gallery):
    return [(hit.path, round(hit.score, 4)) for hit in gallery.search(picture(3), 9)]


def test_a_lance_table_is_searched_like_the_photos_themselves(model, built, photos, tmp_path):
    path = write(tmp_path / "photos.lance", built.features, built.photos.paths.tolist())
    gallery = Gallery.from_embeddings(path, model=model, photos_dir=photos)
    assert found(gallery) == found(built) and gallery.changes.checked == 8


def test_a_table_of_lancedb_is_found_in_its_folder(model, built, photos, tmp_path):
    path = write(tmp_path / "db" / "photos.lance", built.features, built.photos.paths.tolist())
    assert found(Gallery.from_embeddings(tmp_path / "db", model=model, photos_dir=photos)) == found(built)
    write(tmp_path / "db" / "words.lance", built.features, built.photos.paths.tolist())
    with pytest.raises(ValueError, match="holds 2 tables, photos, words: say which"):
        read_embeddings(path.parent)
    with pytest.raises(ValueError, match="no table 'photo'; did you mean 'photos'"):
        read_embeddings(path.parent, table="photo")
    names, rows = next(read_embeddings(path.parent, table="photos").batches())
    assert names == built.photos.paths.tolist() and np.array_equal(rows, built.features)


def test_a_lance_table_is_read_some_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "ROWS_AT_ONCE", 100)
    rows = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    path = write(tmp_path / "many.lance", rows, [str(number) for number in range(1000)])
    parts = list(read_embeddings(path).batches())
    assert max(len(names) for names, _ in parts) == 100
    assert np.array_equal(np.concatenate([part for _, part in parts]), rows)


def test_an_address_goes_to_lance_as_it_is(monkeypatch):
    asked = []

    def dataset(address):
        asked.append(address)
        raise ValueError("Dataset at path hf was not found: not here, /src/rust/lance.rs:1:2")

    monkeypatch.setattr(lance, "dataset", dataset)
    with pytest.raises(
        ValueError, match=r"cannot be read as a Lance table: Dataset at path hf was not found: not here$"
    ):
        read_embeddings("hf://datasets/someone/photos/photos.lance")
    with pytest.raises(ValueError):
        read_embeddings("s3://bucket/db", table="photos")
    assert asked == ["hf://datasets/someone/photos/photos.lance", "s3://bucket/db/photos.lance"]


def test_what_is_no_lance_table_of_vectors_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Lance table"):
        read_embeddings(tmp_path / "nowhere.lance")
    (tmp_path / "empty.lance").mkdir()
    with pytest.raises(ValueError, match="cannot be read as a Lance table"):
        read_embeddings(tmp_path / "empty.lance")
    path = write(tmp_path / "other.lance", np.ones((2, 3)), ["a", "b"], caption=["?", "?"])
    with pytest.raises(ValueError, match="no column 'vec'; did you mean 'vector'"):
        read_embeddings(path, vector_column="vec")
    with pytest.raises(ValueError, match="differ in width, or are not numbers"):
        next(read_embeddings(path, vector_column="caption").batches())
