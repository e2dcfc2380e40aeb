"""When nothing in a gallery looks like a drawing or fits some words, and which photo looks like every drawing.

A score alone says little: it depends on the model, and some photos score high with every drawing. So 304 bundled
drawings of as many things, and their names, tell how each photo scores usually, and what a fit is worth in this
gallery: see `yardsticks`. A query that fits no better than most of them has probably found nothing. Which share
of them is "most" depends on the model. It is chosen on bundled photos, drawings and names of the 30 seen classes of
quickdraw-caltech, of which a share `FALSE_ALARMS` is told so by mistake. `scripts/calibration_rates.py` measures it on
other classes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from huggingface_hub import cached_assets_path
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write

from .collection import PhotoCollection
from .encoder import GalleryEncoder
from .yardsticks import NEAREST, Calibration, Yardstick

if TYPE_CHECKING:
    from .gallery import Gallery

FALSE_ALARMS = 0.05
"""The share of drawings (and of names) of things that are there which may be told otherwise."""

ENOUGH_PHOTOS = 30
"""With fewer photos, a look at all of them says more."""

_DRAWINGS_PER_CLASS, _PHOTOS_PER_CLASS = 10, 6
_WORDINGS = ("{}", "a photo of a {}")
_FIRST = 10


@dataclass(frozen=True)
class _Others:
    """Drawings of other things and names as a model embeds them, and the lines chosen for it.

    Attributes:
        drawings: (304, D)
        names: (344, D); (0, D) for a model whose texts are not embedded where its photos are.
        lines: of drawings, and of words.
    """

    drawings: np.ndarray
    names: np.ndarray
    lines: np.ndarray


def calibrate(encoder: GalleryEncoder, collection: PhotoCollection, progress: bool = True) -> Calibration:
    """Calibrate a gallery: search it with the bundled drawings and names.

    Their features and the lines are the model's, and kept in the Hugging Face cache: the first gallery of a model
    takes as long as embedding 800 pictures, the next ones a moment.

    Raises:
        ValueError: the gallery is empty, or its sketches are embedded under categories.
    """
    if not len(collection):
        raise ValueError("an empty gallery cannot be calibrated")
    if encoder.by_category:
        raise ValueError("a gallery whose sketches are embedded under categories cannot be calibrated")
    key = encoder.query_key()
    others = _of_model(encoder, key, progress)
    names = others.names if len(others.names) else None
    found = collection.search(others.drawings, min(_FIRST, len(collection)))
    ids, counts = np.unique(found.ids[found.ids >= 0], return_counts=True)
    hub = collection.photos[collection.row_of(int(ids[counts.argmax()]))].path
    drawings = _yardstick(others.drawings, names, collection, others.lines[0])
    words = None if names is None else _yardstick(names, None, collection, others.lines[1])
    collection.calibration = Calibration(
        key, drawings, words, hub, float(counts.max() / len(others.drawings))
    )
    return collection.calibration


def calibrate_saved(
    gallery: "Gallery", directory: str | os.PathLike, wanted: bool | None = None, progress: bool = True
) -> None:
    """Calibrate a gallery, unless it is for this model, and save it in its folder.

    Args:
        wanted: None for where it is worth while: with `ENOUGH_PHOTOS`, for a method without conditions.
    """
    if wanted is None:
        wanted = len(gallery) >= ENOUGH_PHOTOS and not gallery.model.is_conditional
    if wanted and gallery.calibration is None:
        gallery.calibrate(progress=progress)
        gallery.save(directory)


def _yardstick(
    others: np.ndarray, names: np.ndarray | None, collection: PhotoCollection, line: float
) -> Yardstick:
    found = collection.search(others, min(NEAREST, len(collection)))
    vectors = collection.vectors()
    return Yardstick.of(others, names, (vectors[collection.rows_of(ids)] for ids in found.ids), float(line))


def _of_model(encoder: GalleryEncoder, key: str, progress: bool) -> _Others:
    kept = Path(cached_assets_path("sketch-prompt", "calibration", key)) / "others.npz"
    try:
        with np.load(kept, allow_pickle=False) as saved:
            return _Others(saved["drawings"], saved["names"], saved["lines"])
    except (OSError, ValueError, KeyError, EOFError):
        pass
    others = _measure(encoder, progress)
    try:
        with atomic_write(kept) as temporary, open(temporary, "wb") as file:
            np.savez(file, **vars(others))
    except OSError:  # it is computed again next time
        pass
    return others


def _measure(encoder: GalleryEncoder, progress: bool) -> _Others:
    from sketch_prompt.data.benchmarks import load_benchmark
    from sketch_prompt.data.class_names import class_key
    from sketch_prompt.data.doodles import doodle_classes, read_doodles
    from sketch_prompt.data.loading import first_of_each
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.data.strokes import rasterize

    photographed = {class_key(name) for name in (*SEEN_CLASSES, *UNSEEN_CLASSES)}
    others = [name for name in doodle_classes() if class_key(name) not in photographed]
    doodles = [rasterize(doodle.strokes) for doodle in read_doodles(others, limit=1)]
    tables = load_benchmark("quickdraw-caltech")
    sketches, photos = (
        tables[split].select(first_of_each(np.array(tables[split]["label"][:]), count))
        for split, count in (("train_sketch", _DRAWINGS_PER_CLASS), ("train_photo", _PHOTOS_PER_CLASS))
    )
    total = len(doodles) + len(sketches) + len(photos)
    with tqdm(total=total, desc="Calibrating with bundled drawings", disable=not progress) as bar:
        bank = encoder.embed(doodles, "sketch", bar)
        queries = encoder.embed(sketches["image"][:], "sketch", bar)
        gallery = encoder.embed(photos["image"][:], "photo", bar)
    try:
        names = encoder.embed_texts(doodle_classes())
        words = encoder.embed_texts([wording.format(name) for name in SEEN_CLASSES for wording in _WORDINGS])
        line_of_words = _choose_line(names, None, words, gallery)
    except ValueError:  # no text tower, or its texts are elsewhere than its photos
        names, line_of_words = None, 1.0
    lines = np.array([_choose_line(bank, names, queries, gallery), line_of_words])
    return _Others(bank, bank[:0] if names is None else names, lines)


def _choose_line(
    others: np.ndarray, names: np.ndarray | None, queries: np.ndarray, photos: np.ndarray
) -> float:
    """The share of the others above which `FALSE_ALARMS` of the queries (n, D) lie, whose things photos show."""

    def nearest(asked: np.ndarray) -> Iterator[np.ndarray]:
        return (photos[rows] for rows in np.argsort(-(asked @ photos.T), axis=1)[:, :NEAREST])

    yardstick = Yardstick.of(others, names, nearest(others))
    shares = [yardstick.unlike(query, found) for query, found in zip(queries, nearest(queries))]
    return float(np.quantile(shares, 1 - FALSE_ALARMS))
