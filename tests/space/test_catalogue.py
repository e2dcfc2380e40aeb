import pytest

from sketch_prompt import Gallery
from sketch_prompt.sources import bundled_names
from sketch_prompt.space.catalogue import Catalogue
from sketch_prompt.space.methods import bundled_methods
from sketch_prompt.space.own_photos import OwnPhotos


def test_every_bundled_model_of_minisketch_is_offered_and_the_bare_clip_is_not():
    mini = {name for name in bundled_names() if name.startswith("mini-")}
    assert set(bundled_methods()) == mini - {"mini-clip"}
    assert bundled_methods()[-1] == "mini-frozen-clip"


def test_first_start_makes_the_gallery_and_the_next_one_embeds_nothing(tmp_path):
    first = Catalogue(["mini-frozen-clip"], cache_dir=tmp_path, photos_per_class=1)
    assert first.prepare() == 48
    with first.open("mini-frozen-clip", "minisketch", OwnPhotos()) as gallery:
        assert gallery.changes.embedded == 48
        assert {photo.category for photo in gallery.photos} >= {"teapot", "hot air balloon"}
    next(tmp_path.rglob("00.jpg")).unlink()
    again = Catalogue(["mini-frozen-clip"], cache_dir=tmp_path, photos_per_class=1)
    assert again.prepare() == 48
    with again.open("mini-frozen-clip", "minisketch", OwnPhotos()) as gallery:
        assert gallery.changes.embedded == 0


def test_saved_gallery_is_searched_with_the_model_it_was_made_with(tmp_path, catalogue):
    with catalogue.open("mini-clip-at", "minisketch", OwnPhotos()) as gallery:
        folder = gallery.root / "teapot"
    Gallery.build("mini-clip-at", folder, tmp_path / "teapots", progress=False)
    opened = Catalogue(gallery=tmp_path / "teapots")
    assert (opened.main, opened.methods) == ("teapots", ["clip-at"])
    assert opened.prepare() == 3
    with pytest.raises(ValueError, match="made with"):
        Catalogue(["mini-frozen-clip"], tmp_path / "teapots")
    with pytest.raises(FileNotFoundError):
        Catalogue(gallery=tmp_path / "nothing")


def test_unknown_names_are_one_message(catalogue):
    with pytest.raises(ValueError, match="no method 'x' here; there are mini-"):
        catalogue.open("x", "minisketch", OwnPhotos()).__enter__()
    with pytest.raises(ValueError, match="no gallery 'x' here"):
        catalogue.open(catalogue.methods[0], "x", OwnPhotos()).__enter__()


def test_method_for_other_photos_gives_way_to_the_default_of_a_gallery(whole_catalogue):
    assert whole_catalogue.fitting("mini-splip", "minisketch") == "mini-splip"
    assert whole_catalogue.fitting("mini-splip", "real-photos") == whole_catalogue.methods[0]
    assert whole_catalogue.fitting(whole_catalogue.methods[0], "minisketch") == "mini-clip-at"
    assert whole_catalogue.fitting("nonsense", "minisketch") == "nonsense"  # and `open` says so
