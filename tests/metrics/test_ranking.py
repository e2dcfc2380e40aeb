import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketch_prompt.metrics import FeatureScores
from sketch_prompt.metrics.ranking import rank


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_ranking_is_the_head_of_a_stable_sort(data):
    row = st.lists(st.integers(-2, 2), min_size=2, max_size=2)
    query = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), np.float32)
    gallery = np.array(data.draw(st.lists(row, min_size=1, max_size=12)), np.float32)
    top_k = data.draw(st.integers(1, 15))
    similarity = query @ gallery.T
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :top_k]
    ranking = rank(FeatureScores(query, gallery), top_k)
    np.testing.assert_array_equal(ranking.indices, expected)
    np.testing.assert_array_equal(ranking.scores, np.take_along_axis(similarity, expected, axis=1))


def test_top_k_below_one_is_an_error():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        rank(FeatureScores(np.eye(2), np.eye(2)), 0)
