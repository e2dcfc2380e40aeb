"""Evaluation with a model that scores pairs: what it ranks by, what it computes, where it goes on."""

import gc
import json

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from fakes.benchmarks import write_benchmark
from fakes.models import TinyFusedModel, TinyModel, TinyPairModel, TinyProcessor
from sketch_prompt.evaluation import Task, embed_benchmark, evaluate_model, pairwise, ranking
from sketch_prompt.evaluation.fusion import choose_rerank_weight
from sketch_prompt.metrics import evaluate_retrieval

N_SKETCHES, N_PHOTOS = 9, 18


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("benchmark"))


def evaluate(benchmark, model, ranking=None, shortlist=100, **options):
    task = Task("tiny-3", ks=(5,), ranking=ranking, shortlist=shortlist)
    return evaluate_model(model, TinyProcessor(), benchmark, task, progress=False, **options).report


def pair_features(benchmark):
    model = TinyPairModel().eval()
    model.adapter.projection = model.adapter.pair_projection
    return embed_benchmark(model, TinyProcessor(), benchmark, progress=False)


def test_every_pair_is_ranked_by_its_score_and_every_image_encoded_once(benchmark):
    model = TinyPairModel()
    report = evaluate(benchmark, model, ranking="exhaustive", batch_size=4)
    sketches, photos = pair_features(benchmark)
    arrays = (sketches.features, photos.features, sketches.labels, photos.labels)
    assert report.metrics == pytest.approx(evaluate_retrieval(*arrays, ks=(5,)), abs=1e-6)
    assert (report.ranking, report.shortlist, report.pairs) == ("exhaustive", None, N_SKETCHES * N_PHOTOS)
    assert model.encoded == N_SKETCHES + N_PHOTOS and model.pairs == N_SKETCHES * N_PHOTOS
    assert "ranked by every pair" in report.to_markdown() and "162 of 162" in report.to_markdown()


def test_reranking_is_what_a_model_that_can_does_by_default(benchmark):
    model = TinyPairModel()
    report = evaluate(benchmark, model, shortlist=5)
    assert (report.ranking, report.shortlist, report.pairs) == ("rerank", 5, 5 * N_SKETCHES)
    assert model.encoded == N_SKETCHES + N_PHOTOS and model.pairs == report.pairs
    everything = evaluate(benchmark, TinyPairModel(), shortlist=1000)
    assert everything.metrics == pytest.approx(
        evaluate(benchmark, TinyPairModel(), ranking="exhaustive").metrics
    )
    by_embedding = evaluate(benchmark, TinyPairModel(), ranking="embedding")
    assert by_embedding.metrics == evaluate(benchmark, TinyModel()).metrics
    assert by_embedding.pairs == 0 and by_embedding.ranking == "embedding"


def test_the_first_photos_are_ranked_by_similarity_and_pair_as_the_model_fuses_them(benchmark):
    embedded = embed_benchmark(TinyFusedModel().eval(), TinyProcessor(), benchmark, progress=False)
    by_pair = [table.features for table in pair_features(benchmark)]
    similarity, pair = (side[0] @ side[1].T for side in ([table.features for table in embedded], by_pair))
    evaluation = evaluate_model(
        TinyFusedModel(), TinyProcessor(), benchmark, Task("tiny-3", ks=(5,), shortlist=5), progress=False
    )
    report, scores = evaluation.report, evaluation.search.scores
    assert (report.ranking, report.shortlist, report.rerank_weight) == ("rerank", 5, 0.5)
    assert "the first 5 re-ranked by similarity and pair (weight 0.5)" in report.sentence
    first = np.argsort(-similarity, axis=1, kind="stable")
    fused = np.take_along_axis(similarity + 0.5 * pair, first[:, :5], 1)
    expected = np.take_along_axis(first[:, :5], np.argsort(-fused, axis=1, kind="stable"), 1)
    ((_, block),) = scores.blocks()
    order = np.argsort(-block, axis=1, kind="stable")
    assert np.array_equal(order[:, :5], expected)
    assert np.array_equal(order[:, 5:], first[:, 5:])


def test_the_old_way_ranks_the_first_photos_by_the_pair_alone(benchmark):
    plain = evaluate(benchmark, TinyFusedModel(), ranking="rerank-plain", shortlist=5)
    assert plain.metrics == evaluate(benchmark, TinyPairModel(), ranking="rerank", shortlist=5).metrics
    assert (plain.ranking, plain.rerank_weight) == ("rerank-plain", None)
    assert "the first 5 re-ranked pairwise" in plain.sentence
    without = TinyFusedModel()
    without.config.rerank_weight = None
    assert evaluate(benchmark, without, shortlist=5).metrics == plain.metrics


@pytest.mark.parametrize("level", ["category", "instance"])
def test_the_weight_is_the_one_that_is_best_on_what_was_evaluated_and_pairs_are_scored_once(benchmark, level):
    task = Task("tiny-3", level, shortlist=6)
    metric = {"category": "mAP@all", "instance": "Acc@1"}[level]
    model, weights = TinyFusedModel(), (0.0, 0.3, 3.0)
    evaluation = evaluate_model(model, TinyProcessor(), benchmark, task, progress=False)
    pairs = model.pairs
    found = choose_rerank_weight(model, benchmark, task, evaluation, metric, weights)
    assert model.pairs == pairs and list(found) == list(weights)
    for weight in weights:
        again = TinyFusedModel()
        again.config.rerank_weight = weight
        report = evaluate_model(again, TinyProcessor(), benchmark, task, progress=False).report
        assert found[weight] == pytest.approx(report.metrics[metric], abs=1e-9)
    best = max(found.values())
    assert model.config.rerank_weight == min(weight for weight in weights if found[weight] == best)
    plain = evaluate_model(
        model, TinyProcessor(), benchmark, Task("tiny-3", ranking="exhaustive"), progress=False
    )
    with pytest.raises(ValueError, match="chosen on an evaluation with ranking='rerank'"):
        choose_rerank_weight(model, benchmark, task, plain, metric)


