"""Choosing a checkpoint without looking at the unseen classes: some seen classes are held out for it."""

from typing import NamedTuple

import datasets
import numpy as np

from sketch_prompt.training.recipe import RecipeError

LEAST_CLASSES = 2  # a triplet's negative is of another class, and among photos of one every ranking is right


class ClassSplit(NamedTuple):
    """The seen classes of a benchmark, parted.

    Attributes:
        class_names: The C training classes, sorted as in the benchmark; training labels index this list.
        class_index: (labels of the benchmark,) what a benchmark label is in `class_names`, -1 where in none.
        training: `train_sketch` and `train_photo` of the training classes.
        validation: `test_sketch` and `test_photo` of the held-out classes, ready for `evaluate_model`; None
            where no class is held out.
    """

    class_names: list[str]
    class_index: np.ndarray
    training: datasets.DatasetDict
    validation: datasets.DatasetDict | None


def hold_out_classes(benchmark: datasets.DatasetDict, amount: float, seed: int = 0) -> ClassSplit:
    """Part the seen classes of a benchmark for training and validation; the unseen ones are not touched.

    Args:
        benchmark: From `load_benchmark`; its splits `train_sketch` and `train_photo` are used.
        amount: A share of the seen classes (below 1; at least two classes) or a number of them; 0 for none.
        seed: Of the draw, which is the same on every machine.

    Raises:
        RecipeError: A single class would be held out, or fewer than two would be left to train on.
    """
    sketches, photos = benchmark["train_sketch"], benchmark["train_photo"]
    labels = {"sketch": np.asarray(sketches["label"][:]), "photo": np.asarray(photos["label"][:])}
    seen = np.unique(labels["sketch"])
    count = _count(amount, len(seen))
    if count == 1 or len(seen) - count < LEAST_CLASSES:
        raise RecipeError(
            f"data.validation_classes={amount} parts {len(seen)} seen classes into {len(seen) - count} for "
            f"training and {count} for validation; both need at least {LEAST_CLASSES} (0 holds none out)"
        )
    held_out = np.random.default_rng(seed).permutation(seen)[:count]
    training = np.setdiff1d(seen, held_out)
    names = sketches.features["label"].names
    class_index = np.full(len(names), -1)
    class_index[training] = np.arange(len(training))

    def part(prefix: str, classes: np.ndarray) -> datasets.DatasetDict:
        rows = {domain: np.flatnonzero(np.isin(labels[domain], classes)) for domain in labels}
        tables = {"sketch": sketches, "photo": photos}
        return datasets.DatasetDict({f"{prefix}_{name}": tables[name].select(rows[name]) for name in tables})

    return ClassSplit(
        class_names=[names[label] for label in training],
        class_index=class_index,
        training=part("train", training),
        validation=part("test", held_out) if count else None,
    )


def _count(amount: float, seen: int) -> int:
    if amount >= 1:
        return int(amount)
    return max(LEAST_CLASSES, round(amount * seen)) if amount > 0 else 0
