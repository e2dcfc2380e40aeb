"""Fit a lens for a model, on tables of drawings and photos."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import datasets
import numpy as np
from accelerate import Accelerator

from sketch_prompt.data.benchmarks import benchmark_names, load_benchmark
from sketch_prompt.data.class_names import class_key, merge_spellings
from sketch_prompt.data.drawings import doodle_table, folder_table
from sketch_prompt.data.splits import unknown_name
from sketch_prompt.embedding.conditioning import conditioned
from sketch_prompt.embedding.tables import EmbeddingTable, embed
from sketch_prompt.hints import nearest
from sketch_prompt.vocabulary import TEST_SPLITS, Condition, Domain, TargetKind

from .fitter import LensFitter, check_targets
from .lens import Lens

if TYPE_CHECKING:
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
    from sketch_prompt.processing import SketchPromptProcessor

_ROWS_AT_ONCE = 16_384


class LensResult(NamedTuple):
    """A lens and facts about its fit.

    Example:
        ```python
        result = fit_model_lens(model, processor, [doodle_table()])
        print(len(result.class_names), result.lens.describe())
        ```

    Attributes:
        lens: The lens.
        targets: The targets that sketches are mapped to.
        class_names: The classes of the sketches.
        unreadable: `path: reason` for each image that was left out.
    """

    lens: Lens
    targets: TargetKind
    class_names: list[str]
    unreadable: list[str]


def fit_model_lens(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    sketches: Sequence[datasets.Dataset],
    photos: Sequence[datasets.Dataset] = (),
    targets: TargetKind | None = None,
    *,
    exclude_classes: Collection[str] = (),
    penalty: float | None = None,
    ambiguity: bool = False,
    condition: Condition = "none",
    batch_size: int = 64,
    num_workers: int = 0,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> LensResult:
    """Fit a lens on the sketch features of a model, and set it in the model.

    Memory does not grow with the number of drawings, as only sums of features are kept. If `accelerate` started
    several processes, each embeds a share, and all get the same lens.

    Example:
        ```python
        model, processor = load_model("frozen-clip", base_model="openai/clip-vit-base-patch32")
        result = fit_model_lens(model, processor, [doodle_table()], exclude_classes=["cat"])
        ```

    Args:
        model: Any method.
        processor: The processor of its checkpoint.
        sketches: Tables with the columns image, label and instance_id. Classes with the same name are merged.
        photos: Tables of photos, for targets that need photos.
        targets: See `LensFitter`. By default "text" without photos, "photos" if every class of the sketches has
            photos, and else "both".
        exclude_classes: Classes to leave out, in any spelling, such as those to test on. A warning names a class that
            is in none of the tables.
        penalty: Lambda; None chooses it on held-out classes.
        ambiguity: Give less weight to drawings that look like several classes; see `lens.clarity`.
        condition: The condition of a method with conditions, as in `Task`.
        batch_size: Number of images in a forward pass.
        num_workers: Number of processes that read images.
        accelerator: Shares the embedding among processes.
        progress: Show progress bars on stderr.

    Raises:
        ValueError: There are no drawings, all drawings are the same, photos or texts for the targets are missing, or
            no image of a table can be read.
    """
    names = _class_names(sketches, photos, exclude_classes)
    if not names:
        raise ValueError("there are no drawings to fit a lens on")
    targets = targets or _default_targets(names, photos)
    check_targets(targets)
    texts = None
    if targets in ("text", "both") or ambiguity:
        texts = model.embed_classes(names, processor)
    model.set_lens(None)
    fitter = LensFitter(names, targets, texts, ambiguity)
    options = {"batch_size": batch_size, "num_workers": num_workers}
    options |= {"accelerator": accelerator, "progress": progress}
    unreadable: list[str] = []
    embedded = partial(_embed_chunks, model, processor, names, condition, options, unreadable)
    if fitter.needs_photos:
        for found, labels, rows in embedded("photo", photos):
            fitter.add_photos(found.features, labels, rows, found.instance_ids)
    with _record_lens_use(model) as asked:
        for found, labels, rows in embedded("sketch", sketches):
            fitter.add_sketches(found.features, labels, rows, found.instance_ids)
    # The first process always embeds something; others may have had no share.
    if not asked and (accelerator is None or accelerator.is_main_process):
        raise ValueError(
            f"the features of {model.method} do not go through a lens: its get_sketch_features must end with "
            "`return self.through_lens(features)`"
        )
    lens = fitter.fit(penalty)
    model.set_lens(lens, targets, names)
    model.config.lens_ambiguity = ambiguity
    return LensResult(lens, targets, names, unreadable)


def _embed_chunks(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    names: list[str],
    condition: Condition,
    options: dict,
    unreadable: list[str],
    domain: Domain,
    tables: Sequence[datasets.Dataset],
) -> Iterator[tuple[EmbeddingTable, np.ndarray, np.ndarray]]:
    """Embed the images of the named classes, some thousand at a time, with their labels and rows in all tables.

    Images that cannot be read are added to `unreadable`.
    """
    start = 0
    for table in tables:
        labels = _labels(table, names)
        rows = np.flatnonzero(labels >= 0)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[first : first + _ROWS_AT_ONCE]
            chunk = table.select(part)
            pair = datasets.DatasetDict(dict.fromkeys(TEST_SPLITS.values(), chunk))
            with conditioned(model, processor, pair, condition, progress=options["progress"]) as conditions:
                found = embed(model, chunk, processor, domain, conditions=conditions, **options)
            unreadable.extend(map(str, found.unreadable))
            yield found, labels[part][found.rows], start + part[found.rows]
        start += len(table)


@contextmanager
def _record_lens_use(model: SketchPromptPreTrainedModel) -> Iterator[list[bool]]:
    """A list that is not empty after the block if the sketch features went through the lens of the model.

    A method of another package may not do that.
    """
    asked: list[bool] = []
    through_lens = model.through_lens
    model.through_lens = lambda features: asked.append(True) or through_lens(features)
    try:
        yield asked
    finally:
        del model.through_lens


def lens_tables(
    sketches: str | None = None,
    photos: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    doodles: bool = True,
) -> tuple[list[datasets.Dataset], list[datasets.Dataset]]:
    """Tables of drawings and of photos to fit a lens on.

    Args:
        sketches: A folder of drawings, or the name of a benchmark, of which the seen classes are used.
        photos: A folder of photos.
        data_dir: Folder of the benchmark's data.
        doodles: Also use the bundled doodles, unless `sketches` is a benchmark.

    Raises:
        FileNotFoundError: A folder is missing or empty, or the data of the benchmark are missing.
        ValueError: There is no such folder or benchmark.
    """
    photo_tables = [] if photos is None else [folder_table(photos, "photo")]
    if sketches in benchmark_names() and not os.path.isdir(sketches):
        benchmark = load_benchmark(sketches, data_dir)
        return [benchmark["train_sketch"]], [benchmark["train_photo"], *photo_tables]
    tables = [doodle_table()] if doodles else []
    if sketches is not None:
        if not os.path.isdir(sketches):
            unknown = unknown_name("benchmark", sketches, benchmark_names())
            raise ValueError(f"there is no folder of drawings {sketches!r}; and {unknown}")
        tables.append(folder_table(sketches, "sketch", photo_tables[0] if photo_tables else None))
    return tables, photo_tables


def _class_names(
    sketches: Sequence[datasets.Dataset], photos: Sequence[datasets.Dataset], exclude: Collection[str]
) -> list[str]:
    """The classes of the sketches, without the excluded ones, each in one spelling, sorted."""
    names = merge_spellings(name for table in sketches for name in _names(table))
    known = [*names.values(), *(name for table in photos for name in _names(table))]
    keys = set(map(class_key, known))
    for name in exclude:
        if class_key(name) not in keys:
            near = nearest(name, known)
            hint = f"; did you mean {near!r}?" if near else ""
            warnings.warn(f"no drawing or photo has the class {name!r} to exclude{hint}", stacklevel=3)
    excluded = set(map(class_key, exclude))
    return sorted(name for key, name in names.items() if key not in excluded)


def _names(table: datasets.Dataset) -> list[str]:
    """Names of the classes that have images in the table."""
    names = table.features["label"].names
    return [names[label] for label in np.unique(table.select_columns("label")[:]["label"])]


def _labels(table: datasets.Dataset, names: Sequence[str]) -> np.ndarray:
    """(rows,) index of each image's class in `names`; -1 for other classes."""
    numbers = {class_key(name): number for number, name in enumerate(names)}
    own = np.array([numbers.get(class_key(name), -1) for name in table.features["label"].names])
    return own[np.asarray(table.select_columns("label")[:]["label"], np.int64)]


def _default_targets(names: Sequence[str], photos: Sequence[datasets.Dataset]) -> TargetKind:
    shown = {class_key(name) for table in photos for name in _names(table)}
    shared = [name for name in names if class_key(name) in shown]
    if not shared:
        return "text"
    return "photos" if len(shared) == len(names) else "both"
