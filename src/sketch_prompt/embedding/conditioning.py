"""The conditions of an evaluation, for methods with conditions (DP-CLIP).

There are three conditions (`Task.condition`), and the report names the one that was used:

- "given": Each image is embedded with its own category. The search must then know the category of the sketch. This is
  the fine-grained setting of the papers, where a sketch searches the photos of its category.
- "predicted": Each image, sketch or photo, is embedded with the category that the model predicts for it, among the
  classes of the test data.
- "none": Each image is embedded without a category.

The support set of a category consists of its own images or, as an ablation, of other images (`Task.support`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.vocabulary import Condition, Support

if TYPE_CHECKING:
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
    from sketch_prompt.processing import SketchPromptProcessor

Conditions = Callable[[torch.Tensor, np.ndarray], dict]
"""Maps the pixel values and class numbers of a batch to keyword arguments of `get_*_features`."""


def show_categories(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    sketches: datasets.Dataset,
    photos: datasets.Dataset,
    *,
    seed: int = 0,
    support: Support = "own",
    progress: bool = True,
) -> list[str]:
    """Show the model a support set for each class that it does not know yet, drawn from the tables.

    As in the papers, a support set consists of any images of its class. An unreadable image is replaced by another
    one, and is reported when the tables are embedded. The paper of DP-CLIP compares such sets with `"random"` images
    and with images of an `"unmatched"` category. The name of the class stays the correct one.

    Args:
        model: A model with `is_conditional`.
        processor: The processor of its checkpoint.
        sketches, photos: Tables with the columns image and label. A class may be in only one of them.
        seed: Random seed.
        support: Images of a support set: those of the class (`"own"`), of all classes (`"random"`), or of another
            class (`"unmatched"`).
        progress: Show a progress bar on stderr.

    Returns:
        The new classes, in the order of the labels.

    Raises:
        ValueError: No image of a class can be read; or `support` is not "own", and a class is already known or the
            only one.
    """
    tables, names = (sketches, photos), sketches.features["label"].names
    labels = [np.asarray(table["label"][:], np.int64) for table in tables]
    known = set(model.categories)
    present = np.unique(np.concatenate(labels))
    new = [label for label in present if names[label] not in known]
    if support != "own" and (len(new) < len(present) or len(present) < 2):
        raise ValueError(
            f"support={support!r} needs at least two classes, none of which the model knows: it knows "
            f"{len(present) - len(new)} of {len(present)}"
        )
    images = [_without_decoding(table) for table in tables]
    for label in tqdm(new, desc="Showing categories", unit="class", disable=not progress):
        rng = np.random.default_rng((seed, int(label)))
        drawn, reasons = [], []
        shown = {"own": [label], "random": present}.get(support)
        if shown is None:
            shown = [rng.choice(present[present != label])]
        for table, own, count in zip(images, labels, model.support_size):
            rows = rng.permutation(np.flatnonzero(np.isin(own, shown)))
            drawn.append(_read_some(table, rows, count, reasons))
        if not any(drawn):
            raise ValueError(
                f"No image of class {names[label]!r} can be read for its support set: {'; '.join(reasons[:3])}"
            )
        model.add_category(names[label], *drawn, processor)
    return [names[label] for label in new]


@contextmanager
def conditioned(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    benchmark: datasets.DatasetDict,
    condition: Condition,
    *,
    support: Support = "own",
    progress: bool = True,
) -> Iterator[Conditions | None]:
    """The conditions to embed the test images of a benchmark with.

    Inside the block, the model is in eval mode and knows all test classes. Afterwards the new classes are removed.

    Args:
        model: Any method.
        processor: The processor of its checkpoint.
        benchmark: A benchmark with the splits test_sketch and test_photo.
        condition: "given", "predicted" or "none".
        support: The images of the support sets, see `show_categories`.
        progress: Show a progress bar on stderr.

    Yields:
        The `conditions` of `embed`. None if nothing depends on a category.
    """
    if condition == "none" or not model.is_conditional:
        yield None
        return
    tables = benchmark["test_sketch"], benchmark["test_photo"]
    names = tables[0].features["label"].names
    training = model.training
    shown: list[str] = []
    model.eval()
    try:
        shown = show_categories(model, processor, *tables, support=support, progress=progress)
        if condition == "given":
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


def _without_decoding(table: datasets.Dataset) -> datasets.Dataset:
    return table.select_columns("image").cast_column("image", datasets.Image(decode=False))


def _read_some(table: datasets.Dataset, rows: np.ndarray, count: int, reasons: list[str]) -> list:
    """The first `count` readable images of these rows. The reasons for unreadable ones are added to `reasons`."""
    pictures = []
    for row in rows:
        if len(pictures) == count:
            break
        try:
            pictures.append(read_image(table[int(row)]["image"]))
        except UnreadableImageError as error:
            reasons.append(str(error))
    return pictures
