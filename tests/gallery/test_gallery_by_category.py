"""Galleries whose photos are embedded under their categories, by a method with conditions."""

import numpy as np
import pytest
import torch

from fakes.photos import make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.models.dp_clip.modeling_dp_clip import DpClipModel


@pytest.fixture
def conditional(monkeypatch):
    texts = torch.nn.functional.normalize(
        torch.randn(8, 32, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    monkeypatch.setattr(
        DpClipModel, "category_text_features", lambda self, name, processor=None: texts[len(name) % 8]
    )

    def make():
        model = make_model(method="dp-clip")
        for name, seed in (("cat", 0), ("dog", 20)):
            model.add_category(name, [picture(seed)], [picture(seed + 1), picture(seed + 2)])
        return model

    return make


def test_photos_and_sketch_meet_under_their_category(conditional, photos):
    model = conditional()
    gallery = Gallery.build(model, photos, by_category=True, progress=False)
    files = {path: str(photos / path) for path in gallery.photos.paths}
    for path, features in zip(gallery.photos.paths, gallery.features):
        category = path.split("/")[0] if "/" in path else None
        pixels = model.processor(photos=files[path])["photo_pixel_values"]
        with torch.no_grad():
            expected = model.get_photo_features(pixels, **({"category": category} if category else {}))
        np.testing.assert_allclose(features, expected[0].numpy(), atol=1e-5)
    pixels = model.processor(sketches=picture(4))["sketch_pixel_values"]
    with torch.no_grad():
        drawn = model.get_sketch_features(pixels, category="dog")[0].numpy()
    hits = gallery.search(picture(4), 9, {"category": "Dog"})
    assert {hit.category for hit in hits} == {"dog"}
    rows = [gallery.photos.rows[f"dog/{hit.path[-5]}.jpg"] for hit in hits]
    np.testing.assert_allclose([hit.score for hit in hits], gallery.features[rows] @ drawn, atol=1e-5)


def test_a_search_has_to_name_one_category(conditional, photos):
    gallery = Gallery.build(conditional(), photos, by_category=True, progress=False)
    for filters in (None, {"path": "*"}, {"category": ["cat", "dog"]}, lambda photo: True):
        with pytest.raises(ValueError, match="name the category to search"):
            gallery.search(picture(0), filters=filters)


def test_a_photo_that_changes_its_category_is_embedded_again(conditional, photos, tmp_path):
    model = conditional()
    Gallery.build(model, photos, tmp_path / "gallery", by_category=True, progress=False)
    (photos / "cat" / "0.jpg").rename(photos / "dog" / "new.jpg")
    (photos / "cat" / "1.jpg").rename(photos / "cat" / "other name.jpg")
    again = Gallery.load(tmp_path / "gallery", model)
    changes = again.refresh(progress=False)
    assert (changes.embedded, changes.renamed, changes.added, changes.removed) == (1, 1, 1, 1)


def test_the_two_ways_of_embedding_are_kept_apart(conditional, photos, tmp_path):
    model = conditional()
    Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    with pytest.raises(ValueError, match="its photos are not embedded with their categories"):
        Gallery.build(model, photos, tmp_path / "gallery", by_category=True, progress=False)
    with pytest.raises(ValueError, match="frozen-clip does not use categories"):
        Gallery(make_model(), by_category=True)
    model.remove_category("cat")
    with pytest.raises(ValueError, match="the weights are others"):
        Gallery.load(tmp_path / "gallery", model)
