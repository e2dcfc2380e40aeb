from pathlib import Path

import datasets
import numpy as np
import pytest

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.models import TinyModel, TinyProcessor
from sketch_prompt.evaluation import SeenClassError, Task, embed_benchmark, evaluate_model
from sketch_prompt.metrics import evaluate_instance_retrieval, instance_chance_level


def evaluate(benchmark, name="shoe-v2", model=None, **options):
    task = Task(name, **options)
    return evaluate_model(model or TinyModel(), TinyProcessor(), benchmark, task, progress=False).report


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("benchmark"))


@pytest.mark.parametrize("gallery", ["category", "all"])
def test_instance_level_reports_the_accuracy_of_the_metric(benchmark, gallery):
    report = evaluate(benchmark, gallery=gallery, ks=(1, 3))
    sketches, photos = embed_benchmark(TinyModel(), TinyProcessor(), benchmark, progress=False)
    categories = (sketches.labels, photos.labels) if gallery == "category" else ()
    features = (sketches.features, photos.features, sketches.instance_ids, photos.instance_ids)
    assert report.metrics == evaluate_instance_retrieval(*features, *categories, ks=(1, 3))
    assert report.chance == pytest.approx(
        {"Acc@1": 1 / 6, "Acc@3": 0.5} if categories else {"Acc@1": 1 / 18, "Acc@3": 1 / 6}
    )
    assert (report.level, report.gallery, report.convention) == ("instance", gallery, None)
    assert (report.queries, report.photos, report.classes) == (9, 18, 3)
    assert sorted(report.per_class) == UNSEEN
    assert report.curve["k"] == list(range(1, 7 if categories else 19))
    assert report.curve["accuracy"][0] == report.metrics["Acc@1"]
    assert report.curve["accuracy"][-1] == report.curve["chance"][-1] == 1


def test_level_is_the_benchmarks_own_unless_asked_otherwise(benchmark):
    assert list(evaluate(benchmark).metrics) == ["Acc@1", "Acc@5", "Acc@10"]
    assert next(iter(evaluate(benchmark, level="category").metrics)) == "mAP@all"
    assert evaluate(benchmark, "tiny-3").level == "category"
    assert evaluate(benchmark, "tiny-3", level="instance").level == "instance"


def test_a_photo_listed_twice_is_one_photo(benchmark):
    photos = benchmark["test_photo"]
    doubled = datasets.DatasetDict(
        benchmark | {"test_photo": datasets.concatenate_datasets([photos, photos])}
    )
    twice, once = evaluate(doubled), evaluate(benchmark)
    assert (twice.metrics, twice.chance, twice.photos) == (once.metrics, once.chance, once.photos)


def test_a_sketch_of_an_unreadable_photo_is_left_out_and_listed(tmp_path):
    benchmark = write_benchmark(tmp_path)
    (tmp_path / "photo" / "bee" / "1.png").write_bytes(b"no image")
    report = evaluate(benchmark)
    assert (report.queries, report.photos) == (8, 17)
    assert [Path(entry["path"]).parts[-3:] for entry in report.unreadable] == [
        ("sketch", "bee", "1.png"),
        ("photo", "bee", "1.png"),
    ]
    assert report.unreadable[0]["reason"] == "its photo bee-1 cannot be read"


def test_a_sketch_without_a_photo_is_an_error_before_anything_is_embedded(benchmark):
    photos = benchmark["test_photo"].filter(lambda row: row["instance_id"] != "door-2")
    model = TinyModel()
    lacking = datasets.DatasetDict(benchmark | {"test_photo": photos})
    with pytest.raises(ValueError, match=r"1 of 9 test sketches .*\(door/door-2\): add the photos"):
        evaluate(lacking, "sketchy-fg", model)
    assert not model.batches


def test_instance_ids_may_repeat_across_classes(benchmark):
    plain = evaluate(benchmark, gallery="all")
    for split in ("test_sketch", "test_photo"):
        benchmark = datasets.DatasetDict(
            benchmark
            | {split: benchmark[split].map(lambda row: {"instance_id": row["instance_id"].split("-")[1]})}
        )
    assert evaluate(benchmark, gallery="all").metrics == plain.metrics


def generalised(benchmark):
    photos = datasets.concatenate_datasets([benchmark["test_photo"], benchmark["train_photo"]])
    return datasets.DatasetDict(benchmark | {"test_photo": photos})


def test_seen_photos_in_the_gallery_are_named_in_the_claim_and_do_not_trip_the_guard(benchmark):
    report = evaluate(generalised(benchmark), "tiny-3")
    assert (report.setting, report.zero_shot, report.photos) == ("gzs", True, 30)
    assert report.claim.startswith(
        "generalised zero-shot: gallery holds 12 photos of 2 seen classes; none of"
    )
    plain = evaluate(benchmark, "tiny-3")
    assert plain.setting == "zs"
    assert report.chance["mAP@all"] < plain.chance["mAP@all"]


def test_an_untrained_model_on_a_generalised_benchmark_says_so_too(benchmark):
    model = TinyModel(class_names=[])
    report = evaluate(generalised(benchmark), "tiny-3", model)
    assert report.setting == "gzs"


def test_photos_that_no_query_of_its_category_searches_are_not_claimed(benchmark):
    assert evaluate(generalised(benchmark)).setting == "zs"
    assert evaluate(generalised(benchmark), gallery="all").setting == "gzs"


def test_chance_of_unequal_categories_is_a_mean_over_the_queries():
    chance = instance_chance_level(np.array([0, 0, 1]), np.array([0, 0, 1, 1, 1, 1]), (1,))
    assert chance["Acc@1"] == pytest.approx((2 / 2 + 1 / 4) / 3)


def parted(benchmark, share_photos=False) -> datasets.DatasetDict:
    """The test classes trained on, too: in the training data is all but the first photo of each and its sketch."""
    tables = {}
    for domain in ("sketch", "photo"):
        table = benchmark[f"test_{domain}"]
        first = [i for i, name in enumerate(table["instance_id"]) if name.endswith("-0")]
        rest = [i for i in range(len(table)) if i not in first]
        tables |= {f"test_{domain}": table.select(first), f"train_{domain}": table.select(rest)}
    if share_photos:
        tables["train_photo"] = benchmark["test_photo"]
    return datasets.DatasetDict(tables)


def test_other_instances_of_trained_classes_need_no_permission_at_instance_level(benchmark):
    model = TinyModel(class_names=UNSEEN)
    report = evaluate(parted(benchmark), model=model)
    assert report.setting == "instances" and not report.zero_shot
    with pytest.raises(SeenClassError):
        evaluate(parted(benchmark), model=model, level="category")


def test_photos_trained_on_are_refused_at_instance_level(benchmark):
    model = TinyModel(class_names=UNSEEN)
    with pytest.raises(SeenClassError):
        evaluate(parted(benchmark, True), model=model)
