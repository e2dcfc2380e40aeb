"""Rankings by scores are the same wherever the scores come from."""

import numpy as np
import pytest

from sketch_prompt.metrics import (
    FeatureScores,
    MatrixScores,
    RerankedScores,
    instance_ranks,
    retrieval_details,
)

RNG = np.random.default_rng(0)
QUERY, GALLERY = (
    RNG.standard_normal((7, 5)).astype(np.float32),
    RNG.standard_normal((11, 5)).astype(np.float32),
)
QUERY_LABELS, GALLERY_LABELS = RNG.integers(0, 3, 7), np.arange(11) % 3


def full(scores, **options):
    """The whole matrix, from blocks of two rows."""
    rows = options.pop("rows", None)
    n_rows = len(scores) if rows is None else len(rows)
    parts, order = [], []
    for indices, block in scores.blocks(rows, block_bytes=2 * 4 * scores.shape[1], **options):
        parts.append(block.copy())
        order += indices.tolist()
    assert order == (list(range(n_rows)) if rows is None else list(rows))
    return np.concatenate(parts)


@pytest.fixture(params=["features", "matrix"])
def scores(request):
    return FeatureScores(QUERY, GALLERY) if request.param == "features" else MatrixScores(QUERY @ GALLERY.T)


def test_blocks_hold_the_rows_and_columns_asked_for(scores):
    matrix = QUERY @ GALLERY.T
    np.testing.assert_allclose(full(scores), matrix, rtol=1e-5)
    rows, columns = np.array([5, 0, 6]), np.array([10, 2, 3])
    np.testing.assert_allclose(
        full(scores, rows=rows, columns=columns), matrix[np.ix_(rows, columns)], rtol=1e-5
    )
    taken = scores.take(rows, columns)
    assert taken.shape == (3, 3)
    np.testing.assert_allclose(full(taken), matrix[np.ix_(rows, columns)], rtol=1e-5)
    some = full(taken, rows=np.array([2, 1]), columns=np.array([1]))
    np.testing.assert_allclose(some, matrix[np.ix_([6, 0], [2])], rtol=1e-5)


def test_metrics_of_a_matrix_are_those_of_the_features_that_made_it(scores):
    labels = QUERY_LABELS, GALLERY_LABELS
    ours, theirs = (retrieval_details(each, *labels) for each in (scores, FeatureScores(QUERY, GALLERY)))
    for name, values in theirs.values.items():
        np.testing.assert_allclose(ours.values[name], values, err_msg=name)
    own = np.arange(7)
    ours, theirs = (
        instance_ranks(each, own, np.arange(11)) for each in (scores, FeatureScores(QUERY, GALLERY))
    )
    assert ours.tolist() == theirs.tolist()


def test_a_shortlist_comes_first_by_its_new_scores_and_the_rest_keeps_its_order(scores):
    matrix = QUERY @ GALLERY.T
    shortlist = np.argsort(-matrix, axis=1)[:, :4]
    new = RNG.random((7, 4)).astype(np.float32)
    ranked = np.argsort(-full(RerankedScores(scores, shortlist, new)), axis=1)
    for row in range(7):
        expected = shortlist[row][np.argsort(-new[row])].tolist() + np.argsort(-matrix[row])[4:].tolist()
        assert ranked[row].tolist() == expected
    taken = RerankedScores(scores, shortlist, new).take(np.array([3]), shortlist[3])
    np.testing.assert_array_equal(full(taken)[0], new[3])
