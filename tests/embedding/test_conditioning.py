"""Models that embed under a category are shown each, told which, and forget it again."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.models import TinyModel, TinyProcessor
from sketch_prompt.embedding.conditioning import conditioned, show_categories
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.evaluation.report import Report


class ConditionalModel(TinyModel):
    """Keeps what it was shown, and notes under which category it embeds."""

    is_conditional = True
    support_size = (1, 2)

    def __init__(self):
        super().__init__()
        self.shown, self.under = {}, []

    @property
    def categories(self):
        return list(self.shown)

    def add_category(self, name, sketches, photos, processor):
        self.shown[name] = [np.asarray(image).tobytes() for image in (*sketches, *photos)]

    def remove_category(self, name):
        del self.shown[name]

    def predict_categories(self, pixel_values, candidates):
        assert set(candidates) == set(UNSEEN) == set(self.shown)
        return [candidates[0]] * len(pixel_values)

    def get_photo_features(self, pixel_values, category=None):
        assert category is None or set(category) <= set(self.shown)
        self.under += [None] * len(pixel_values) if category is None else category
        return super().get_photo_features(pixel_values)

    def get_sketch_features(self, pixel_values, category=None):
        return self.get_photo_features(pixel_values, category)


@pytest.fixture
def benchmark(tmp_path):
    return write_benchmark(tmp_path)


@pytest.mark.parametrize("condition", ["given", "predicted", "none"])
def test_every_image_is_embedded_under_the_category_that_the_report_names(benchmark, condition):
    model = ConditionalModel()
    task = Task("sketch-folder", condition=condition)
    report = evaluate_model(model, TinyProcessor(), benchmark, task, progress=False).report
    names = [
        benchmark[split].features["label"].int2str(label)
        for split in ("test_sketch", "test_photo")
        for label in benchmark[split]["label"]
    ]
    expected = {"given": names, "predicted": [UNSEEN[0]] * len(names), "none": [None] * len(names)}[condition]
    assert model.under == expected
    assert report.condition == condition
    assert {"given": "own category", "predicted": "predicted", "none": "without a category"}[
        condition
    ] in report.to_markdown()
    assert Report(**report.__dict__).condition == report.condition
    assert model.shown == {} and model.training


def test_a_plain_model_is_told_no_category_and_its_report_names_none(benchmark):
    task = Task("sketch-folder")
    report = evaluate_model(TinyModel(), TinyProcessor(), benchmark, task, progress=False).report
    assert report.condition is None


def test_the_category_is_given_only_where_the_search_knows_it():
    assert Task("mini").condition == "predicted"
    assert Task("mini", level="instance").condition == "given"
    assert Task("mini", level="instance", gallery="all").condition == "predicted"
    assert Task("mini", level="instance", condition="none").condition == "none"
    with pytest.raises(StrictDataclassError, match=r"'condition' expected one of .*, got all"):
        Task("mini", condition="all")


def test_a_support_set_holds_a_sketch_and_two_photos_of_its_class_and_is_the_same_each_time(benchmark):
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    drawn = []
    for seed in (0, 0, 1):
        model = ConditionalModel()
        assert show_categories(model, TinyProcessor(), *tables, seed=seed, progress=False) == UNSEEN
        drawn.append(model.shown)
    assert drawn[0] == drawn[1] != drawn[2]
    for name, support in drawn[0].items():
        for images, table in ((support[:1], tables[0]), (support[1:], tables[1])):
            label = table.features["label"].str2int(name)
            own = [
                np.asarray(image).tobytes() for image, y in zip(table["image"], table["label"]) if y == label
            ]
            assert len(set(images)) == len(images) and set(images) <= set(own)
        assert len(support) == 3


@pytest.mark.parametrize("support", ["random", "unmatched"])
def test_support_sets_of_other_images_are_drawn_from_where_the_report_says(benchmark, support):
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    owners = {
        np.asarray(image).tobytes(): table.features["label"].int2str(label)
        for table in tables
        for image, label in zip(table["image"], table["label"])
    }
    model, shown = ConditionalModel(), {}
    show_categories(model, TinyProcessor(), *tables, support=support, progress=False)
    shown = {name: [owners[image] for image in images] for name, images in model.shown.items()}
    assert all(len(images) == 3 for images in shown.values())
    if support == "unmatched":
        assert all(len(set(images)) == 1 and name not in images for name, images in shown.items())
    else:
        assert any(len(set(images)) > 1 for images in shown.values())
    task = Task("sketch-folder", support=support)
    model = ConditionalModel()
    report = evaluate_model(model, TinyProcessor(), benchmark, task, progress=False).report
    assert (
        report.support == support
        and {"random": "random images", "unmatched": "another category"}[support] in report.to_markdown()
    )
    assert model.shown == {}


def test_other_support_sets_are_refused_where_they_could_not_be_shown(benchmark):
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    model = ConditionalModel()
    model.shown["bee"] = ["mine"]
    with pytest.raises(ValueError, match=r"it knows 1 of 3"):
        show_categories(model, TinyProcessor(), *tables, support="random", progress=False)
    with pytest.raises(StrictDataclassError, match="'support' expected one of"):
        Task("mini", support="other")
    with pytest.raises(ValueError, match="is not used with condition='none'"):
        Task("mini", support="random", condition="none")


def test_a_category_that_the_model_knows_is_left_as_it_is(benchmark):
    model = ConditionalModel().eval()
    model.shown["bee"] = ["mine"]
    with conditioned(model, TinyProcessor(), benchmark, "given", progress=False):
        assert model.shown["bee"] == ["mine"] and set(model.shown) == set(UNSEEN)
    assert model.shown == {"bee": ["mine"]}


def test_unreadable_support_images_are_passed_over_and_a_class_without_any_is_named(tmp_path, benchmark):
    photos = sorted((tmp_path / "photo" / "bee").iterdir())
    for path in photos[:4]:
        path.write_bytes(b"broken")
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    model = ConditionalModel()
    show_categories(model, TinyProcessor(), *tables, progress=False)
    assert len(model.shown["bee"]) == 3
    for path in [*photos, *(tmp_path / "sketch" / "bee").iterdir()]:
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"No image of class 'bee' can be read.*png"):
        show_categories(ConditionalModel(), TinyProcessor(), *tables, progress=False)


def test_the_model_forgets_the_categories_even_where_embedding_fails(benchmark):
    model = ConditionalModel()
    with pytest.raises(RuntimeError), conditioned(model, TinyProcessor(), benchmark, "given", progress=False):
        assert not model.training
        raise RuntimeError
    assert model.shown == {} and model.training


def test_conditions_reach_the_encoder_row_by_row(benchmark):
    model = ConditionalModel().eval()
    with conditioned(model, TinyProcessor(), benchmark, "given", progress=False) as conditions:
        labels = np.array([benchmark["test_photo"].features["label"].str2int(name) for name in UNSEEN])
        assert conditions(torch.zeros(3, 3, 8, 8), labels) == {"category": UNSEEN}
