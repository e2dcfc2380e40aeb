"""Hold out some seen classes or instances, to choose a checkpoint without the test data."""

from typing import NamedTuple

import datasets
import numpy as np

from sketch_prompt.data.configs import Level
from sketch_prompt.evaluation.search import instance_keys, parts_instances
from sketch_prompt.training.recipe import RecipeError

LEAST_CLASSES = 2  # negatives are from another class, and with a single class every ranking is right


class Split(NamedTuple):
    """The training data of a benchmark, divided into training and validation data.

    Attributes:
        class_names: The C training classes, in the order of the benchmark. Training labels index this list.
        class_index: (labels of the benchmark,) index in `class_names` of each label; -1 if it is not trained on.
        training: `train_sketch` and `train_photo` to train on.
        validation: The held-out data as `test_sketch` and `test_photo`, for `evaluate_model`; None if nothing is held
            out.
        held_out: What is held out: "seen classes" or "instances".
    """

    class_names: list[str]
    class_index: np.ndarray
    training: datasets.DatasetDict
    validation: datasets.DatasetDict | None
    held_out: str


def hold_out(
    benchmark: datasets.DatasetDict, amount: float, seed: int = 0, level: Level = "category"
) -> Split:
    """Divide the training data of a benchmark into training and validation data. The test data are not used.

    Seen classes are held out. If a benchmark tests other instances of its training classes (`shoe-v2`), instances are
    held out instead. All sketches of a photo stay together.

    Args:
        benchmark: From `load_benchmark`. The splits `train_sketch` and `train_photo` are used.
        amount: A share below 1 of the seen classes or instances (at least two), or a number of them; 0 for none.
        seed: Seed for the choice, which is the same on every machine.
        level: The level of training.

    Raises:
        RecipeError: Only one class would be held out, or too few would be left to train on.
    """
    sketches, photos = benchmark["train_sketch"], benchmark["train_photo"]
    labels = {"sketch": np.asarray(sketches["label"][:]), "photo": np.asarray(photos["label"][:])}
    classes = np.unique(labels["sketch"])
    if level == "instance" and parts_instances(benchmark):
        held_out = "instances"
        keys = {domain: instance_keys(benchmark[f"train_{domain}"]) for domain in labels}
        pool = np.unique(keys["sketch"])
    else:
        held_out, keys, pool = "seen classes", labels, classes
    count = _count(amount, len(pool))
    least = LEAST_CLASSES if level == "category" or held_out == "instances" else 1
    if count == 1 or len(pool) - count < least:
        raise RecipeError(
            f"data.validation_classes={amount} divides {len(pool)} {held_out} into {len(pool) - count} for "
            f"training and {count} for validation, but both need at least {LEAST_CLASSES} (0 holds out none)"
        )
    chosen = np.random.default_rng(seed).permutation(pool)[:count]
    training = classes if held_out == "instances" else np.setdiff1d(classes, chosen)
    names = sketches.features["label"].names
    class_index = np.full(len(names), -1)
    class_index[training] = np.arange(len(training))

    def part(prefix: str, inside: bool) -> dict[str, datasets.Dataset]:
        rows = {domain: np.flatnonzero(np.isin(keys[domain], chosen) == inside) for domain in keys}
        return {f"{prefix}_{name}": benchmark[f"train_{name}"].select(rows[name]) for name in rows}

    kept = part("train", False)
    if held_out == "seen classes":
        # A class with photos but no sketch cannot be trained on.
        kept = {name: _select_classes(table, training) for name, table in kept.items()}
    validation = part("test", True)
    if held_out == "instances":
        validation |= kept  # shows that these are not the instances trained on
    return Split(
        class_names=[names[label] for label in training],
        class_index=class_index,
        training=datasets.DatasetDict(kept),
        validation=datasets.DatasetDict(validation) if count else None,
        held_out=held_out,
    )


def take_sample(
    validation: datasets.DatasetDict, count: int | None, seed: int = 0, level: Level = "category"
) -> datasets.DatasetDict:
    """A random sample of the held-out data, with at most `count` sketches and `count` photos.

    Args:
        validation: From `hold_out`.
        count: None for all.
        seed: Seed for the choice, which is the same on every machine.
        level: At instance level, all photos of the chosen sketches are kept, even if there are more than `count`.
    """
    if count is None:
        return validation
    rng = np.random.default_rng(seed)
    sketches, photos = validation["test_sketch"], validation["test_photo"]
    sketches = sketches.select(np.sort(rng.permutation(len(sketches))[:count]))
    order = rng.permutation(len(photos))
    if level == "instance":
        own = np.isin(instance_keys(photos), instance_keys(sketches))[order]
    else:
        # Each class keeps a photo, so that its sketches have something to find.
        labels = np.asarray(photos["label"][:])[order]
        own = np.isin(np.arange(len(order)), np.unique(labels, return_index=True)[1])
    order = np.concatenate([order[own], order[~own]])[: max(count, own.sum())]
    return datasets.DatasetDict(
        {**validation, "test_sketch": sketches, "test_photo": photos.select(np.sort(order))}
    )


def _select_classes(table: datasets.Dataset, classes: np.ndarray) -> datasets.Dataset:
    labels = np.asarray(table["label"][:])
    kept = np.isin(labels, classes)
    return table if kept.all() else table.select(np.flatnonzero(kept))


def _count(amount: float, pool: int) -> int:
    if amount >= 1:
        return int(amount)
    return max(LEAST_CLASSES, round(amount * pool)) if amount > 0 else 0
