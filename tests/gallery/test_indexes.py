import re
import sys

import numpy as np
import pytest

from sketch_prompt.gallery import indexes
from sketch_prompt.gallery.indexes import KINDS, make_index
from sketch_prompt.gallery.indexes import recall as module
from sketch_prompt.gallery.indexes.recall import recall

IN_MEMORY = ("exact", "hnsw", "ivf", "ivf-sq8", "ivf-pq")
APPROXIMATE = IN_MEMORY[1:]


def clustered(n, seed=0, width=32, clusters=40):
    """Unit vectors around centres that are the same for every seed."""
    centres = np.random.default_rng(99).standard_normal((clusters, width))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, clusters, n)] + 0.6 * generator.standard_normal((n, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def oracle(queries, vectors, ids, top_k):
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    return ids[np.argsort(-scores, axis=1, kind="stable")[:, :top_k]]


def make(kind, tmp_path, precision="auto"):
    if kind == "milvus":
        pytest.importorskip(
            "milvus_lite", reason="needs the extra 'scale': pip install 'sketch-prompt[scale]'"
        )
    if kind == "lance":
        pytest.importorskip("lance", reason="needs the extra 'lance': pip install 'sketch-prompt[lance]'")
    index = make_index(kind, precision)
    index.open(tmp_path / kind)
    (tmp_path / kind).mkdir()
    return index


# Every precision of every kind of index whose name does not say it.
PRECISE = [
    (kind, precision)
    for kind in ("exact", "hnsw", "ivf")
    for precision in ("float32", "float16", "int8", "binary")
    if (kind, precision) != ("hnsw", "binary")
]


@pytest.mark.parametrize(("kind", "precision"), PRECISE)
def test_in_any_precision_what_is_found_is_scored_and_ranked_in_full(kind, precision, tmp_path):
    vectors, ids, queries = clustered(900), np.arange(900) * 3 + 7, clustered(30, seed=1)
    index = make(kind, tmp_path, precision)
    index.build(ids, vectors)
    described = index.describe()
    assert (described["kind"], described["precision"]) == (kind, precision)
    found = index.search(queries, 10)
    assert recall(found.ids, oracle(queries, vectors, ids, 10)) >= 0.95
    rows = (found.ids - 7) // 3
    np.testing.assert_allclose(found.scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-6)
    allowed = index.search(queries, 5, ids[::50]).ids
    assert recall(allowed, oracle(queries, vectors[::50], ids[::50], 5)) >= 0.9


@pytest.mark.parametrize(("kind", "precision"), PRECISE)
def test_in_any_precision_vectors_come_and_go_and_a_saved_index_goes_on(kind, precision, tmp_path, caplog):
    vectors, queries, ids = clustered(900), clustered(20, seed=1), np.arange(900)
    index = make(kind, tmp_path, precision)
    index.build(ids[:800], vectors[:800])
    index.update(
        ids[100:150], ids[800:], np.delete(ids, slice(100, 150)), np.delete(vectors, slice(100, 150), 0)
    )
    left = np.delete(ids, slice(100, 150))
    assert len(index) == 850
    found = index.search(queries, 10).ids
    assert recall(found, oracle(queries, vectors[left], left, 10)) >= 0.9
    again = make_index(kind, precision)
    again.load(tmp_path / kind, index.save(tmp_path / kind, "index-1"), left, vectors[left])
    np.testing.assert_array_equal(again.search(queries, 10).ids, found)
    assert "rebuilt" not in caplog.text and again.describe() == index.describe()


@pytest.mark.parametrize(("photos", "asked"), [(600, 1), (400, 0)])
def test_recall_of_many_photos_is_measured_with_drawings(photos, asked, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_DRAWINGS", 500)
    vectors, ids, drawings, calls = clustered(photos), np.arange(photos), -clustered(60, seed=5), []
    index = make_index("ivf", "float32")
    index.drawings = lambda: calls.append(1) or drawings
    index.build(ids, vectors)
    assert len(calls) == asked
    if asked:
        found = recall(index.search(drawings, 10).ids, oracle(drawings, vectors, ids, 10))
        assert index.describe()["recall@10"] == pytest.approx(found, abs=1e-4)


def test_an_index_that_is_opened_in_another_precision_is_built_anew(tmp_path, caplog):
    vectors, ids = clustered(400), np.arange(400)
    index = make("exact", tmp_path, "int8")
    index.build(ids, vectors)
    again = make_index("exact", "binary")
    again.load(tmp_path, index.save(tmp_path, "index-1"), ids, vectors)
    assert "it is in int8 instead of binary" in caplog.text
    assert again.describe()["precision"] == "binary" and len(again) == 400


def test_fewer_bits_take_less_memory(tmp_path):
    vectors, ids, sizes = clustered(2000, width=64), np.arange(2000), {}
    for precision in ("float16", "int8", "binary"):
        index = make_index("exact", precision)
        index.build(ids, vectors)
        sizes[precision] = (tmp_path / index.save(tmp_path, precision)["file"]).stat().st_size / 2000
    assert sizes["float16"] < 2 * 64 + 8 + 2 and sizes["int8"] < 64 + 8 + 2
    assert (
        sizes["binary"] < 64 / 8 + 8 + 8 + 64 * 64 * 4 / 2000 + 2
    )  # half a byte for each of 24 axes, an id, the axes


@pytest.mark.parametrize(
    ("kind", "precision", "message"),
    [
        ("ivf-sq8", "binary", "'ivf-sq8' is in int8; for binary use index='ivf'"),
        ("hnsw", "binary", "does not support one bit for each number; for binary use index='ivf' or 'exact'"),
        ("auto", "int9", "no precision 'int9'; did you mean 'int8'"),
        ("milvus", "int8", "milvus chooses the precision itself"),
        ("lance", "binary", "lance chooses the precision itself"),
    ],
)
def test_a_precision_that_an_index_does_not_have_is_refused(kind, precision, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_index(kind, precision)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_is_what_exact_search_finds(kind, tmp_path):
    vectors, ids, queries = clustered(1500), np.arange(1500) * 3 + 7, clustered(40, seed=1)
    index = make(kind, tmp_path)
    index.build(ids, vectors)
    assert len(index) == 1500
    found = index.search(queries, 10)
    assert recall(found.ids, oracle(queries, vectors, ids, 10)) >= 0.95
    assert (np.diff(found.scores, axis=1) <= 0).all()
    rows = (found.ids - 7) // 3
    np.testing.assert_allclose(found.scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-5)
    if kind not in ("auto", "exact"):
        assert index.describe()["recall@10"] >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_come_and_go(kind, tmp_path):
    vectors, queries = clustered(1200), clustered(20, seed=1)
    ids = np.arange(1200)
    index = make(kind, tmp_path)
    index.build(ids[:1000], vectors[:1000])
    removed = np.unique(index.search(queries, 5).ids)
    left = np.setdiff1d(ids, removed)
    index.update(removed, ids[1000:], left, vectors[left])
    assert len(index) == len(left)
    found = index.search(queries, 10).ids
    assert not np.isin(found, removed).any()
    assert recall(found, oracle(queries, vectors[left], left, 10)) >= 0.9
    index.update(left, ids[:0], ids[:0], vectors[:0])
    assert (index.search(queries, 3).ids == -1).all() and len(index) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_vectors_are_found_however_few(kind, tmp_path):
    vectors, queries, ids = clustered(1500), clustered(20, seed=1), np.arange(1500)
    index = make(kind, tmp_path)
    index.build(ids, vectors)
    for allowed in (ids[::2], ids[::100], ids[700:703], ids[:0]):
        found = index.search(queries, 5, allowed).ids
        assert np.isin(found, np.append(allowed, -1)).all()
        expected = oracle(queries, vectors[allowed], allowed, 5)
        assert (found[:, len(allowed) :] == -1).all()
        if len(allowed):
            assert recall(found, expected) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_goes_on_where_it_was(kind, tmp_path):
    vectors, queries, ids = clustered(800), clustered(10, seed=1), np.arange(800)
    index = make(kind, tmp_path)
    index.build(ids, vectors)
    index.update(ids[:5], ids[:0], ids[5:], vectors[5:])
    saved = index.save(tmp_path / kind, "index-1")
    again = make_index(kind)
    again.open(tmp_path / kind)
    again.load(tmp_path / kind, {**saved, "own": True}, ids[5:], vectors[5:])
    np.testing.assert_array_equal(again.search(queries, 5).ids, index.search(queries, 5).ids)
    assert again.describe() == index.describe()


@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_index_is_built_anew_from_the_vectors(kind, damage, tmp_path, caplog):
    vectors, ids = clustered(400), np.arange(400)
    index = make(kind, tmp_path)
    index.build(ids, vectors)
    saved = index.save(tmp_path, "index-1")
    path = tmp_path / saved["file"]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "gone":
        path.unlink()
    else:
        ids, vectors = ids[:300], vectors[:300]
    again = make_index(kind)
    again.load(tmp_path, saved, ids, vectors)
    assert "is rebuilt" in caplog.text
    assert len(again) == len(ids) and again.search(vectors[:1], 1).ids[0, 0] == 0


def test_equal_vectors_score_equal_and_rank_by_id():
    vectors = np.repeat(clustered(37, width=29), 5, axis=0)
    index = make_index("exact")
    index.build(np.arange(len(vectors)), vectors)
    for query in clustered(10, seed=1, width=29):
        found = index.search(query[None], 12)
        order = np.lexsort((found.ids[0], -found.scores[0]))
        np.testing.assert_array_equal(order, np.arange(12))
        np.testing.assert_array_equal(found.ids, oracle(query[None], vectors, np.arange(len(vectors)), 12))


def test_photos_that_single_precision_cannot_tell_apart_rank_as_in_double():
    vectors = clustered(1, width=64) + 3e-7 * clustered(3000, seed=2, width=64)
    vectors[1000:1200] = vectors[500]
    vectors = 3 * vectors
    ids, queries = np.arange(3000) * 2, clustered(8, seed=1, width=64)
    index = make_index("exact")
    index.build(ids, vectors)
    for query in queries:
        for some in (slice(None), slice(None, None, 3)):
            allowed = None if some == slice(None) else ids[some]
            found = index.search(query[None], 12, allowed)
            scores = (vectors[some].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
            np.testing.assert_array_equal(found.ids[0], ids[some][np.argsort(-scores, kind="stable")[:12]])


def test_the_number_of_vectors_chooses_the_index(monkeypatch):
    assert [indexes.kind_for(size) for size in (1, 100_000, 100_001, 1_000_000, 20_000_000)] == [
        "exact",
        "exact",
        "hnsw",
        "ivf-sq8",
        "ivf-pq",
    ]
    assert [indexes.kind_for(size, "auto", "binary") for size in (10, 100_000, 100_001)] == [
        "exact",
        "exact",
        "ivf",
    ]
    assert [indexes.kind_for(size, "auto", "int8") for size in (300_000, 300_001)] == ["hnsw", "ivf"]
    monkeypatch.setattr(indexes, "EXACT_UP_TO", 300)
    vectors, ids = clustered(400), np.arange(400)
    index = make_index("auto")
    index.update(ids[:0], ids[:300], ids[:300], vectors[:300])
    assert index.describe()["kind"] == "exact"
    index.update(ids[:0], ids[300:], ids, vectors)
    assert index.describe()["kind"] == "hnsw" and len(index) == 400
    index.update(ids[260:], ids[:0], ids[:260], vectors[:260])
    assert index.describe()["kind"] == "exact" and len(index) == 260


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_an_index_that_has_changed_much_is_trained_anew(kind):
    vectors, ids = clustered(500), np.arange(500)
    index = make_index(kind)
    index.build(ids[:300], vectors[:300])
    for start in range(300, 500, 20):
        index.update(ids[:0], ids[start : start + 20], ids[: start + 20], vectors[: start + 20])
    fresh = make_index(kind)
    fresh.build(ids, vectors)
    assert index.describe()["recall@10"] >= fresh.describe()["recall@10"] - 0.05
    assert len(index) == 500


def test_an_unknown_index_names_the_nearest():
    with pytest.raises(ValueError, match="no index 'hnws'; did you mean 'hnsw'"):
        make_index("hnws")


def test_milvus_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    monkeypatch.delitem(sys.modules, "sketch_prompt.gallery.indexes.milvus", raising=False)
    with pytest.raises(ValueError, match=r"pip install 'sketch-prompt\[scale\]'"):
        make_index("milvus")
