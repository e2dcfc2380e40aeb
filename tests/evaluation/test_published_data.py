import datasets
import pytest

from sketch_prompt.data.splits import published_split
from sketch_prompt.evaluation.published_data import differences_from_published


def tables(protocol, classes=None, counts=None, names=None):
    """Tables of labels alone: every class once, or as many rows as `counts` says."""
    split = published_split(protocol)
    names = list(names or split.class_names)
    features = datasets.Features(label=datasets.ClassLabel(names=names))
    labels = [names.index(name) for name in classes or split.unseen]
    result = {}
    for name in ("test_sketch", "test_photo"):
        rows = labels + labels[:1] * ((counts or split.counts)[name] - len(labels))
        result[name] = datasets.Dataset.from_dict({"label": rows}, features=features)
    return datasets.DatasetDict(result)


def test_full_published_data_differ_in_nothing():
    assert differences_from_published(tables("sketchy-21"), "sketchy-21") == []


def test_numbers_of_files_are_compared():
    part = tables("sketchy-21", counts={"test_sketch": 12694, "test_photo": 900})
    assert differences_from_published(part, "sketchy-21") == ["900 test photos where 12,553 are published"]


def test_missing_and_foreign_classes_are_counted():
    split = published_split("sketchy-21")
    part = tables("sketchy-21", classes=[*split.unseen[:10], split.seen[0]])
    assert differences_from_published(part, "sketchy-21") == [
        "10 of the 21 test classes",
        "1 test classes that are not the protocol's",
    ]


def test_photos_of_seen_classes_in_a_generalised_gallery_do_not_count():
    full = tables("sketchy-21")
    seen = full["test_photo"].select(range(5)).map(lambda row: {"label": 0})
    full["test_photo"] = datasets.concatenate_datasets([full["test_photo"], seen])
    assert differences_from_published(full, "sketchy-21") == []


def test_after_training_on_another_benchmark_its_classes_are_not_expected():
    seen = published_split("sketchy-25").seen
    left = [name for name in published_split("tu-berlin-30").unseen if name not in seen]
    crossed = tables("tu-berlin-30", classes=left)
    assert differences_from_published(crossed, "tu-berlin-30", "sketchy-25") == []
    assert differences_from_published(crossed, "tu-berlin-30") == ["21 of the 30 test classes"]


@pytest.mark.parametrize(("protocol", "photos"), [("sketchy-fg", 2100), ("shoe-v2", 200), ("chair-v2", 100)])
def test_instance_galleries_are_compared_too(protocol, photos):
    full = tables("sketchy-21", counts={"test_sketch": 50, "test_photo": photos})
    assert differences_from_published(full, protocol) == []
    part = tables("sketchy-21", counts={"test_sketch": 50, "test_photo": 30})
    (difference,) = differences_from_published(part, protocol)
    assert difference == f"30 test photos where {photos:,} are published"


@pytest.mark.parametrize("protocol", ["mini", "sketch-folder"])
def test_nothing_is_said_where_nothing_was_published(protocol):
    assert differences_from_published(tables("sketchy-21"), protocol) == []
