import pytest

from sketch_prompt import Gallery
from sketch_prompt.gallery.gallery import Hit
from sketch_prompt.space.own_photos import OwnPhotos
from sketch_prompt.space.searching import Query, search
from sketch_prompt.space.weak_matches import WeakLimits, find_limits, strength


def hits(*scores):
    return [Hit(rank, score, f"{rank}.jpg", None, rank) for rank, score in enumerate(scores, 1)]


def test_best_five_scores_decide_for_a_drawing_and_for_words_apart():
    assert strength(hits(0.9, 0.8, 0.7, 0.6, 0.5, 0.0)) == pytest.approx(0.7)
    limits = WeakLimits(drawing=0.6, words=0.2)
    weak, strong = hits(*[0.3] * 5), hits(*[0.7] * 5)
    assert limits.are_weak(weak, True, False) and not limits.are_weak(weak, False, True)
    assert not limits.are_weak(strong, True, False) and limits.are_weak(hits(0.1), False, True)
    assert not limits.are_weak(weak, True, True) and not limits.are_weak([], True, False)
    assert not WeakLimits(drawing=0.6).are_weak(hits(0.1), False, True)


def test_words_for_things_that_are_not_there_are_called_weak_and_others_hardly_ever(catalogue):
    method, gallery = catalogue.methods[0], catalogue.main

    def is_weak(words):
        return (
            "Weak matches" in search(catalogue, Query(None, words, 0.5, method, gallery), OwnPhotos()).status
        )

    with catalogue.open(method, gallery, OwnPhotos()) as opened:
        there = opened.photos.categories
    assert sum(map(is_weak, there)) <= 0.1 * len(there)
    absent = ["dragon", "ocean", "marker", "tornado", "violin", "stethoscope", "passport", "The Mona Lisa"]
    assert sum(map(is_weak, absent)) >= len(absent) / 2


def test_limits_need_things_that_there_are_drawings_of(catalogue):
    with catalogue.open(catalogue.methods[0], catalogue.main, OwnPhotos()) as opened:
        assert find_limits(Gallery(opened.model)) is None
    assert catalogue.limits(catalogue.methods[0], "own") is None
