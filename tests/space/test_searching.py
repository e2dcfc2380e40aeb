from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sketch_prompt.data.minisketch.generator import MiniSketch
from sketch_prompt.gallery.yardsticks import Yardstick
from sketch_prompt.space.methods import bundled_methods
from sketch_prompt.space.own_photos import OwnPhotos
from sketch_prompt.space.searching import Query, open_photo, search


def query(drawing=None, text="", method="mini-clip-at", gallery="minisketch"):
    return Query(drawing, text, 0.5, method, gallery)


def sketch(category):
    return MiniSketch(256).sketch(category, 5000)


def test_drawing_finds_photos_of_what_it_shows(catalogue):
    found = search(catalogue, query(sketch("umbrella")))
    assert len(found.cards) == 12 and found.cards[0].name == "umbrella"
    assert found.status.startswith("The best 12 of 144 photos")
    scores = [card.score for card in found.cards]
    assert scores == sorted(scores, reverse=True)


def test_nothing_drawn_shows_photos_from_all_over_the_gallery(catalogue):
    found = search(catalogue, query(text="  "))
    assert len({card.name for card in found.cards}) == 12
    assert found.status.startswith("Nothing is drawn yet.")
    assert all(card.score is None for card in found.cards)


def test_words_alone_and_beside_a_drawing_search_too(catalogue):
    assert search(catalogue, query(text="a teapot")).cards[0].name == "teapot"
    plain = search(catalogue, query(sketch("fish"))).cards
    refined = search(catalogue, query(sketch("fish"), "a whale")).cards
    assert [card.id for card in plain] != [card.id for card in refined]


def test_photo_that_is_gone_is_listed_and_the_others_are_shown(catalogue):
    card = search(catalogue, query(sketch("key"))).cards[0]
    with catalogue.open("mini-clip-at", "minisketch", OwnPhotos()) as gallery:
        file = gallery.root / gallery.photos[int(gallery.photos.ids.searchsorted(card.id))].path
    content = file.read_bytes()
    file.unlink()
    try:
        found = search(catalogue, query(sketch("key")))
        assert found.skipped == [(file.name, "no such file")]
        assert len(found.cards) == 11
        with pytest.raises(ValueError, match="no such file"):
            open_photo(catalogue, query(sketch("key")), card.id)
    finally:
        file.write_bytes(content)


def test_empty_gallery_says_what_to_do(catalogue):
    found = search(catalogue, query(sketch("key"), gallery="own"))
    assert found.cards == [] and "Add some of your own" in found.status


def test_explanation_connects_drawing_and_photo(catalogue):
    drawing = sketch("umbrella")
    card = search(catalogue, query(drawing)).cards[0]
    photo = open_photo(catalogue, query(drawing), card.id)
    assert photo.name == "umbrella" and photo.picture.mode == "RGB"
    assert len(photo.correspondence.matches) > 0
    assert photo.correspondence.score == pytest.approx(card.score, abs=1e-4)


@pytest.mark.parametrize("method", bundled_methods())
def test_every_bundled_method_searches_and_explains(catalogue, method):
    asked = query(sketch("sailboat"), method=method)
    cards = search(catalogue, asked).cards
    assert "sailboat" in [card.name for card in cards]
    assert len(open_photo(catalogue, asked, cards[0].id).correspondence.matches) > 0


def test_without_a_drawing_the_photo_is_shown_and_an_unknown_one_is_a_message(catalogue):
    photo = open_photo(catalogue, query(text="a cup"), 0)
    assert photo.correspondence is None and photo.picture.size == (192, 192)
    with pytest.raises(ValueError, match="not in the gallery"):
        open_photo(catalogue, query(), 10**9)


def test_path_is_whole_on_this_machine_and_ends_at_the_gallery_elsewhere(catalogue):
    whole = open_photo(catalogue, query(), 0)
    with catalogue.open("mini-clip-at", "minisketch", OwnPhotos()) as gallery:
        assert whole.path == str(gallery.root / gallery.photos[0].path)
    part = open_photo(catalogue, query(), 0, full_path=False)
    assert whole.path.endswith(f"/{part.path}") and not part.path.startswith("/")
    assert whole.read()[:2] == b"\xff\xd8" and whole.file_name == part.path.split("/")[-1]


def test_further_photos_follow_those_that_were_shown(catalogue):
    asked = query(sketch("umbrella"))
    first, second = (search(catalogue, asked, start=start) for start in (0, 12))
    every = search(catalogue, asked, top_k=24).cards
    assert [card.id for card in first.cards + second.cards] == [card.id for card in every]
    assert [card.place for card in second.cards] == list(range(13, 25))
    last = search(catalogue, asked, start=132)
    assert (first.has_more, second.has_more, last.has_more) == (True, True, False)
    assert len(last.cards) == 12 and search(catalogue, asked, start=144).cards == []


def test_many_at_once_get_what_each_would_get_alone(catalogue):
    queries = [
        query(sketch(category), method=method)
        for category in ("fish", "cup", "tree")
        for method in catalogue.methods[:1] + ["mini-frozen-clip"]
    ]
    alone = [[card.id for card in search(catalogue, q).cards] for q in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: search(catalogue, q).cards, queries * 4))
    assert [[card.id for card in cards] for cards in together] == alone * 4


def test_weak_matches_are_said_of_words_for_things_that_are_not_there_and_hardly_ever_of_others(
    whole_catalogue,
):
    def is_weak(words):
        asked = query(text=words, method=whole_catalogue.methods[0], gallery=whole_catalogue.main)
        return (
            "Weak matches: nothing here looks much like your words." in search(whole_catalogue, asked).status
        )

    with whole_catalogue.open(whole_catalogue.methods[0], whole_catalogue.main, OwnPhotos()) as gallery:
        there = gallery.photos.categories
    assert sum(map(is_weak, there)) <= 0.15 * len(there)
    absent = ["dragon", "ocean", "marker", "tornado", "violin", "stethoscope", "passport", "The Mona Lisa"]
    assert sum(map(is_weak, absent)) >= len(absent) / 2


def test_weak_matches_are_said_of_a_drawing_that_the_gallery_calls_weak(catalogue, monkeypatch):
    for is_weak in (True, False):
        monkeypatch.setattr(Yardstick, "unlike", lambda *_, share=float(is_weak): share)
        status = search(catalogue, query(sketch("key"))).status
        assert ("Weak matches: nothing here looks much like your drawing." in status) == is_weak


def test_visitors_own_few_photos_are_not_judged(catalogue, tmp_path):
    MiniSketch(64).photo("cup", 0).save(tmp_path / "cup.png")
    own = OwnPhotos()
    own.add([tmp_path / "cup.png"])
    assert "Weak" not in search(catalogue, replace(query(sketch("key"), gallery="own"), own=own)).status
