"""Train on a share of each class or on fewer classes, as in the figures of the CLIP-AT paper."""

import datasets
import numpy as np

from sketch_prompt.data.configs import Level
from sketch_prompt.training.recipe import RecipeError
from sketch_prompt.training.validation import LEAST_CLASSES, Split


def take_share(
    split: Split, share: float = 1.0, classes: int | None = None, seed: int = 0, level: Level = "category"
) -> Split:
    """A split with less training data. The held-out data stays the same.

    At category level, a share of the sketches and a share of the photos of each class are drawn. At instance level, a
    share of the photos of each class is drawn, and their sketches are kept. A class keeps at least one sketch and one
    photo, or two photos at instance level.

    Args:
        split: From `hold_out`.
        share: The share of each class, above 0; 1 for all.
        classes: Number of training classes, drawn at random; None for all.
        seed: Seed for the choice. With the same seed, a smaller choice of classes is a subset of a larger one.
        level: The level of training.

    Raises:
        RecipeError: There are fewer classes than that.
    """
    if share == 1 and classes is None:
        return split
    rng = np.random.default_rng((seed, 1))
    tables = {domain: split.training[f"train_{domain}"] for domain in ("sketch", "photo")}
    labels = {domain: np.asarray(table["label"][:]) for domain, table in tables.items()}
    trained = np.flatnonzero(split.class_index >= 0)
    if classes is not None:
        if not LEAST_CLASSES <= classes <= len(trained):
            raise RecipeError(
                f"data.training_classes={classes}: there are {len(trained)} classes to train on, and at least "
                f"{LEAST_CLASSES} are needed"
            )
        trained = np.sort(rng.permutation(trained)[:classes])
    kept = {domain: np.isin(labels[domain], trained) for domain in tables}
    if share < 1:
        draw = _share_of_instances if level == "instance" else _share_of_images
        kept = {domain: rows & kept[domain] for domain, rows in draw(tables, labels, share, rng).items()}
    class_index = np.full(len(split.class_index), -1)
    class_index[trained] = np.arange(len(trained))
    training = {f"train_{name}": table.select(np.flatnonzero(kept[name])) for name, table in tables.items()}
    names = tables["sketch"].features["label"].names
    return split._replace(
        class_names=[names[label] for label in trained],
        class_index=class_index,
        training=datasets.DatasetDict(training),
    )


def _share_of_images(tables, labels, share: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A mask of the rows to keep for each table, drawn for each class."""
    kept = {}
    for domain in tables:
        rows = [
            _draw(np.flatnonzero(labels[domain] == label), share, 1, rng)
            for label in np.unique(labels[domain])
        ]
        kept[domain] = np.isin(np.arange(len(labels[domain])), np.concatenate(rows))
    return kept


def _share_of_instances(tables, labels, share: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A mask of the rows to keep for each table. Photos with and without sketches are drawn separately."""
    names = {domain: np.asarray(table["instance_id"][:], str) for domain, table in tables.items()}
    drawn = np.isin(names["photo"], names["sketch"])
    rows = []
    for label in np.unique(labels["photo"]):
        own = labels["photo"] == label
        rows += [
            _draw(np.flatnonzero(own & drawn), share, 2, rng),
            _draw(np.flatnonzero(own & ~drawn), share, 0, rng),
        ]
    photos = np.isin(np.arange(len(names["photo"])), np.concatenate(rows))
    return {"photo": photos, "sketch": np.isin(names["sketch"], names["photo"][photos])}


def _draw(rows: np.ndarray, share: float, least: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(rows)[: max(least, round(share * len(rows)))]
