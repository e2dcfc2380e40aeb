import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fakes.parity import load_case
from fakes.plain_metrics import evaluate
from sketch_prompt.metrics import CONVENTIONS, FeatureScores, evaluate_retrieval, retrieval_details


def normalised(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def case():
    """Features and labels of the recorded case, and what the references computed from them."""
    recorded = load_case("metrics")
    inputs = recorded["inputs"]
    query_labels, gallery_labels = np.array(recorded["query_labels"]), np.array(recorded["gallery_labels"])
    query = normalised(inputs["centers"][query_labels] + inputs["queries"])
    gallery = normalised(inputs["centers"][gallery_labels] + inputs["gallery"])
    return (query, gallery, query_labels, gallery_labels), recorded["expected"]


@pytest.mark.parametrize(
    ("convention", "recorded"), [("interpolated", "interpolated"), ("standard", "sklearn")]
)
def test_both_conventions_match_the_reference_evaluations(case, convention, recorded):
    inputs, expected = case
    scores = evaluate_retrieval(*inputs, convention=convention)
    assert list(scores) == ["mAP@all", "mAP@100", "P@100", "mAP@200", "P@200"]
    for name in ("mAP@all", "mAP@200", "P@100", "P@200"):
        assert scores[name] == pytest.approx(expected[recorded][name.replace("@", "_")], abs=1e-6)


def test_standard_average_precision_is_scikit_learns(case):
    (query, gallery, query_labels, gallery_labels), _ = case
    details = retrieval_details(FeatureScores(query, gallery), query_labels, gallery_labels)
    expected = [
        average_precision_score(gallery_labels == label, row)
        for label, row in zip(query_labels, query @ gallery.T)
    ]
    np.testing.assert_allclose(details.values["AP@all"], expected, atol=1e-6)


@st.composite
def retrieval_problems(draw):
    """Tiny integer features, so that scores are exact in any order of summation and many are equal."""
    width, queries, photos = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 12))

    def features(rows):
        row = st.lists(st.integers(-2, 2), min_size=width, max_size=width)
        return np.array(draw(st.lists(row, min_size=rows, max_size=rows)), np.float32)

    def labels(rows):
        return np.array(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))

    query_labels, gallery_labels = labels(queries), labels(photos)
    query_labels[0] = gallery_labels[0]
    ks = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3, unique=True))
    return (features(queries), features(photos), query_labels, gallery_labels), ks


@settings(max_examples=300, deadline=None)
@given(problem=retrieval_problems(), convention=st.sampled_from(CONVENTIONS))
def test_scores_equal_the_plain_definitions_with_ties_and_k_beyond_the_gallery(problem, convention):
    inputs, ks = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scores = evaluate_retrieval(*inputs, convention=convention, ks=ks)
    assert scores == pytest.approx(evaluate(*inputs, convention, ks), abs=1e-9)


def test_equal_photos_are_ranked_by_gallery_order():
    # on random features a matrix product rounds equal photos differently from place to place
    generator = np.random.default_rng(0)
    distinct = normalised(generator.standard_normal((20, 512)).astype(np.float32))
    which = generator.integers(0, 20, 900)
    labels = generator.integers(0, 3, 900)
    query = normalised(generator.standard_normal((30, 512)).astype(np.float32))
    query_labels = generator.integers(0, 3, 30)
    order = np.argsort(-(query @ distinct.T), axis=1)
    place = np.argsort(order, axis=1)
    for convention in CONVENTIONS:
        scores = retrieval_details(
            FeatureScores(query, distinct[which]), query_labels, labels, convention, ks=(50,)
        )
        # scores that say the same as the places of the distinct photos, exactly
        exact = evaluate(-place.astype(float), np.eye(20)[which], query_labels, labels, convention, (50,))
        assert scores.mean() == pytest.approx(exact, abs=1e-9)


def test_score_does_not_depend_on_query_order_block_size_or_threads(case):
    (query, gallery, query_labels, gallery_labels), _ = case
    reference = retrieval_details(FeatureScores(query, gallery), query_labels, gallery_labels)
    order = np.random.default_rng(0).permutation(len(query))
    for block_bytes in (1, 40_000, 2**26):
        for num_threads in (1, 3):
            details = retrieval_details(
                FeatureScores(query[order], gallery),
                query_labels[order],
                gallery_labels,
                num_threads=num_threads,
                block_bytes=block_bytes,
            )
            for name, values in details.values.items():
                np.testing.assert_allclose(values, reference.values[name][order], atol=1e-6)


