"""Vectors that are there already become a gallery, if they are this CLIP's."""

import os

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fakes.clip import write_clip
from fakes.photos import make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.gallery.vectors import read_embeddings


@pytest.fixture
def built(model, photos):
    """The gallery of the photos, embedded as always."""
    return Gallery.build(model, photos, progress=False)


def found(gallery, **options):
    return [(hit.path, round(hit.score, 4)) for hit in gallery.search(picture(3), 9, **options)]


def read_all(source):
    names, vectors = zip(*source.batches())
    return [name for part in names for name in part], np.concatenate(vectors)


def write_clip_retrieval(folder, vectors, paths, parts=2):
    """What `clip-retrieval inference` leaves: numbered arrays of float16 with tables of paths, texts beside them."""
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    rows = np.array_split(np.arange(len(paths)), parts)
    for number, part in enumerate(rows):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[part].astype(np.float16))
        np.save(folder / "text_emb" / f"text_emb_{number}.npy", vectors[part].astype(np.float16))
        table = pa.table({"image_path": [paths[row] for row in part], "caption": ["?"] * len(part)})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def test_vectors_and_paths_are_searched_like_the_photos_themselves(model, built, photos, tmp_path):
    vectors, paths = 3.0 * built.features, built.photos.paths.tolist()
    model.embedded = 0
    folder = tmp_path / "gallery"
    gallery = Gallery.from_embeddings(vectors, paths, model=model, photos_dir=photos, output=folder)
    assert found(gallery) == found(built) == found(Gallery.load(folder, model, photos_dir=photos))
    assert gallery.changes.embedded == 0 and gallery.changes.added == 9
    assert gallery.changes.checked == model.embedded == 8
    assert gallery.image(0).size == (40, 40)
    assert {hit.category for hit in gallery.search(picture(3), 9, {"category": "dog"})} == {"dog"}


def test_the_folder_of_clip_retrieval_is_read(model, built, photos, tmp_path):
    paths = [str(photos / name) for name in built.photos.paths]
    folder = write_clip_retrieval(tmp_path / "output", built.features, paths)
    gallery = Gallery.from_embeddings(read_embeddings(folder), model=model)
    assert [path for path, _ in found(gallery)] == [path for path, _ in found(built)]
    np.testing.assert_allclose(gallery.features, built.features, atol=2e-3)


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path):
    vectors = np.arange(24, dtype=np.float32).reshape(12, 2) + 1
    folder = write_clip_retrieval(tmp_path / "output", vectors, [str(n) for n in range(12)], parts=12)
    names, rows = read_all(read_embeddings(folder))
    assert names == [str(n) for n in range(12)]
    np.testing.assert_array_equal(rows, vectors)


def test_a_parquet_table_and_a_column_of_a_data_set_are_read(model, built, photos, tmp_path):
    names = built.photos.paths.tolist()
    table = pa.table({"path": names, "embedding": built.features.tolist()})
    pq.write_table(table, tmp_path / "vectors.parquet")
    gallery = Gallery.from_embeddings(
        read_embeddings(tmp_path / "vectors.parquet"), model=model, photos_dir=photos
    )
    data = datasets.Dataset.from_dict({"name": names, "clip": built.features.tolist()})
    other = Gallery.from_embeddings(data["clip"], data["name"], model=model, photos_dir=photos)
    assert found(gallery) == found(other) == found(built)


def test_vectors_of_another_clip_are_refused(model, built, photos):
    other = Gallery.build(make_model(seed=1), photos, progress=False)
    with pytest.raises(ValueError, match="the vectors are not this CLIP's"):
        Gallery.from_embeddings(other.features, other.photos.paths, model=model, photos_dir=photos)
    with pytest.raises(ValueError, match="they come from another model"):
        Gallery.from_embeddings(built.features[:, :-1], built.photos.paths, model=model, photos_dir=photos)


def test_photos_that_are_not_here_cannot_be_checked_and_are_found_by_name(model, built):
    names = [f"asset-{number}" for number in range(9)]
    gallery = Gallery.from_embeddings(built.features, names, model=model)
    assert gallery.changes.checked == 0
    assert {path for path, _ in found(gallery)} == set(names)


def test_rows_that_are_no_vectors_are_left_out_and_named(model, built, photos):
    vectors, names = built.features.copy(), built.photos.paths.tolist()
    vectors[2], vectors[5] = np.nan, 0
    gallery = Gallery.from_embeddings(vectors, names, model=model, photos_dir=photos)
    assert len(gallery) == 7
    assert sorted(image.path for image in gallery.skipped) == sorted([names[2], names[5]])


