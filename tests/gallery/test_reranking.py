import numpy as np
import pytest
import torch

from fakes.photos import make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.gallery import reranking


@pytest.fixture
def pairwise():
    """A ZSE-SBIR model of random weights that counts the photos it encodes for pairs."""
    model = make_model(method="zse-sbir")
    model.encoded = 0
    encode = model.encode_tokens

    def counting(pixel_values, domain):
        model.encoded += len(pixel_values) * (domain == "photo")
        return encode(pixel_values, domain)

    model.encode_tokens = counting
    return model


@pytest.mark.parametrize("weight", [0.3, None])
def test_the_shortlist_is_ranked_by_similarity_and_pairs_or_by_pairs_alone(
    pairwise, photos, monkeypatch, weight
):
    monkeypatch.setattr(reranking, "_BATCH", 4)
    pairwise.config.rerank_weight = weight
    gallery = Gallery.build(pairwise, photos, progress=False)
    query = picture(3)
    plain = gallery.search(query, 9)
    with torch.no_grad():
        inputs = pairwise.processor(sketches=query, photos=[gallery.image(hit) for hit in plain[:6]])
        tokens = (
            pairwise.encode_tokens(inputs["sketch_pixel_values"], "sketch"),
            pairwise.encode_tokens(inputs["photo_pixel_values"], "photo"),
        )
        scores = pairwise.score_pairs(*tokens)[0].numpy()
    if weight is not None:
        similarity = np.array([hit.score for hit in plain[:6]])
        scores = similarity + weight * np.log(scores / (1 - scores))
    hits = gallery.search(query, 4, rerank=6)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert [hit.id for hit in hits] == [plain[place].id for place in np.argsort(-scores, kind="stable")[:4]]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:4], atol=1e-5)


def test_photos_seen_before_are_not_encoded_again(pairwise, photos, monkeypatch):
    gallery = Gallery.build(pairwise, photos, progress=False)
    before = pairwise.encoded
    first = gallery.search(picture(3), 5, rerank=9)
    assert gallery.search(picture(3), 5, rerank=9) == first
    gallery.search(picture(4), 5, rerank=9)
    assert pairwise.encoded - before == 9
    monkeypatch.setattr(reranking, "_KEPT", 3)
    fresh = Gallery.build(pairwise, photos, progress=False)
    assert [fresh.search(picture(3), 5, rerank=9) for _ in range(2)] == [first, first]


def test_a_photo_that_is_gone_stands_last(pairwise, photos):
    gallery = Gallery.build(pairwise, photos, progress=False)
    best = gallery.search(picture(3), 9, rerank=9)[0]
    fresh = Gallery.build(pairwise, photos, progress=False)
    (photos / best.path).unlink()
    hits = fresh.search(picture(3), 9, rerank=9)
    assert len(hits) == 9 and hits[-1].id == best.id


def test_reranking_needs_a_model_that_can_and_a_sketch(model, pairwise, photos):
    with pytest.raises(ValueError, match="frozen-clip has no re-ranker"):
        Gallery.build(model, photos, progress=False).search(picture(3), rerank=5)
    gallery = Gallery.build(pairwise, photos, progress=False)
    with pytest.raises(ValueError, match="at least 1, to compare with a sketch"):
        gallery.search(picture(3), rerank=0)
    assert gallery.search(picture(3), 5, {"path": "2024/*"}, rerank=5) == []
