"""Galleries whose vectors are in milvus-lite."""

import numpy as np
import pytest

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery

pytest.importorskip("milvus_lite", reason="needs the extra 'scale': pip install 'sketch-prompt[scale]'")


def found(gallery, **options):
    return [hit.path for hit in gallery.search(picture(3), 5, **options)]


@pytest.fixture
def gallery(model, photos, tmp_path):
    gallery = Gallery.build(model, photos, tmp_path / "gallery", index="milvus", progress=False)
    yield gallery
    gallery.index.close()


def test_it_finds_what_exact_search_finds(gallery, photos):
    exact = Gallery.build(make_model(), photos, progress=False)
    assert found(gallery) == found(exact)
    assert found(gallery, filters={"category": "dog"}) == found(exact, filters={"category": "dog"})
    assert gallery.index.describe()["backend"] == "milvus"


def test_it_is_saved_loaded_and_kept_up_to_date(gallery, photos, tmp_path):
    expected = found(gallery)
    gallery.index.close()
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert found(again) == expected
    write_photos(photos, {"horse": 2}, first=300)
    (photos / "cat" / "0.jpg").unlink()
    again.index.close()
    newer = Gallery.build(make_model(), photos, tmp_path / "gallery", index="milvus", progress=False)
    assert len(newer.index) == len(newer) == 10
    assert newer.search(picture(301), 1)[0].path == str(photos / "horse" / "1.jpg")
    newer.index.close()


def test_a_change_that_was_never_saved_is_undone_when_the_gallery_is_opened(gallery, photos, tmp_path):
    expected = found(gallery)
    gallery.add([picture(3)], names=["never saved"], progress=False)
    gallery.remove("cat/1.jpg")
    assert found(gallery) != expected
    gallery.index.close()  # as if the process had been killed here
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert found(again) == expected and len(again.index) == 9
    again.index.close()


def test_a_database_that_is_gone_is_filled_again(gallery, tmp_path):
    expected = found(gallery)
    gallery.index.close()
    (tmp_path / "gallery" / "gallery.db").rename(tmp_path / "away")
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert found(again) == expected
    again.index.close()


def test_it_needs_a_folder_and_stays_there(gallery, model, tmp_path):
    with pytest.raises(ValueError, match="needs a folder"):
        Gallery.build(model, [picture(0)], index="milvus", progress=False)
    with pytest.raises(ValueError, match="cannot be saved elsewhere"):
        gallery.save(tmp_path / "elsewhere")
    np.testing.assert_array_equal(np.sort(gallery.photos.ids), gallery.photos.ids)


def test_an_address_without_a_server_is_a_clear_error(model, photos, tmp_path):
    with pytest.raises(OSError, match=r"Milvus at http://127\.0\.0\.1:9"):
        Gallery.build(
            model,
            photos,
            tmp_path / "gallery",
            index="milvus",
            milvus_uri="http://127.0.0.1:9",
            progress=False,
        )
