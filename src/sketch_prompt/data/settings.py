"""Other settings than zero-shot retrieval, as changes to a loaded benchmark.

- Generalised zero-shot (GZS): the gallery also holds photos of seen classes.
- Cross-dataset: trained on the seen classes of one benchmark, tested on the unseen classes of another.
"""

from collections.abc import Iterable

import datasets
import numpy as np

from sketch_prompt.data.class_names import class_key


def generalized_zero_shot(
    benchmark: datasets.DatasetDict, seen_share: float = 0.2, seed: int = 0
) -> datasets.DatasetDict:
    """Move a share of every seen class's photos from the training data to the end of the gallery.

    The queries stay the same. Train the model on the `train_photo` that is returned, so that the moved photos are new
    to it.

    Args:
        benchmark: From `load_benchmark`.
        seen_share: Share of the photos of each seen class. Each class keeps at least one photo for training.
        seed: Seed for the choice of photos.

    Raises:
        ValueError: The share is not above 0 and at most 1.
    """
    if not 0 < seen_share <= 1:
        raise ValueError(f"seen_share must be above 0 and at most 1, not {seen_share}")
    photos = benchmark["train_photo"]
    labels = np.asarray(photos["label"][:])
    rng = np.random.default_rng(seed)
    moved = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        moved.append(rng.permutation(rows)[: min(round(seen_share * len(rows)), len(rows) - 1)])
    rows = np.sort(np.concatenate(moved)) if moved else np.zeros(0, np.int64)
    gallery = datasets.concatenate_datasets([benchmark["test_photo"], photos.select(rows)])
    kept = photos.select(np.setdiff1d(np.arange(len(labels)), rows))
    return datasets.DatasetDict(benchmark | {"train_photo": kept, "test_photo": gallery})


def cross_dataset(
    train_classes: Iterable[str],
    test_benchmark: datasets.DatasetDict,
    train_benchmark: datasets.DatasetDict | None = None,
) -> datasets.DatasetDict:
    """Join the training data of one benchmark with the test data of another. Training classes are not tested.

    Classes are compared by `class_key`. With the published protocols this gives the subsets of the papers: after
    training on `sketchy-25`, 21 classes of `tu-berlin-30` and 11 of `quickdraw-30`; after training on `tu-berlin-30`,
    8 classes of `sketchy-25`.

    Args:
        train_classes: The training classes. They get the first labels.
        test_benchmark: Its unseen classes, without the training classes, are the test data.
        train_benchmark: Its training splits are used; their labels number `train_classes`. None for empty training
            splits, which is enough for an evaluation.

    Raises:
        ValueError: No test class is left.
    """
    train_classes = list(train_classes)
    trained = set(map(class_key, train_classes))
    old_names = test_benchmark["test_sketch"].features["label"].names
    tested = np.unique(test_benchmark["test_sketch"]["label"][:])
    kept = [label for label in tested if class_key(old_names[label]) not in trained]
    if not kept:
        raise ValueError("every unseen class of the test benchmark is among the training classes")
    names = train_classes + [old_names[label] for label in kept]
    numbers = np.full(len(old_names), -1)
    numbers[kept] = np.arange(len(train_classes), len(names))
    tables = {}
    for domain in ("sketch", "photo"):
        source = test_benchmark if train_benchmark is None else train_benchmark
        table = source[f"train_{domain}"]
        tables[f"train_{domain}"] = _relabel(table.select([]) if train_benchmark is None else table, names)
        table = test_benchmark[f"test_{domain}"]
        rows = np.flatnonzero(numbers[np.asarray(table["label"][:])] >= 0)
        tables[f"test_{domain}"] = _relabel(table.select(rows), names, numbers)
    return datasets.DatasetDict(tables)


def _relabel(
    table: datasets.Dataset, names: list[str], numbers: np.ndarray | None = None
) -> datasets.Dataset:
    """The table with the classes `names`, and with `numbers[label]` instead of each label if `numbers` is given."""
    columns = table.column_names
    labels = np.asarray(table["label"][:], np.int64)
    labels = labels if numbers is None else numbers[labels]
    table = table.remove_columns("label").add_column(
        "label", labels, feature=datasets.ClassLabel(names=names)
    )
    return table.select_columns(columns)
