"""Galleries whose vectors are in a Milvus server, which these tests start.

The package `milvus` (pip install milvus) contains a server for Linux on x86. MILVUS_TEST_URI names another one.
"""

import os
import time

import numpy as np
import pytest

from fakes.photos import assert_same_hits_after_changes, found, make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.gallery.indexes import make_index

pytest.importorskip("pymilvus", reason="needs the extra 'scale': pip install 'sketch-prompt[scale]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    given = os.environ.get("MILVUS_TEST_URI")
    if given:
        yield given
        return
    reason = "needs a server: pip install milvus, or set MILVUS_TEST_URI"
    milvus = pytest.importorskip("milvus", reason=reason)
    server = milvus.MilvusServer()
    server.set_base_dir(str(tmp_path_factory.mktemp("milvus")))
    server.start()
    yield f"http://127.0.0.1:{server.listen_port}"
    server.stop()


@pytest.fixture
def make(server, photos, tmp_path):
    """Makes galleries on the server, and drops their collections afterwards."""
    made = []

    def make(name="gallery", parameters="", photos=photos):
        output, uri = tmp_path / name, server + parameters
        gallery = Gallery.build(make_model(), photos, output, index="milvus", milvus_uri=uri, progress=False)
        made.append((gallery.index.collection, gallery.index))
        return gallery

    yield make
    for collection, index in made:
        index._client.drop_collection(collection)
        index.close()


KINDS = [
    "",
    "?index_type=HNSW&M=16&efConstruction=64&ef=64",
    "?index_type=IVF_SQ8&nlist=4&nprobe=4",
]


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_exact_search_finds_before_and_after_changes(kind, make, photos, tmp_path):
    exact = Gallery.build(make_model(), photos, progress=False)
    gallery = make(parameters=kind)
    for filters in (None, {"category": "dog"}):
        assert found(gallery, filters=filters) == found(exact, filters=filters)
    gallery.index.close()
    again = Gallery.load(tmp_path / "gallery", make_model())
    wanted = kind.partition("=")[2].partition("&")[0] or "AUTOINDEX"
    assert again.index._client.describe_index(again.index.collection, "features")["index_type"] == wanted
    assert_same_hits_after_changes(again, exact)
    again.index.close()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_an_index_that_the_server_has_built_finds_what_exact_search_finds(kind, server):
    index = make_index("milvus", uri=server + kind)
    vectors = np.random.default_rng(0).standard_normal((4000, 32), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.build(np.arange(4000), vectors)
    # Milvus compares all vectors of a segment until it is sealed; then it builds the index.
    index._client.flush(index.collection)
    for _ in range(120):
        state = index._client.describe_index(index.collection, "features")
        if state["indexed_rows"] == 4000 and not state["pending_index_rows"]:
            break
        time.sleep(0.5)
    assert state["indexed_rows"] == 4000
    queries = vectors[:50] + 0.1
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    ids = index.search(queries, 10).ids
    assert np.mean([np.isin(*pair).mean() for pair in zip(exact, ids)]) >= 0.9
    index._client.drop_collection(index.collection)
    index.close()


def test_galleries_that_share_a_server_keep_their_own_vectors(make, photos):
    first = make("first")
    expected = found(first)
    second = make("second", photos=photos / "cat")
    assert found(first) == expected != found(second)
    assert len(first.index) == len(first) > len(second.index) == len(second)


def test_a_collection_that_is_not_the_gallerys_is_not_replaced(make, tmp_path, photos):
    first = make("first", "?collection=holidays")
    expected = found(first)
    with pytest.raises(ValueError, match="has a collection 'holidays' already, which is not this gallery's"):
        make("second", "?collection=holidays", photos=photos / "cat")
    make("third", photos=photos / "cat").index.close()
    with pytest.raises(ValueError, match="has a collection 'holidays' already"):
        uri = f"{first.index.uri}?collection=holidays"
        Gallery.load(tmp_path / "third", make_model(), milvus_uri=uri)
    assert found(first) == expected


def test_indexing_again_keeps_the_collection_even_after_a_run_that_never_saved(make, photos, tmp_path):
    first = make()
    collection, expected = first.index.collection, found(first)
    first.add([picture(3)], names=["never saved"], progress=False)
    assert found(first) != expected
    first.index.close()  # as if the process had been killed here
    assert make().index.collection == collection
    for path in (tmp_path / "gallery").glob("gallery*.json"):
        path.unlink()  # as if it had been killed before the first save
    (tmp_path / "gallery" / "index-unsettled.milvus").write_text(collection)
    again = make()
    assert again.index.collection == collection and found(again) == expected
