from pathlib import Path

import numpy as np
import pytest

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.models import TinyModel, TinyPairModel, TinyProcessor
from sketch_prompt.evaluation import SeenClassError, Task, embed_benchmark, evaluate_model
from sketch_prompt.expansion import expand_queries
from sketch_prompt.metrics import chance_level, evaluate_retrieval


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("benchmark"))


def evaluate(benchmark, model=None, **options):
    task = Task("tiny-3", **options)
    return evaluate_model(model or TinyModel(), TinyProcessor(), benchmark, task, progress=False).report


@pytest.mark.parametrize("convention", ["standard", "interpolated"])
def test_report_holds_the_metrics_of_the_test_splits(benchmark, convention):
    report = evaluate(benchmark, convention=convention, ks=(5,))
    sketches, photos = embed_benchmark(TinyModel(), TinyProcessor(), benchmark, progress=False)
    arrays = (sketches.features, photos.features, sketches.labels, photos.labels)
    assert report.metrics == pytest.approx(evaluate_retrieval(*arrays, convention, (5,)), abs=1e-6)
    assert report.chance == chance_level(sketches.labels, photos.labels, convention, (5,))
    assert report.metrics["mAP@all"] > report.chance["mAP@all"] + 0.1
    assert (report.queries, report.photos, report.classes) == (9, 18, 3)
    assert (report.method, report.model, report.benchmark) == ("tiny", "tiny-checkpoint", "tiny-3")
    assert report.convention == convention
    assert sorted(report.per_class) == UNSEEN
    assert report.seconds > 0
    assert report.unreadable == []
    assert report.environment["device"] == "cpu"
    assert report.environment["dtype"] == "float32"
    assert report.zero_shot


def test_class_seen_in_training_is_refused_before_anything_is_embedded(benchmark):
    model = TinyModel(class_names=["T-Shirt", "cup"])
    with pytest.raises(SeenClassError, match="1 of the 3 test classes were seen in training: t shirt"):
        evaluate(benchmark, model)
    assert not model.batches


def test_allowing_seen_classes_downgrades_the_claim(benchmark):
    report = evaluate(benchmark, TinyModel(class_names=["tshirt"]), allow_seen=True)
    assert not report.zero_shot
    assert report.claim.startswith("not zero-shot: 1 of 3")


def test_classes_without_a_test_sketch_do_not_trip_the_guard(benchmark):
    assert evaluate(benchmark, TinyModel(class_names=["car", "cup"])).zero_shot


def test_unreadable_images_of_both_domains_are_reported(tmp_path):
    benchmark = write_benchmark(tmp_path)
    for domain in ("sketch", "photo"):
        (tmp_path / domain / "bee" / "1.png").write_bytes(b"GIF87")
    report = evaluate(benchmark)
    assert [entry["domain"] for entry in report.unreadable] == ["sketch", "photo"]
    assert Path(report.unreadable[0]["path"]) == tmp_path / "sketch" / "bee" / "1.png"
    assert (report.queries, report.photos) == (8, 17)


def test_missing_test_split_is_an_error_that_names_it(benchmark):
    benchmark = type(benchmark)({name: table for name, table in benchmark.items() if name != "test_photo"})
    with pytest.raises(ValueError, match="no test_photo"):
        evaluate(benchmark)


@pytest.mark.parametrize("level", ["category", "instance"])
def test_two_searches_are_a_setting_of_their_own(tmp_path, level):
    benchmark = write_benchmark(tmp_path)
    model = TinyModel()
    plain = evaluate_model(model, TinyProcessor(), benchmark, Task("tiny", level, ks=(5,)), progress=False)
    task = Task("tiny", level, ks=(5,), expand=2)
    twice = evaluate_model(model, TinyProcessor(), benchmark, task, progress=False)
    assert plain.report.expand is None and twice.report.expand == 2
    assert "searched twice (expand=2)" in twice.report.to_markdown()
    sketches, photos = twice.search.sketches, twice.search.photos
    groups = (
        (sketches.labels, photos.labels) if level == "instance" else (np.zeros(9), np.zeros(len(photos.rows)))
    )
    expected = np.empty_like(sketches.features)
    for row, query in enumerate(sketches.features):
        own = photos.features[groups[1] == groups[0][row]]
        hits = own[np.argsort(-(own @ query), kind="stable")[:2]]
        expected[row] = expand_queries(query[None], hits[None], own.mean(0))[0]
    np.testing.assert_allclose(twice.search.scores.query, expected, atol=1e-6)


def test_two_searches_do_not_go_with_pairs():
    with pytest.raises(ValueError, match="cannot be combined with ranking='rerank'"):
        Task("tiny", ranking="rerank", expand=2)
    assert Task("tiny", expand=2).ranking_with(TinyPairModel()) == "embedding"
