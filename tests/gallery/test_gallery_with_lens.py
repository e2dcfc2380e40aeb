"""A lens searches the gallery of its CLIP as it is, and so do several."""

import hashlib

import numpy as np
import pytest
import torch

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.expansion import expand_queries
from sketch_prompt.lens import Lens


def with_lens(model, seed):
    """`model` with a lens that turns its queries."""
    dim = model.get_photo_features(torch.zeros(1, 3, 32, 32)).shape[1]
    random = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=random, dtype=torch.float64))[0]
    model.set_lens(Lens(0.1 * torch.randn(dim, generator=random).double(), turn, 1.0), "text", ["cup"])
    return model


def files_of(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_lenses_search_a_frozen_gallery_and_leave_its_files_as_they_are(model, photos, tmp_path):
    folder = tmp_path / "gallery"
    Gallery.build(model, photos, folder, progress=False)
    before = files_of(folder)
    plain = Gallery.load(folder, make_model()).search(picture(3), 9)
    found = []
    for seed in (1, 2):
        lens = with_lens(make_model(method="sketch-lens"), seed)
        lens.embedded = 0
        gallery = Gallery.load(folder, lens)
        hits = gallery.search(picture(3), 9)
        found.append([(hit.id, round(hit.score, 5)) for hit in hits])
        query = torch.from_numpy(gallery.embed_query(picture(3)))
        scores = torch.from_numpy(gallery.features) @ query
        assert [hit.score for hit in hits] == pytest.approx(
            scores.sort(descending=True).values.tolist(), abs=1e-5
        )
        assert lens.embedded == 0
    assert found[0] != found[1] and found[0] != [(hit.id, round(hit.score, 5)) for hit in plain]
    assert files_of(folder) == before


def test_photo_features_are_bit_equal_to_those_of_frozen_clip(model, photos):
    lens = with_lens(make_model(method="sketch-lens"), 1)
    frozen = Gallery.build(model, photos, progress=False)
    ours = Gallery.build(lens, photos, progress=False)
    assert np.array_equal(frozen.features, ours.features)
    assert frozen.collection.store.model == ours.collection.store.model


def test_a_frozen_clip_adds_photos_to_the_gallery_of_a_lens(photos, tmp_path):
    folder = tmp_path / "gallery"
    Gallery.build(with_lens(make_model(method="sketch-lens"), 1), photos, folder, progress=False)
    write_photos(photos, {"bird": 2}, first=50)
    model = make_model()
    gallery = Gallery.build(model, photos, folder, progress=False)
    assert len(gallery) == 11 and model.embedded == 2


def test_a_lens_of_another_clip_is_refused(model, photos, tmp_path):
    folder = tmp_path / "gallery"
    Gallery.build(model, photos, folder, progress=False)
    with pytest.raises(ValueError, match="the weights are others"):
        Gallery.load(folder, with_lens(make_model(seed=1, method="sketch-lens"), 1))


def test_a_lens_on_a_trained_method_searches_that_methods_gallery(photos, tmp_path):
    folder = tmp_path / "gallery"
    Gallery.build(make_model(method="clip-at"), photos, folder, progress=False)
    lens = with_lens(make_model(method="clip-at"), 1)
    lens.embedded = 0
    assert len(Gallery.load(folder, lens).search(picture(3), 9)) == 9
    with pytest.raises(ValueError, match="its method is clip-at, this model's frozen-clip"):
        Gallery.load(folder, with_lens(make_model(method="sketch-lens"), 1))


def test_expansion_searches_once_more_for_what_the_first_hits_show(model, photos, monkeypatch):
    gallery = Gallery.build(model, photos, progress=False)
    query = gallery.embed_query(picture(3))
    first = np.argsort(-(gallery.features @ query), kind="stable")[:3]
    joined = expand_queries(query[None], gallery.features[first][None], gallery.features.mean(0))[0]
    searches = []
    search = gallery.collection.search
    monkeypatch.setattr(gallery.collection, "search", lambda *a: searches.append(a) or search(*a))
    hits = gallery.search(picture(3), 5, expand=3)
    assert len(searches) == 2
    order = np.argsort(-(gallery.features @ joined), kind="stable")[:5]
    assert [hit.id for hit in hits] == gallery.photos.ids[order].tolist()
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]


def test_expansion_keeps_to_the_filters_and_takes_no_more_than_there_is(model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    hits = gallery.search(picture(3), 9, {"category": "dog"}, expand=50)
    assert {hit.category for hit in hits} == {"dog"} and len(hits) == 3
    with pytest.raises(ValueError, match="expand must be at least 1, not 0"):
        gallery.search(picture(3), expand=0)


def test_expansion_is_normalised_and_leaves_a_query_whose_hits_are_the_mean():
    queries, photos = np.random.default_rng(0).normal(size=(2, 5, 8))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    mean = photos.mean(0)
    expanded = expand_queries(queries, np.broadcast_to(photos[:3], (5, 3, 8)), mean)
    toward = photos[:3].mean(0) - mean
    expected = queries + toward / np.linalg.norm(toward)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(expanded, expected, atol=1e-6)
    same = expand_queries(queries, np.broadcast_to(mean, (5, 1, 8)), mean)
    np.testing.assert_allclose(same, queries, atol=1e-6)
