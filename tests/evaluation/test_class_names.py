"""Searching photos by the names of the sketches' classes."""

import numpy as np
import pytest
import torch

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.clip import WordProcessor, tiny_clip
from fakes.models import TinyPairModel, TinyProcessor
from sketch_prompt import DpClipConfig, DpClipModel, FrozenClipConfig, FrozenClipModel
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.evaluation.class_names import class_name_queries
from sketch_prompt.image_processing import SketchPromptImageProcessor


class PictureProcessor(WordProcessor):
    """Words, and pictures of the tiny CLIP's size."""

    image_processor = SketchPromptImageProcessor(size=32)

    def preprocess(self, image, domain):
        return self.image_processor.preprocess(image, domain)


@pytest.fixture
def benchmark(tmp_path):
    return write_benchmark(tmp_path)


@pytest.fixture
def frozen():
    return FrozenClipModel(FrozenClipConfig(base_model=None), backbone=tiny_clip())


def test_a_query_is_the_text_of_the_sketchs_class(benchmark, frozen):
    table = class_name_queries(frozen, WordProcessor(), benchmark["test_sketch"], 32)
    sentences = [f"a photo of a {name}" for name in UNSEEN]
    texts = frozen.get_text_features(WordProcessor()(sentences)["input_ids"]).numpy()
    names = benchmark["test_sketch"].features["label"].names
    for features, label in zip(table.features, benchmark["test_sketch"]["label"]):
        assert np.allclose(features, texts[UNSEEN.index(names[label])], atol=1e-6)
    assert table.labels.tolist() == benchmark["test_sketch"]["label"][:]
    assert len(table.rows) == len(benchmark["test_sketch"]) and not table.unreadable


def test_a_report_says_what_was_searched_with_and_no_sketch_is_embedded(benchmark, frozen, monkeypatch):
    monkeypatch.setattr(frozen, "get_sketch_features", None)
    options = {"batch_size": 4, "progress": False}
    task = Task("sketch-folder", query="class-name")
    report = evaluate_model(frozen, PictureProcessor(), benchmark, task, **options).report
    assert report.query == "class-name" and report.queries == len(benchmark["test_sketch"])
    assert "class names (one for each sketch) of 3 classes" in report.to_markdown()
    # Every sketch of a class ranks the photos alike.
    assert all(0 <= value <= 1 for value in report.metrics.values())


def test_a_method_that_ranks_by_pairs_ranks_names_by_embedding():
    task = Task("sketch-folder", query="class-name")
    assert task.ranking_with(TinyPairModel()) == "embedding"
    with pytest.raises(ValueError, match="query='class-name' ranks by embedding"):
        Task("sketch-folder", query="class-name", ranking="rerank")


def test_photos_that_texts_cannot_be_compared_with_are_said(benchmark):
    torch.manual_seed(0)
    model = DpClipModel(DpClipConfig(base_model=None), backbone=tiny_clip())
    with pytest.raises(ValueError, match=r"dp-clip embeds photos in 160 dimensions and texts in 32"):
        class_name_queries(model, WordProcessor(), benchmark["test_sketch"], 160)
    with pytest.raises(ValueError, match="no CLIP"):
        class_name_queries(TinyPairModel(), TinyProcessor(), benchmark["test_sketch"], 16)
