import datasets
import numpy as np
import pytest

from sketch_prompt.training.recipe import RecipeError
from sketch_prompt.training.validation import hold_out, take_sample

NAMES = [f"class {i}" for i in range(8)]


def table(labels) -> datasets.Dataset:
    features = datasets.Features({"label": datasets.ClassLabel(names=NAMES), "row": datasets.Value("int64")})
    return datasets.Dataset.from_dict({"label": labels, "row": range(len(labels))}, features=features)


@pytest.fixture
def benchmark() -> datasets.DatasetDict:
    """Six seen classes and two unseen ones."""
    return datasets.DatasetDict(
        train_sketch=table([0, 1, 2, 3, 4, 5] * 3),
        train_photo=table([5, 4, 3, 2, 1, 0] * 2),
        test_sketch=table([6, 7]),
        test_photo=table([6, 7]),
    )


def test_training_and_validation_part_the_seen_classes_and_leave_the_unseen_out(benchmark):
    split = hold_out(benchmark, 2, seed=3)
    trained, held_out = (
        {label for table in part.values() for label in table["label"]}
        for part in (split.training, split.validation)
    )
    assert trained | held_out == set(range(6)) and not trained & held_out
    assert len(held_out) == 2
    for domain, rows in (("sketch", 18), ("photo", 12)):
        assert len(split.training[f"train_{domain}"]) + len(split.validation[f"test_{domain}"]) == rows


def test_training_labels_index_the_class_names(benchmark):
    split = hold_out(benchmark, 2)
    labels = np.unique(split.training["train_photo"]["label"][:])
    assert [split.class_names[i] for i in split.class_index[labels]] == [NAMES[label] for label in labels]
    assert (split.class_index[np.unique(split.validation["test_photo"]["label"][:])] == -1).all()


def test_the_draw_is_the_seeds(benchmark):
    first, again = (hold_out(benchmark, 0.4, seed=1).class_names for _ in range(2))
    assert first == again
    assert len({tuple(hold_out(benchmark, 0.4, seed=s).class_names) for s in range(10)}) > 1


@pytest.mark.parametrize(("amount", "held_out"), [(0, 0), (0.01, 2), (0.5, 3), (4, 4)])
def test_a_share_or_a_number_of_classes_is_held_out(benchmark, amount, held_out):
    split = hold_out(benchmark, amount)
    assert len(split.class_names) == 6 - held_out
    assert (split.validation is None) == (held_out == 0)


@pytest.mark.parametrize("amount", [1, 5, 6, 0.9, 40])
def test_too_few_classes_on_either_side_is_an_error(benchmark, amount):
    with pytest.raises(RecipeError, match=r"data.validation_classes=.* divides 6 seen classes into"):
        hold_out(benchmark, amount)


def test_a_sample_of_the_held_out_images_has_photos_of_every_class_and_is_the_seeds(benchmark):
    validation = hold_out(benchmark, 3).validation
    assert take_sample(validation, None) is validation
    some, again = (take_sample(validation, 4, seed=5) for _ in range(2))
    for split, size in (("test_sketch", 4), ("test_photo", 4)):
        assert len(some[split]) == size and some[split]["row"][:] == again[split]["row"][:]
        assert set(some[split]["row"]) <= set(validation[split]["row"])
        assert some[split]["row"][:] == sorted(some[split]["row"][:])
    assert set(some["test_photo"]["label"]) == set(validation["test_photo"]["label"])
    assert len(take_sample(validation, 2)["test_photo"]) == 3  # one of each class
    assert len(take_sample(validation, 100)["test_sketch"]) == len(validation["test_sketch"])


def test_a_sample_of_instances_keeps_the_photos_that_were_drawn():
    shoes = datasets.DatasetDict(
        test_sketch=instances("uuvvwwxxyy"), test_photo=instances("uvwxyz"), train_photo=instances("abc")
    )
    some = take_sample(shoes, 3, seed=1, level="instance")
    assert len(some["test_sketch"]) == 3 and len(some["test_photo"]) == 3
    assert set(some["test_sketch"]["instance_id"]) <= set(some["test_photo"]["instance_id"])
    assert some["train_photo"] is shoes["train_photo"]


def instances(rows) -> datasets.Dataset:
    """A table of one class."""
    return table([0] * len(rows)).add_column("instance_id", list(rows))


def test_where_the_test_classes_are_trained_on_instances_are_held_out_with_all_their_sketches():
    shoes = datasets.DatasetDict(
        train_sketch=instances("aabbccddee"),
        train_photo=instances("abcdef"),
        test_sketch=instances("xxyy"),
        test_photo=instances("xy"),
    )
    split = hold_out(shoes, 0.4, level="instance")
    held_out = set(split.validation["test_sketch"]["instance_id"])
    trained = set(split.training["train_sketch"]["instance_id"])
    assert split.held_out == "instances" and len(held_out) == 2
    assert not held_out & trained and held_out | trained == set("abcde")
    assert set(split.validation["test_photo"]["instance_id"]) == held_out
    assert split.class_names == ["class 0"]
    with pytest.raises(RecipeError, match="divides 1 seen classes"):
        hold_out(shoes, 0.4, level="category")
