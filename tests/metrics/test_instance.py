import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketch_prompt.metrics import FeatureScores, evaluate_instance_retrieval, instance_ranks


def test_rank_counts_better_photos_and_equal_ones_earlier_in_the_gallery():
    query = np.array([[1.0, 0.0]] * 3)
    gallery = np.array([[0.5, 0.0], [0.9, 0.0], [0.5, 1.0], [0.5, 2.0]])
    ranks = instance_ranks(FeatureScores(query, gallery), ["a", "c", "d"], ["a", "b", "c", "d"])
    assert ranks.tolist() == [1, 2, 3]
    scores = evaluate_instance_retrieval(
        query, gallery, ["a", "c", "d"], ["a", "b", "c", "d"], ks=(1, 2, 3, 9)
    )
    assert scores == {
        "Acc@1": 0.0,
        "Acc@2": pytest.approx(1 / 3),
        "Acc@3": pytest.approx(2 / 3),
        "Acc@9": 1.0,
    }


def test_gallery_of_a_query_is_its_category():
    query, gallery = np.array([[1.0], [1.0]]), np.array([[3.0], [1.0], [2.0], [0.5]])
    arguments = (FeatureScores(query, gallery), [7, 8], [1, 7, 2, 8])
    assert instance_ranks(*arguments).tolist() == [2, 3]
    assert instance_ranks(*arguments, ["cup", "pen"], ["pen", "cup", "cup", "pen"]).tolist() == [1, 1]


def test_instance_names_may_repeat_across_categories():
    query, gallery = np.array([[1.0], [1.0]]), np.array([[1.0], [2.0], [3.0]])
    ranks = instance_ranks(
        FeatureScores(query, gallery), ["1", "1"], ["1", "2", "1"], ["cup", "pen"], ["cup", "cup", "pen"]
    )
    assert ranks.tolist() == [1, 0]


def test_a_photo_that_stands_in_the_gallery_twice_counts_once():
    query, gallery = np.array([[1.0]]), np.array([[2.0], [2.0], [2.0], [1.0]])
    assert instance_ranks(FeatureScores(query, gallery), ["b"], ["a", "a", "a", "b"]).tolist() == [1]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_ranks_equal_a_stable_sort_of_the_scores(data):
    photos = data.draw(st.integers(1, 10))
    row = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    gallery = np.array(data.draw(st.lists(row, min_size=photos, max_size=photos)), np.float32)
    query = np.array(data.draw(st.lists(row, min_size=3, max_size=3)), np.float32)
    own = np.array(data.draw(st.lists(st.integers(0, photos - 1), min_size=3, max_size=3)))
    order = np.argsort(-(query @ gallery.T), axis=1, kind="stable")
    expected = [ranking.tolist().index(photo) for ranking, photo in zip(order, own)]
    assert instance_ranks(FeatureScores(query, gallery), own, np.arange(photos)).tolist() == expected


def test_missing_photo_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"Query 1 was drawn from photo 'n02-17', .*cup, 1 photos"):
        instance_ranks(
            FeatureScores(np.eye(2), np.eye(2)),
            ["a", "n02-17"],
            ["a", "n02-17"],
            ["cup", "cup"],
            ["cup", "pen"],
        )


def test_categories_of_one_side_only_are_an_error():
    with pytest.raises(ValueError, match="together"):
        instance_ranks(FeatureScores(np.eye(2), np.eye(2)), [0, 1], [0, 1], query_categories=[0, 0])
