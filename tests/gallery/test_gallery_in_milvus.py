"""Galleries whose vectors are in milvus-lite."""

import numpy as np
import pytest

from fakes.photos import assert_same_hits_after_changes, found, make_model, picture, write_photos
from sketch_prompt import Gallery

pytest.importorskip("milvus_lite", reason="needs the extra 'scale': pip install 'sketch-prompt[scale]'")


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


KINDS = ["?index_type=HNSW&M=16&efConstruction=64&ef=64", "?index_type=IVF_FLAT&nlist=4&nprobe=4"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_of_milvus_is_chosen_stays_and_finds_what_exact_search_finds(kind, model, photos, tmp_path):
    name = kind.partition("=")[2].partition("&")[0]
    exact = Gallery.build(make_model(), photos, progress=False)
    gallery = Gallery.build(
        model, photos, tmp_path / "gallery", index="milvus", milvus_uri=kind, progress=False
    )
    assert found(gallery) == found(exact)
    gallery.index.close()
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert again.index.describe()["index_type"] == name
    assert again.index._client.describe_index("photos", "features")["index_type"] == name
    assert_same_hits_after_changes(again, exact)
    again.index.close()


def test_another_index_of_milvus_is_built_if_it_is_asked_for_and_other_search_parameters_build_none(
    gallery, tmp_path
):
    expected = found(gallery)
    gallery.index.close()
    other = Gallery.load(tmp_path / "gallery", make_model(), milvus_uri=KINDS[1])
    assert other.index._client.describe_index("photos", "features")["index_type"] == "IVF_FLAT"
    other.save(tmp_path / "gallery")
    other.index.close()
    wider = Gallery.load(tmp_path / "gallery", make_model(), milvus_uri="?nprobe=2")
    assert wider.index._client.describe_index("photos", "features")["index_type"] == "IVF_FLAT"
    assert len(found(wider)) == len(expected)
    wider.index.close()
    with pytest.raises(ValueError, match="has parameters of an index but no index_type="):
        Gallery.load(tmp_path / "gallery", make_model(), milvus_uri="?nlist=2")


def test_parameters_of_an_index_that_only_a_server_has_are_handed_to_it():
    from pymilvus import MilvusClient

    from sketch_prompt.gallery.indexes.milvus import MilvusIndex

    class Client:
        create_schema = staticmethod(MilvusClient.create_schema)
        prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

        def create_collection(self, name, schema, index_params, consistency_level):
            (self.index,) = index_params

        def has_collection(self, name):
            return True

        def query(self, name, output_fields):
            return [{"count(*)": 1}]

        def search(self, name, search_params, **others):
            self.search_params = search_params
            return [[{"distance": 1.0, "id": 0}]]

    index = MilvusIndex(
        "http://cluster:19530?collection=photos&index_type=IVF_RABITQ&nlist=4096&refine=true&nprobe=64"
    )
    index._opened = client = Client()
    index._create(8)
    index.search(np.ones((1, 8), np.float32), 1)
    assert index.uri == "http://cluster:19530" and client.index.index_type == "IVF_RABITQ"
    assert client.index.to_dict()["nlist"] == 4096 and client.index.to_dict()["refine"] is True
    assert client.search_params == {"metric_type": "IP", "params": {"nprobe": 64}}


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