@pytest.mark.parametrize("how", ["rerank", "exhaustive"])
def test_images_beyond_the_memory_limit_go_to_a_folder_and_change_nothing(
    benchmark, how, tmp_path, monkeypatch
):
    expected = evaluate(benchmark, TinyPairModel(), ranking=how, batch_size=4)
    written = []
    write = pairwise.PairStore._write
    monkeypatch.setattr(pairwise, "MEMORY_BYTES", 5000)  # six images
    monkeypatch.setattr(pairwise, "_OPEN_FILES", 2)
    monkeypatch.setattr(ranking, "_PREPARED_BYTES", 300)  # four images
    monkeypatch.setattr(
        pairwise.PairStore, "_write", lambda self, *batch: written.append(self.folder) or write(self, *batch)
    )
    scratch = tmp_path / "scratch"
    report = evaluate(benchmark, TinyPairModel(), ranking=how, batch_size=4, scratch_dir=scratch)
    assert report.metrics == pytest.approx(expected.metrics, abs=1e-6)
    assert len(written) == 3 + 5 and {folder.parent for folder in written} == {scratch}
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_tokens_kept_in_float16_rank_nearly_the_same(benchmark):
    full = evaluate(benchmark, TinyPairModel(), ranking="exhaustive")
    half = evaluate(benchmark, TinyPairModel(), ranking="exhaustive", pair_dtype=torch.float16)
    assert half.metrics == pytest.approx(full.metrics, abs=0.02)


def test_instance_level_scores_pairs_of_a_category_alone(benchmark):
    photos = benchmark["test_photo"]
    drawn = set(benchmark["test_sketch"]["instance_id"])
    assert drawn <= set(photos["instance_id"])
    task = Task("tiny-3", level="instance", ranking="exhaustive")
    report = evaluate_model(TinyPairModel(), TinyProcessor(), benchmark, task, progress=False).report
    assert report.pairs == 3 * (3 * 6) and set(report.metrics) == {"Acc@1", "Acc@5", "Acc@10"}


def test_the_photos_shown_of_a_query_are_those_of_its_pairwise_ranking(benchmark):
    from sketch_prompt.evaluation.outputs import ranked_queries

    evaluation = evaluate_model(
        TinyPairModel(), TinyProcessor(), benchmark, Task("tiny-3", ranking="exhaustive"), progress=False
    )
    sketches, photos = pair_features(benchmark)
    best = np.sort(sketches.features @ photos.features.T, axis=1)[:, ::-1]
    shown = ranked_queries(benchmark, evaluation.search, [4], top_k=3)[0]
    np.testing.assert_allclose(shown.scores, best[4, :3], atol=1e-6)


def test_a_run_goes_on_from_its_folder_and_encodes_nothing_twice(benchmark, tmp_path):
    class Dies(TinyPairModel):
        def encode_tokens(self, pixel_values, domain):
            if self.encoded >= 12:
                raise KeyboardInterrupt
            return super().encode_tokens(pixel_values, domain)

    options = {"ranking": "exhaustive", "work_dir": tmp_path / "work", "batch_size": 4}
    with pytest.raises(KeyboardInterrupt):
        evaluate(benchmark, Dies(), **options)
    model = TinyPairModel()
    report = evaluate(benchmark, model, **options)
    assert model.encoded < N_SKETCHES + N_PHOTOS - 8
    assert report.metrics == evaluate(benchmark, TinyPairModel(), ranking="exhaustive", batch_size=4).metrics
    again = TinyPairModel()
    assert evaluate(benchmark, again, **options).metrics == report.metrics
    assert again.encoded == again.pairs == 0


def test_a_folder_of_another_model_or_batch_size_is_refused(benchmark, tmp_path):
    evaluate(benchmark, TinyPairModel(), work_dir=tmp_path)
    for model, options, what in (
        (TinyPairModel(seed=2), {}, "weights"),
        (TinyPairModel(), {"batch_size": 7}, "batch_size"),
        (TinyPairModel(), {"pair_dtype": torch.bfloat16}, "dtype"),
    ):
        with pytest.raises(ValueError, match=rf"another evaluation \(its {what} differ\)"):
            evaluate(benchmark, model, work_dir=tmp_path, **options)
    assert json.loads((tmp_path / "job.json").read_text())["model"] == "tiny-pairs"


def test_unreadable_images_stay_left_out_when_a_run_goes_on(tmp_path):
    benchmark = write_benchmark(tmp_path / "data")
    (tmp_path / "data" / "photo" / "bee" / "1.png").write_bytes(b"GIF87")
    reports = [evaluate(benchmark, TinyPairModel(), work_dir=tmp_path / "work") for _ in range(2)]
    assert reports[0].metrics == reports[1].metrics and reports[0].photos == N_PHOTOS - 1
    assert [len(report.unreadable) for report in reports] == [1, 1]


def test_a_model_that_cannot_score_pairs_says_so(benchmark):
    with pytest.raises(ValueError, match="tiny compares embeddings only: ranking='rerank' needs"):
        evaluate(benchmark, TinyModel(), ranking="rerank")
    with pytest.raises(StrictDataclassError, match=r"'ranking' with value 'best'.*'embedding'"):
        Task("tiny-3", ranking="best")
    with pytest.raises(ValueError, match="shortlist must be at least 1"):
        Task("tiny-3", shortlist=0)
