"""Categories for models that embed under one: what they are shown, and which one each image is embedded under.

A report names which of three ways its numbers come from (`Task.category`):

- "given": every image is embedded under its own class, which the search must then know: the papers' fine-grained
  protocol, in which a sketch searches the photos of its category.
- "predicted": every image, sketch or photo, is embedded under the class that the model itself takes it for, among
  the classes of the test data.
- None: category-agnostically.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image

Category = Literal["auto", "given", "predicted"] | None
CATEGORIES: tuple[Category, ...] = ("auto", "given", "predicted", None)

Conditions = Callable[[torch.Tensor, np.ndarray], dict]
"""From a batch's pixel values and class numbers to keyword arguments of `get_*_features`."""


def show_categories(
    model,
    processor,
    sketches: datasets.Dataset,
    photos: datasets.Dataset,
    *,
    seed: int = 0,
    progress: bool = True,
) -> list[str]:
    """Show a model a support set of every class that it does not know yet, drawn from the tables.

    As the papers do, the images of a support set are any of their class. Unreadable ones are passed over for
    others; embedding the tables reports them.

    Args:
        model: a model with `is_conditional`.
        processor: the checkpoint's own.
        sketches, photos: tables with the columns image and label; a class may be in one of them only.
        seed: of the draw.
        progress: show a bar on stderr.

    Returns:
        The classes it was shown, in the order of the labels.

    Raises:
        ValueError: no image of a class can be read.
    """
    tables, names = (sketches, photos), sketches.features["label"].names
    labels = [np.asarray(table["label"][:], np.int64) for table in tables]
    known = set(model.categories)
    new = [label for label in np.unique(np.concatenate(labels)) if names[label] not in known]
    images = [_undecoded(table) for table in tables]
    for label in tqdm(new, desc="Showing categories", unit="class", disable=not progress):
        rng = np.random.default_rng((seed, int(label)))
        support, reasons = [], []
        for table, own, count in zip(images, labels, model.support_size):
            rows = rng.permutation(np.flatnonzero(own == label))
            support.append(_read_some(table, rows, count, reasons))
        if not any(support):
            raise ValueError(
                f"No image of class {names[label]!r} can be read for its support set: {'; '.join(reasons[:3])}"
            )
        model.add_category(names[label], *support, processor)
    return [names[label] for label in new]


@contextmanager
def conditioned(
    model, processor, benchmark: datasets.DatasetDict, category: Category, *, progress: bool = True
) -> Iterator[Conditions | None]:
    """How the test images of a benchmark are to be embedded, for as long as the block lasts.

    The model is put in eval mode, shown the test classes that it does not know, and forgets them again.

    Args:
        model: anything with the model contract.
        processor: the checkpoint's own.
        benchmark: with the splits test_sketch and test_photo.
        category: "given", "predicted" or None.
        progress: show a bar on stderr.

    Yields:
        What `embed` takes as `conditions`; None where nothing depends on a category.
    """
    if category is None or not model.is_conditional:
        yield None
        return
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    names = tables[0].features["label"].names
    training = model.training
    shown: list[str] = []
    model.eval()
    try:
        shown = show_categories(model, processor, *tables, progress=progress)
        if category == "given":
            yield lambda pixel_values, labels: {"category": [names[label] for label in labels]}
        else:
            present = np.unique(np.concatenate([table["label"][:] for table in tables]))
            candidates = [names[label] for label in present]
            yield lambda pixel_values, labels: {
                "category": model.predict_categories(pixel_values, candidates)
            }
    finally:
        for name in shown:
            model.remove_category(name)
        model.train(training)


def _undecoded(table: datasets.Dataset) -> datasets.Dataset:
    return table.select_columns("image").cast_column("image", datasets.Image(decode=False))


def _read_some(table: datasets.Dataset, rows: np.ndarray, count: int, reasons: list[str]) -> list:
    """The first `count` readable images of these rows; why others could not be read goes into `reasons`."""
    pictures = []
    for row in rows:
        if len(pictures) == count:
            break
        try:
            pictures.append(read_image(table[int(row)]["image"]))
        except UnreadableImageError as error:
            reasons.append(str(error))
    return pictures
