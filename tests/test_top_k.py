import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketch_prompt.top_k import best_places, exact_scores


@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=40), st.integers(1, 50))
def test_the_best_come_first_and_equal_ones_in_their_order(scores, top_k):
    expected = np.argsort(-np.array(scores), kind="stable")[:top_k]
    np.testing.assert_array_equal(best_places(np.array(scores), top_k), expected)


@pytest.mark.parametrize("width", [3, 29, 512])
def test_equal_vectors_score_equal_wherever_they_stand(width):
    generator = np.random.default_rng(width)
    vectors = generator.standard_normal((101, width), np.float32)
    vectors[[7, 50, 100]] = vectors[0]
    scores = exact_scores(generator.standard_normal(width, np.float32), vectors)
    assert scores.dtype == np.float32 and len(set(scores[[0, 7, 50, 100]].tolist())) == 1