def test_score_does_not_depend_on_gallery_order_where_no_scores_are_equal(case):
    (query, gallery, query_labels, gallery_labels), _ = case
    order = np.random.default_rng(1).permutation(len(gallery))
    shuffled = evaluate_retrieval(query, gallery[order], query_labels, gallery_labels[order])
    assert shuffled == pytest.approx(
        evaluate_retrieval(query, gallery, query_labels, gallery_labels), abs=1e-6
    )


def test_tensors_half_precision_lists_and_string_labels_are_accepted(case):
    (query, gallery, query_labels, gallery_labels), _ = case
    expected = evaluate_retrieval(query, gallery, query_labels, gallery_labels)
    tensors = [torch.tensor(values, requires_grad=values.dtype == np.float32) for values in (query, gallery)]
    labels = [torch.tensor(values) for values in (query_labels, gallery_labels)]
    assert evaluate_retrieval(*tensors, *labels) == expected
    assert evaluate_retrieval(
        query.tolist(), gallery.tolist(), query_labels, gallery_labels
    ) == pytest.approx(expected)
    names = np.array(["cup", "door", "pear", "pen", "shoe", "tree"])
    assert evaluate_retrieval(query, gallery, names[query_labels].tolist(), names[gallery_labels]) == expected
    halves = [tensor.bfloat16() for tensor in tensors]
    assert evaluate_retrieval(*halves, *labels) == pytest.approx(expected, abs=0.02)


def test_details_give_every_query_and_class(case):
    inputs, _ = case
    details = retrieval_details(FeatureScores(*inputs[:2]), *inputs[2:], ks=(100,))
    assert details.mean() == evaluate_retrieval(*inputs, ks=(100,))
    per_class = details.per_class()
    assert sorted(per_class) == sorted(set(inputs[2].tolist()))
    weights = [np.count_nonzero(inputs[2] == label) for label in per_class]
    average = np.average([scores["mAP@all"] for scores in per_class.values()], weights=weights)
    assert average == pytest.approx(details.mean()["mAP@all"])


def test_query_without_a_photo_counts_as_0_in_standard_and_is_left_out_in_interpolated():
    query, gallery = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)
    with pytest.warns(UserWarning, match=r"1 of 2 queries .* count as 0 .*labels: 7"):
        assert evaluate_retrieval(query, gallery, [0, 7], [0, 1], ks=(1,))["mAP@all"] == 0.5
    with pytest.warns(UserWarning, match="left out"):
        assert evaluate_retrieval(query, gallery, [0, 7], [0, 1], "interpolated", ks=(1,))["mAP@all"] == 1.0
    with pytest.raises(ValueError, match="No query has a photo"):
        evaluate_retrieval(query, gallery, [7, 7], [0, 1])


GOOD = {
    "query_features": np.ones((2, 3), np.float32),
    "gallery_features": np.ones((4, 3), np.float32),
    "query_labels": [0, 1],
    "gallery_labels": [0, 1, 1, 0],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_features": np.ones((0, 3))}, r"query_features is empty: its shape is \(0, 3\)"),
        ({"gallery_features": np.ones((0, 3)), "gallery_labels": []}, "gallery_features is empty"),
        ({"query_features": np.ones(3)}, "two dimensions"),
        ({"query_features": np.ones((2, 5))}, "5 columns and gallery_features 3"),
        (
            {"gallery_features": np.array([[0, 1, 2]] * 3 + [[0, np.nan, 0]])},
            "NaN or infinity in 1 of 4 rows.*row 3",
        ),
        ({"query_labels": [0]}, "query_labels must be one label for each of 2 features"),
        ({"gallery_labels": [[0, 1, 1, 0]]}, "gallery_labels must be one label for each of 4"),
        ({"query_labels": [0.5, 1.0]}, "must be integers or strings"),
        ({"query_labels": ["cup", "pen"]}, "both must be integers or both strings"),
        ({"convention": "voc"}, "Unknown convention 'voc': choose one of standard, interpolated"),
        ({"ks": (0,)}, "at least 1"),
        ({"ks": (5, 5)}, "different"),
    ],
)
def test_bad_input_is_an_error_that_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(**(GOOD | change))


def test_progress_goes_to_stderr_and_is_off_for_small_jobs(capsys):
    evaluate_retrieval(**GOOD)
    assert capsys.readouterr() == ("", "")
    evaluate_retrieval(**GOOD, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err
