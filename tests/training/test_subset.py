"""Training on a share of the data, or on fewer classes."""

import datasets
import numpy as np
import pytest
from accelerate import Accelerator

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import Trainer
from sketch_prompt.training.recipe import RecipeError
from sketch_prompt.training.subset import take_share
from sketch_prompt.training.validation import hold_out

NAMES = [f"class {i}" for i in range(8)]


def table(labels, instances) -> datasets.Dataset:
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=NAMES), "instance_id": datasets.Value("string")}
    )
    return datasets.Dataset.from_dict({"label": labels, "instance_id": instances}, features=features)


@pytest.fixture
def benchmark() -> datasets.DatasetDict:
    """Six seen classes: 20 photos each, 10 of them drawn twice; two unseen ones."""
    photos = [(label, f"{label}/{i}") for label in range(6) for i in range(20)]
    sketches = [(label, f"{label}/{i}") for label in range(6) for i in range(10) for _ in range(2)]
    return datasets.DatasetDict(
        train_sketch=table(*zip(*sketches)),
        train_photo=table(*zip(*photos)),
        test_sketch=table([6, 7], ["6/0", "7/0"]),
        test_photo=table([6, 7], ["6/0", "7/0"]),
    )


def test_all_is_trained_on_unless_less_is_asked_for(benchmark):
    split = hold_out(benchmark, 2)
    assert take_share(split) is split


@pytest.mark.parametrize(("share", "left"), [(0.5, (10, 10)), (0.1, (2, 2)), (0.01, (1, 1))])
def test_a_share_of_every_classs_sketches_and_photos_is_trained_on_and_nothing_held_out_is_lost(
    benchmark, share, left
):
    split = hold_out(benchmark, 2)
    less = take_share(split, share)
    for domain, count in zip(("sketch", "photo"), left):
        labels = less.training[f"train_{domain}"]["label"][:]
        assert [labels.count(label) for label in np.unique(labels)] == [count] * 4
    assert less.validation is split.validation
    assert less.class_names == split.class_names and (less.class_index == split.class_index).all()


def test_at_instance_level_a_share_of_the_photos_keeps_their_sketches(benchmark):
    less = take_share(hold_out(benchmark, 0), 0.5, level="instance").training
    for label in range(6):
        drawn, photos = (
            {name for name, y in zip(less[split]["instance_id"], less[split]["label"]) if y == label}
            for split in ("train_sketch", "train_photo")
        )
        assert len(photos) == 10 and len(drawn) == 5 and drawn <= photos
    assert len(less["train_sketch"]) == 6 * 5 * 2
    least = take_share(hold_out(benchmark, 0), 0.01, level="instance").training
    assert len(least["train_sketch"]) == 6 * 2 * 2 and len(least["train_photo"]) == 6 * 2


def test_fewer_classes_are_trained_on_and_a_smaller_number_is_part_of_a_greater_one(benchmark):
    split = hold_out(benchmark, 2)
    two, three = (take_share(split, classes=count) for count in (2, 3))
    assert set(two.class_names) < set(three.class_names) < set(split.class_names)
    labels = np.unique(three.training["train_sketch"]["label"][:])
    assert [three.class_names[i] for i in three.class_index[labels]] == [NAMES[label] for label in labels]
    assert set(three.training["train_photo"]["label"][:]) == set(labels)
    assert (three.class_index >= 0).sum() == 3 and three.validation is split.validation


def test_draws_are_the_seeds(benchmark):
    split = hold_out(benchmark, 0)
    drawn = [
        tuple(take_share(split, 0.5, 3, seed).training["train_photo"]["instance_id"]) for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_run_trains_on_as_much_as_its_recipe_says(recipe):
    whole = Trainer(recipe(data={"validation_classes": 0}), Accelerator())
    less = Trainer(
        recipe(data={"validation_classes": 0, "training_classes": 2, "training_share": 0.5}), Accelerator()
    )
    assert len(whole.model.config.class_names) == 4 and len(less.model.config.class_names) == 2
    assert set(less.model.config.class_names) < set(whole.model.config.class_names)
    rows = [len(trainer.split.training["train_sketch"]) for trainer in (whole, less)]
    assert rows[1] == rows[0] / 4


def test_more_classes_than_there_are_and_impossible_shares_are_errors(benchmark):
    with pytest.raises(RecipeError, match="training_classes=5: there are 4 classes"):
        take_share(hold_out(benchmark, 2), classes=5)
    for change in ("training_share=0", "training_share=1.5", "training_classes=1"):
        with pytest.raises(RecipeError, match=change.partition("=")[0]):
            TrainingConfig.load("clip-at-mini", [f"data.{change}"])
