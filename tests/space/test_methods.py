"""The drawings to start from, and which methods are offered without asking."""

import pytest

from sketch_prompt.data.quickdraw_caltech.builder import SEEN_CLASSES, UNSEEN_CLASSES
from sketch_prompt.space import methods
from sketch_prompt.space.catalogue import EXAMPLES, Catalogue
from sketch_prompt.space.methods import bundled_methods, offered_methods
from sketch_prompt.space.own_photos import OwnPhotos

GALLERIES = ("real-photos", "minisketch")


@pytest.mark.parametrize("gallery", GALLERIES)
def test_every_method_that_is_offered_finds_a_right_first_photo_for_every_example(whole_catalogue, gallery):
    examples = whole_catalogue.examples(gallery)
    assert len(examples) == EXAMPLES == len({example.name for example in examples})
    for method in whole_catalogue.methods_for(gallery):
        with whole_catalogue.open(method.name, gallery, OwnPhotos()) as opened:
            first = [opened.search(example.picture, 1)[0].category for example in examples]
        assert first == [example.name for example in examples], method.name


def test_page_opens_on_real_photos_and_real_drawings(whole_catalogue):
    assert whole_catalogue.main == "real-photos" and list(whole_catalogue.galleries) == list(GALLERIES)
    with whole_catalogue.open(whole_catalogue.methods[0], "real-photos", OwnPhotos()) as gallery:
        assert set(gallery.photos.categories) == {*SEEN_CLASSES, *UNSEEN_CLASSES} and len(gallery) == 120
    for example in whole_catalogue.examples("real-photos"):
        assert example.strokes and all(
            0 <= x <= 512 and 0 <= y <= 512 for line in example.strokes for x, y in line
        )


def test_methods_are_those_of_the_photos_and_more_come_with_advanced(whole_catalogue):
    for gallery, base_model in zip(GALLERIES, ("small-clip", "mini-clip")):
        few, every = (whole_catalogue.methods_for(gallery, advanced) for advanced in (False, True))
        assert few == every[: len(few)] and {method.base_model for method in every} == {base_model}
        assert [method.name for method in every] == bundled_methods(base_model)
    assert whole_catalogue.methods_for("own") == whole_catalogue.methods_for("real-photos")


def test_adapter_for_searching_is_the_default_as_soon_as_it_is_bundled(monkeypatch):
    configs = {
        "sketch-search": {"model_type": "sketch-lens", "base_model": "small-clip"},
        "small-clip": {"model_type": "clip"},
        "small-clip-at": {"model_type": "clip-at", "base_model": "small-clip"},
        "mini-clip": {"model_type": "clip"},
    }
    monkeypatch.setattr(methods, "bundled_names", lambda: sorted(configs))
    monkeypatch.setattr(methods, "_config", configs.__getitem__)
    offered = offered_methods()
    assert [method.name for method in offered] == [
        "sketch-search",
        "small-clip-at",
        "small-clip",
        "mini-clip",
    ]
    assert [method.is_advanced for method in offered] == [False, True, True, False]


def test_named_models_decide_the_gallery_and_all_are_offered(tmp_path):
    toys = Catalogue(["mini-frozen-clip", "mini-clip-at"], cache_dir=tmp_path)
    assert list(toys.galleries) == ["minisketch"] and toys.methods == ["mini-frozen-clip", "mini-clip-at"]
    assert [method.name for method in toys.methods_for("minisketch")] == toys.methods
    assert list(Catalogue(["small-clip"], cache_dir=tmp_path).galleries) == ["real-photos"]