def test_rows_without_a_vector_are_left_out_and_others_of_the_table_are_kept(model, built, tmp_path):
    rows = [*built.features[:3].tolist(), None]
    pq.write_table(pa.table({"path": list("abcd"), "embedding": rows}), tmp_path / "table.parquet")
    gallery = Gallery.from_embeddings(tmp_path / "table.parquet", model=model)
    assert gallery.photos.paths.tolist() == ["a", "b", "c"]
    assert [image.path for image in gallery.skipped] == ["d"]


@pytest.mark.parametrize("column", [[[1.0], [1.0, 2.0]], [["a"], ["b"]], [1.0, 2.0]])
def test_a_column_that_holds_no_vectors_is_refused(column, tmp_path):
    pq.write_table(pa.table({"path": ["a", "b"], "embedding": column}), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="differ in width, or are not numbers"):
        read_all(read_embeddings(tmp_path / "table.parquet"))


def test_the_same_call_brings_a_gallery_up_to_date(model, built, photos, tmp_path):
    vectors, names, folder = built.features, built.photos.paths.tolist(), tmp_path / "gallery"
    Gallery.from_embeddings(vectors[:7], names[:7], model=model, photos_dir=photos, output=folder)
    ids = dict(zip(names, Gallery.load(folder, model).photos.ids.tolist()))
    gallery = Gallery.from_embeddings(vectors[2:], names[2:], model=model, photos_dir=photos, output=folder)
    assert (gallery.changes.unchanged, gallery.changes.added, gallery.changes.removed) == (5, 2, 2)
    again = Gallery.load(folder, model, photos_dir=photos)
    assert set(again.photos.paths) == set(names[2:])
    assert all(ids[photo.path] == photo.id for photo in again.photos if photo.path in names[:7])
    assert found(again) == found(gallery)


def test_a_gallery_of_another_model_is_not_written_over(built, photos, tmp_path):
    folder = tmp_path / "gallery"
    Gallery.build(make_model(seed=1), photos, folder, progress=False)
    with pytest.raises(ValueError, match="was made with another model"):
        Gallery.from_embeddings(built.features, built.photos.paths, model=make_model(), output=folder)
    assert len(Gallery.load(folder, make_model(seed=1))) == 9


def test_the_place_of_photos_in_a_container_is_taken_off(model, built, photos, tmp_path):
    names = [f"/usr/src/app/upload/{path}" for path in built.photos.paths]
    table = pa.table({"path": names, "embedding": built.features.tolist()})
    pq.write_table(table, tmp_path / "vectors.parquet")
    source = read_embeddings(tmp_path / "vectors.parquet", path_prefix="/usr/src/app/upload/")
    gallery = Gallery.from_embeddings(source, model=model, photos_dir=photos)
    assert found(gallery) == found(built) and gallery.changes.checked == 8


def test_what_does_not_belong_together_is_refused(model, built, tmp_path):
    with pytest.raises(ValueError, match="with N names"):
        Gallery.from_embeddings(built.features, ["one"], model=model)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_embeddings(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no embeddings"):
        read_embeddings(tmp_path)
    pq.write_table(pa.table({"where": ["a"], "numbers": [[1.0]]}), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="no column of paths under a usual name"):
        read_embeddings(tmp_path)
    with pytest.raises(ValueError, match="no column 'wher'; did you mean 'where'"):
        read_embeddings(tmp_path, "wher")
    assert read_all(read_embeddings(tmp_path, "where", "numbers"))[0] == ["a"]
    np.save(tmp_path / "vectors.npy", np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="names 1 photos, but there are 2 vectors"):
        read_embeddings(tmp_path, "where")


def test_a_refresh_keeps_the_vectors_of_files_that_did_not_change(model, built, photos):
    for path in photos.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    gallery = Gallery.from_embeddings(built.features, built.photos.paths, model=model, photos_dir=photos)
    model.embedded = 0
    gallery.refresh(progress=False)
    assert len(gallery) == 9 and model.embedded == 0
    assert found(gallery) == found(built)


def test_the_command_takes_vectors_in_place_of_embedding(photos, tmp_path):
    clip = write_clip(tmp_path / "clip")
    plain = tmp_path / "plain"
    run = CliRunner().invoke
    result = run(
        app, ["index", str(photos), "-o", str(plain), "-m", "frozen-clip", "--base-model", str(clip)]
    )
    assert result.exit_code == 0, result.output
    built = Gallery.load(plain)
    paths = [str(photos / name) for name in built.photos.paths]
    folder = write_clip_retrieval(tmp_path / "output", built.features, paths)
    gallery = tmp_path / "gallery"
    result = run(app, ["index", "-o", str(gallery), "--embeddings", str(folder), "--base-model", str(clip)])
    assert result.exit_code == 0, result.output
    assert "Checked the vectors against 8 photos" in result.stderr
    assert [path for path, _ in found(Gallery.load(gallery))] == [path for path, _ in found(built)]
    assert run(app, ["index", "-o", str(gallery)]).exit_code == 2
