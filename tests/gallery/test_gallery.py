import os
import shutil

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.metrics import FeatureScores
from sketch_prompt.metrics.ranking import rank


def names(gallery):
    return sorted(gallery.photos.paths)


def test_a_search_ranks_photos_as_the_models_own_features_do(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    query = picture(3)
    files = sorted(str(path) for path in photos.rglob("*.*"))
    with torch.no_grad():
        features = model.get_photo_features(model.processor(photos=files)["photo_pixel_values"])
        drawn = model.get_sketch_features(model.processor(sketches=query)["sketch_pixel_values"])
    expected = rank(FeatureScores(drawn.numpy(), features.numpy()), 5)
    hits = gallery.search(query, top_k=5)
    assert [hit.path for hit in hits] == [files[index] for index in expected.indices[0]]
    np.testing.assert_allclose([hit.score for hit in hits], expected.scores[0], atol=1e-5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert {hit.category for hit in gallery.search(query, 99)} == {"cat", "dog", None}
    assert len(gallery.search(query, 99)) == len(gallery) == 9


def test_folder_data_set_and_pictures_make_the_same_gallery(model, photos):
    files = sorted(str(path) for path in photos.rglob("*.*"))
    pictures = [Image.open(file) for file in files]
    table = datasets.Dataset.from_dict({"image": files}).cast_column("image", datasets.Image())
    encoded = table.map(lambda row: row, batched=True)  # bytes in the table instead of paths
    galleries = [
        Gallery.build(model, each, progress=False) for each in (photos, files, pictures, table, encoded)
    ]
    for gallery in galleries[1:]:
        np.testing.assert_allclose(gallery.features, galleries[0].features, atol=1e-5)
        for hit in gallery.search(pictures[4], 3):
            assert gallery.image(hit).size == (40, 40)


def test_labels_of_a_data_set_are_categories(model, photos):
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]))
    rows = {"image": [str(photos / "cat/0.jpg"), str(photos / "dog/0.jpg")], "label": [0, 1]}
    gallery = Gallery.build(model, datasets.Dataset.from_dict(rows, features=features), progress=False)
    assert [photo.category for photo in gallery.photos] == ["cat", "dog"]
    with pytest.raises(ValueError, match="no column 'image' but pixels"):
        gallery.add(datasets.Dataset.from_dict({"pixels": [1]}))


