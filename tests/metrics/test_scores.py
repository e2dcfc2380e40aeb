import warnings

import numpy as np
import pytest

from sketch_prompt.metrics import FeatureScores, QueryScores, instance_details, retrieval_details
from sketch_prompt.metrics.core import RECALL_LEVELS


def scores(size=400, seed=0, **values):
    generator = np.random.default_rng(seed)
    values = values or {"AP@all": generator.random(size), "P@1": (generator.random(size) < 0.3).astype(float)}
    return QueryScores(values, np.zeros(size, int))


def test_interval_is_what_a_normal_approximation_gives_for_many_queries():
    details = scores()
    for name, (low, high) in details.intervals().items():
        values = details.values[name.removeprefix("m")]
        error = 1.96 * values.std() / len(values) ** 0.5
        assert low == pytest.approx(values.mean() - error, abs=0.15 * error)
        assert high == pytest.approx(values.mean() + error, abs=0.15 * error)


def test_interval_is_the_percentile_of_plainly_resampled_means(monkeypatch):
    details = scores(50)
    generator = np.random.default_rng(3)
    means = [details.values["AP@all"][generator.integers(0, 50, 50)].mean() for _ in range(200)]
    expected = np.quantile(means, [0.05, 0.95])
    monkeypatch.setattr("sketch_prompt.metrics.scores._RESAMPLED_AT_ONCE", 7 * 50)
    assert details.intervals(0.9, 200, seed=3)["mAP@all"] == pytest.approx(expected, abs=1e-12)


def test_interval_depends_on_the_seed_alone():
    assert scores().intervals() == scores().intervals()
    assert scores().intervals(seed=1) != scores().intervals()


def test_queries_that_do_not_count_are_not_drawn():
    values = np.array([0.25, np.nan, 0.25, np.nan, 0.25])
    assert scores(5, **{"AP@all": values}).intervals() == {"mAP@all": (0.25, 0.25)}


def test_hits_and_misses_of_instances_have_means_intervals_and_classes():
    details = instance_details(np.array([0, 4, 9, 30]), np.array(["cup", "cup", "pen", "pen"]), (1, 5, 10))
    assert details.mean() == {"Acc@1": 0.25, "Acc@5": 0.5, "Acc@10": 0.75}
    assert details.per_class()["cup"] == {"Acc@1": 0.5, "Acc@5": 1.0, "Acc@10": 1.0}
    low, high = details.intervals()["Acc@5"]
    assert 0 <= low < 0.5 < high <= 1


def test_precision_recall_curve_is_the_mean_of_the_queries_envelopes():
    generator = np.random.default_rng(0)
    query, gallery = generator.normal(size=(9, 4)), generator.normal(size=(40, 4))
    query_labels, gallery_labels = np.arange(9) % 3, generator.integers(0, 3, 40)
    details = retrieval_details(FeatureScores(query, gallery), query_labels, gallery_labels)
    expected = np.zeros(101)
    for features, label in zip(query, query_labels):
        hits = (gallery_labels == label)[np.argsort(-(gallery @ features), kind="stable")]
        precision, recall = hits.cumsum() / np.arange(1, 41), hits.cumsum() / hits.sum()
        expected += [precision[recall >= level - 1e-9].max() / 9 for level in RECALL_LEVELS]
    assert details.precision == pytest.approx(expected)
    assert (np.diff(details.precision) <= 1e-12).all()


@pytest.mark.parametrize(("convention", "expected"), [("standard", 0.5), ("interpolated", 1.0)])
def test_curve_treats_queries_without_a_photo_as_the_convention_does(convention, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        details = retrieval_details(
            FeatureScores([[1.0], [1.0]], [[1.0]]), ["cup", "pen"], ["cup"], convention
        )
    assert details.precision == pytest.approx(np.full(101, expected))
