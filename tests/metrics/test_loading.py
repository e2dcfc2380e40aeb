import numpy as np
import pytest

from fakes.processes import run
from sketch_prompt.metrics import evaluate_instance_retrieval, evaluate_retrieval, load_metric


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """`evaluate` reads its settings at import: set them for this process and for those it starts."""
    evaluate = pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_EVALUATE_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "metrics"))


@pytest.fixture
def problem():
    generator = np.random.default_rng(0)
    return (
        generator.standard_normal((12, 8)).astype(np.float32),
        generator.standard_normal((40, 8)).astype(np.float32),
        generator.integers(0, 4, 12),
        generator.integers(0, 4, 40),
    )


@pytest.mark.parametrize("convention", ["standard", "interpolated"])
def test_retrieval_metric_equals_the_core_from_batches(problem, convention):
    query, gallery, query_labels, gallery_labels = problem
    metric = load_metric("sketch_retrieval")
    for start in range(0, 12, 5):
        batch = slice(start, start + 5)
        metric.add_batch(predictions=query[batch], references=query_labels[batch])
    options = {"convention": convention, "ks": (10,)}
    scores = metric.compute(gallery_features=gallery, gallery_labels=gallery_labels, **options)
    assert scores == pytest.approx(
        evaluate_retrieval(query, gallery, query_labels, gallery_labels, **options)
    )


def test_instance_metric_equals_the_core(problem):
    query, gallery, *_ = problem
    names = [f"photo-{index}" for index in range(40)]
    metric = load_metric("sketch_instance_retrieval")
    scores = metric.compute(
        predictions=query,
        references=names[:12],
        gallery_features=gallery,
        gallery_instances=names,
        ks=(1, 10),
    )
    assert scores == evaluate_instance_retrieval(query, gallery, names[:12], names, ks=(1, 10))


def test_metric_loads_offline_in_a_fresh_process_with_an_empty_cache():
    code = (
        "from sketch_prompt.metrics import load_metric\n"
        "metric = load_metric('sketch_retrieval')\n"
        "print(metric.compute(predictions=[[1.0, 0.0]], references=[0], ks=(1,),"
        " gallery_features=[[1.0, 0.0], [0.0, 1.0]], gallery_labels=[0, 1]))"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'mAP@all': 1.0, 'mAP@1': 1.0, 'P@1': 1.0}"


def test_unknown_metric_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="sketch_retrieval, sketch_instance_retrieval"):
        load_metric("retrieval")