def test_filters_keep_only_what_they_name(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    found = gallery.search(picture(0), 99, filters={"category": "DOG"})
    assert [hit.category for hit in found] == ["dog"] * 3
    found = gallery.search(
        picture(0), 99, filters={"category": ["cat", "dog"], "path": ["*/1.jpg", "*/2.jpg"]}
    )
    assert sorted(os.path.relpath(hit.path, photos) for hit in found) == [
        "cat/1.jpg",
        "cat/2.jpg",
        "dog/1.jpg",
        "dog/2.jpg",
    ]
    assert len(gallery.search(picture(0), 99, filters=lambda photo: photo.category is None)) == 2
    assert gallery.search(picture(0), 99, filters={"path": "2024/*"}) == []
    for wanted in ("catt", ["dog", "Catt"]):
        with pytest.raises(ValueError, match=r"no photo has the category '[Cc]att'; did you mean 'cat'"):
            gallery.search(picture(0), filters={"category": wanted})
    with pytest.raises(ValueError, match="no filter 'categry'; did you mean 'category'"):
        gallery.search(picture(0), filters={"categry": "cat"})


def test_equal_photos_are_ranked_in_the_order_in_which_they_came(model, tmp_path):
    write_photos(tmp_path, {"a": 30})
    for number in range(5):
        shutil.copy(tmp_path / "a" / "7.jpg", tmp_path / "a" / f"copy {number}.jpg")
    gallery = Gallery.build(model, tmp_path, progress=False)
    assert model.embedded == 30  # each content once
    hits = gallery.search(picture(7), 6)
    assert len({hit.score for hit in hits}) == 1
    assert [hit.id for hit in hits] == sorted(hit.id for hit in hits)
    assert [hit.id for hit in gallery.search(picture(7), 3)] == [hit.id for hit in hits[:3]]


def test_only_new_content_is_embedded(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    assert model.embedded == gallery.changes.embedded == 9
    ids = {photo.path: photo.id for photo in gallery.photos}

    changes = gallery.refresh(progress=False)
    assert (changes.unchanged, changes.embedded, changes.added, changes.removed) == (9, 0, 0, 0)

    picture(500).save(photos / "cat" / "new.jpg")
    (photos / "dog" / "0.jpg").unlink()
    (photos / "cat" / "0.jpg").rename(photos / "moved.jpg")
    os.utime(photos / "cat" / "1.jpg", (1, 1))
    picture(501).save(photos / "cat" / "2.jpg")
    changes = gallery.refresh(progress=False)
    assert (changes.added, changes.removed, changes.renamed, changes.changed) == (1, 1, 1, 1)
    assert changes.embedded == 2 and model.embedded == 11
    assert names(gallery) == sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*"))
    assert gallery.photos[gallery.photos.rows["moved.jpg"]].id == ids["cat/0.jpg"]
    for seed, path in ((500, "cat/new.jpg"), (501, "cat/2.jpg"), (0, "moved.jpg"), (1, "cat/1.jpg")):
        assert gallery.search(picture(seed), 1)[0].path == str(photos / path)
    fresh = Gallery.build(make_model(), photos, progress=False)
    rows = [gallery.photos.rows[path] for path in fresh.photos.paths]
    np.testing.assert_allclose(gallery.features[rows], fresh.features, atol=1e-6)


def test_content_that_changes_within_the_clocks_grain_is_noticed(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    path = photos / "cat" / "0.jpg"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 0x55
    path.write_bytes(content)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert gallery.refresh(progress=False).changed == 1


def test_a_photo_that_comes_back_is_not_embedded_again(model, photos, tmp_path):
    gallery = Gallery.build(model, photos, progress=False)
    (photos / "cat").rename(tmp_path / "elsewhere")
    assert gallery.refresh(progress=False).removed == 4
    (tmp_path / "elsewhere").rename(photos / "cat")
    changes = gallery.refresh(progress=False)
    assert (changes.added, changes.embedded, model.embedded) == (4, 0, 9)


def test_photos_are_added_and_removed_by_name_path_and_id(model, photos, tmp_path):
    gallery = Gallery.build(model, photos, progress=False)
    picture(200).save(tmp_path / "outside.png")
    changes = gallery.add([tmp_path / "outside.png", picture(201), picture(202)], names=["red", "blue"])
    assert (changes.added, len(gallery)) == (3, 12)
    assert gallery.search(picture(200), 1)[0].path == str(tmp_path / "outside.png")
    hit = gallery.search(picture(202), 1)[0]
    assert hit.path == "blue" and gallery.image(hit).tobytes() == picture(202).tobytes()
    gallery.remove(["red", photos / "cat" / "0.jpg", "cat/1.jpg", hit.id])
    assert len(gallery) == 8
    assert gallery.search(picture(202), 1)[0].path != "blue"
    for unknown in ("red", 10_000):
        with pytest.raises(ValueError, match="there is no photo"):
            gallery.remove(["cat/2.jpg", unknown])
    assert "cat/2.jpg" in gallery.photos  # nothing is removed if one is unknown
    (tmp_path / "outside.png").unlink()
    assert gallery.refresh(progress=False).added == 2
    assert str(tmp_path / "outside.png") not in gallery.photos


def test_adding_a_photo_under_a_name_that_is_taken_replaces_it(model):
    gallery = Gallery(model)
    gallery.add([picture(0)], names=["mine"], progress=False)
    changes = gallery.add([picture(1)], names=["mine"], progress=False)
    assert (len(gallery), changes.changed, changes.added) == (1, 1, 0)
    assert gallery.image("mine").tobytes() == picture(1).tobytes()
    with pytest.raises(ValueError, match="2 names were given for 1 pictures"):
        gallery.add([picture(2)], names=["a", "b"])


def test_what_cannot_be_added_is_said(model, photos, tmp_path):
    gallery = Gallery(model)
    with pytest.raises(ValueError, match="not all different"):
        gallery.add([picture(0), picture(1)], names=["a", "a"])
    with pytest.raises(TypeError, match="a path or a PIL image, not int"):
        gallery.add([photos, 5])
    table = datasets.Dataset.from_dict({"image": [picture(0)]})
    with pytest.raises(ValueError, match="2 names were given for 1 rows"):
        gallery.add(table, names=["a", "b"])
    for _ in range(2):
        gallery.add(
            [tmp_path / "missing.jpg", photos / "cat" / "0.jpg", photos / "cat" / "0.jpg"], progress=False
        )
        assert len(gallery) == len(gallery.skipped) == 1
    picture(9).save(tmp_path / "missing.jpg")
    gallery.add(tmp_path / "missing.jpg", progress=False)
    assert (len(gallery), gallery.skipped) == (2, [])
    with pytest.raises(FileNotFoundError):
        Gallery.build(model, tmp_path / "nowhere", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_pictures_without_names_get_one_each(model):
    gallery = Gallery.build(model, [picture(0), picture(1)], progress=False)
    gallery.add(picture(2), progress=False)
    gallery.remove("picture 1")
    gallery.add([picture(3), picture(4)], progress=False)
    assert len(set(gallery.photos.paths)) == len(gallery) == 4
    assert gallery.image(gallery.search(picture(4), 1)[0]).tobytes() == picture(4).tobytes()


def test_an_empty_gallery_can_be_searched_and_filled(model):
    gallery = Gallery(model)
    assert gallery.search(picture(0)) == []
    gallery.add(picture(0), progress=False)
    gallery.remove("picture 1")
    assert gallery.search(picture(0)) == []
    bundled = Gallery("mini-frozen-clip", device="cpu")
    assert bundled.search(text="a cup") == bundled.search(picture(0), text="a cup") == []


def test_a_folder_that_vanished_or_is_empty_does_not_empty_the_gallery(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    photos.rename(photos.with_name("away"))
    with pytest.raises(FileNotFoundError, match="not a folder of photos"):
        gallery.refresh()
    photos.mkdir()
    with pytest.raises(ValueError, match="Is the drive connected"):
        gallery.refresh()
    assert len(gallery) == 9
    with pytest.raises(ValueError, match="not built from a folder"):
        Gallery(model).refresh()


def test_wrong_queries_are_clear_errors(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    with pytest.raises(ValueError, match="give a sketch, a text, or both"):
        gallery.search()
    with pytest.raises(ValueError, match="at least 1, not 0"):
        gallery.search(picture(0), top_k=0)
    with pytest.raises(ValueError, match=r"cat\.txt: no such file"):
        gallery.search("cat.txt")


def test_text_and_sketch_share_the_query_by_weight():
    gallery = Gallery("mini-frozen-clip")
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    gallery.add([red, blue, picture(0), picture(1)], names=["red", "blue", "a", "b"], progress=False)
    by_sketch = gallery.search(red, 4)
    by_text = gallery.search(text="a photo of a house", top_k=4)
    assert by_sketch[0].path == "red"
    assert [hit.path for hit in gallery.search(red, 4, text="a photo of a house", weight=0)] == [
        hit.path for hit in by_sketch
    ]
    assert [hit.path for hit in gallery.search(red, 4, text="a photo of a house", weight=1)] == [
        hit.path for hit in by_text
    ]
    with pytest.raises(ValueError, match="between 0"):
        gallery.search(red, text="x", weight=1.5)
    with pytest.raises(ValueError, match="the text is empty"):
        gallery.search(text="  ")


def test_another_adapter_than_the_gallerys_is_refused(photos, tmp_path):
    model = make_model(method="clip-at")
    gallery = Gallery.build(model, photos, progress=False)
    model.add_adapter(model.config, "other")
    with pytest.raises(ValueError, match="adapter is 'default', but 'other' is active"):
        gallery.search(picture(0))


def test_a_figure_shows_query_and_photos(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    hits = gallery.search(picture(0), 8)
    (photos / "cat" / "0.jpg").write_bytes(b"gone")
    figure = gallery.plot(hits, picture(0))
    assert sum(ax.axison for ax in figure.axes) == 9
    assert gallery.plot(gallery.search(picture(0), 1), text="a red chair").axes
