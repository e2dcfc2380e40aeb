"""The axes along which drawings tell photos apart keep more of the order of photos than those of photos alone."""

import numpy as np
import pytest

from sketch_prompt.gallery.indexes import make_index
from sketch_prompt.gallery.indexes import recall as module
from sketch_prompt.gallery.indexes.axes import count_for, find_axes
from sketch_prompt.gallery.indexes.recall import QUERIES, queries_to_fit, recall, sample_queries

WIDTH = 64


def made(count, spread, seed):
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)) * spread + 0.5
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def photos():
    return made(4000, np.linspace(2, 0.5, WIDTH), 0)


@pytest.fixture(scope="module")
def drawings():
    return made(600, np.linspace(0.05, 2, WIDTH) ** 4, 1)  # they vary where photos vary least


def nearest(queries, photos, top_k=10):
    return np.argsort(-(queries @ photos.T), axis=1)[:, :top_k]


def test_all_axes_keep_the_order_of_photos(photos, drawings):
    axes = find_axes(photos, drawings[:300], WIDTH)
    queries, rows = drawings[300:350] @ axes.of_queries.T, (photos - axes.mean) @ axes.of_photos.T
    assert recall(nearest(queries, rows), nearest(drawings[300:350], photos)) > 0.99
    assert np.linalg.norm(rows, axis=1).mean() == pytest.approx(1, abs=1e-3)


def test_few_axes_find_for_other_drawings_what_a_pca_of_photos_misses(photos, drawings):
    truth, queries = nearest(drawings[300:400], photos), drawings[300:400]
    axes = find_axes(photos, drawings[:300], 24)
    ours = nearest(queries @ axes.of_queries.T, (photos - axes.mean) @ axes.of_photos.T, 100)
    basis = np.linalg.svd(photos - photos.mean(0), full_matrices=False)[2][:24].T
    pca = nearest(queries @ basis, (photos - photos.mean(0)) @ basis, 100)
    found = [np.mean([np.isin(t, row).mean() for t, row in zip(truth, rows)]) for rows in (ours, pca)]
    assert found[0] > 0.95 and found[0] > found[1] + 0.2


def test_what_recall_is_measured_with_fits_no_axes(photos, drawings, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_DRAWINGS", 500)
    measured = {row.tobytes() for row in sample_queries(photos, lambda: drawings)}
    fitted = {row.tobytes() for row in queries_to_fit(photos, lambda: drawings)}
    assert len(measured) == QUERIES and len(fitted) >= 2 * QUERIES and not measured & fitted
    few = drawings[:QUERIES]
    assert len(queries_to_fit(photos, lambda: few)) == len(sample_queries(photos, lambda: few)) == QUERIES


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_an_index_of_few_axes_finds_for_drawings_what_exact_search_finds(kind, photos, drawings, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_DRAWINGS", 500)
    index = make_index(kind, "binary")
    index.drawings = lambda: drawings[:400]
    index.build(np.arange(len(photos)), photos)
    found = index.search(drawings[400:500], 10).ids
    assert recall(found, nearest(drawings[400:500], photos)) >= 0.93


def test_a_photo_takes_less_than_a_bit_a_number_at_the_width_of_vit_b_32():
    assert count_for(512) * 4 < 512 and count_for(8) == 8


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_photos_that_are_all_the_same_are_found(kind):
    photos = np.repeat(made(1, 1, 0), 3000, axis=0)
    index = make_index(kind, "binary")
    index.build(np.arange(3000), photos)
    found = index.search(photos[:1], 3)
    assert (found.ids >= 0).all() and found.scores[0] == pytest.approx(1, abs=1e-6)
