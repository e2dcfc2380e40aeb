"""Calibrate a gallery, so that a search can say that nothing looks like the drawing or matches the words.

A score alone says little: it depends on the model, and some photos have a high score for every drawing. So a gallery
is searched with 304 bundled drawings, one for each of 304 categories, and with names. This shows the usual scores of
each photo, and how good a match is in this gallery (see `yardsticks`). If the photos match a query no better than they
match most of the bundled ones, the query has probably found nothing. The share that counts as "most" depends on the
model. It is chosen on bundled photos, drawings and names of the 30 seen classes of quickdraw-caltech, so that a share
`FALSE_ALARMS` of these queries is called weak by mistake. `scripts/calibration_rates.py` measures it on other classes.
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
"""Share of the drawings (and of the names) of photographed things that may be called weak by mistake."""

ENOUGH_PHOTOS = 30
"""Smaller galleries are not calibrated by default: it is easy to look at all of their photos."""

_DRAWINGS_PER_CLASS, _PHOTOS_PER_CLASS = 10, 6
_WORDINGS = ("{}", "a photo of a {}")
_FIRST = 10


@dataclass(frozen=True)
class _References:
    """The features of the bundled drawings and names by a model, and the thresholds chosen for it.

    Attributes:
        drawings: (304, D)
        names: (344, D), or (0, D) for a model that does not embed texts and photos in the same space.
        lines: the threshold for drawings, and the one for words.
    """

    drawings: np.ndarray
    names: np.ndarray
    lines: np.ndarray


def calibrate(encoder: GalleryEncoder, collection: PhotoCollection, progress: bool = True) -> Calibration:
    """Calibrate a gallery by searching it with the bundled drawings and names.

    Their features and the thresholds depend only on the model and are kept in the Hugging Face cache. So the first
    gallery of a model takes as long as embedding 800 pictures, and later ones a moment.

    Raises:
        ValueError: the gallery is empty, or its model embeds sketches for each category.
    """
    if not len(collection):
        raise ValueError("an empty gallery cannot be calibrated")
    if encoder.by_category:
        raise ValueError("a gallery whose model embeds sketches for each category cannot be calibrated")
    key = encoder.query_key()
    references = _references(encoder, key, progress)
    names = references.names if len(references.names) else None
    found = collection.search(references.drawings, min(_FIRST, len(collection)))
    ids, counts = np.unique(found.ids[found.ids >= 0], return_counts=True)
    hub = collection.photos[collection.row_of(int(ids[counts.argmax()]))].path
    drawings = _yardstick(references.drawings, names, collection, references.lines[0])
    words = None if names is None else _yardstick(names, None, collection, references.lines[1])
    hub_share = float(counts.max() / len(references.drawings))
    collection.calibration = Calibration(key, drawings, words, hub, hub_share)
    return collection.calibration


def calibrate_saved(gallery: "Gallery", directory: str | os.PathLike, wanted: bool | None = None) -> None:
    """Calibrate a gallery and save it in its folder, unless it is already calibrated for its model.

    Args:
        wanted: whether to calibrate. By default, if there are `ENOUGH_PHOTOS` and the method has no conditions.
    """
    if wanted is None:
        wanted = len(gallery) >= ENOUGH_PHOTOS and not gallery.model.is_conditional
    if wanted and gallery.calibration is None:
        gallery.calibrate()
        gallery.save(directory)


def _yardstick(
    others: np.ndarray, names: np.ndarray | None, collection: PhotoCollection, line: float
) -> Yardstick:
    found = collection.search(others, min(NEAREST, len(collection)))
    vectors = collection.vectors()
    return Yardstick.of(others, names, (vectors[collection.rows_of(ids)] for ids in found.ids), float(line))


def _references(encoder: GalleryEncoder, key: str, progress: bool) -> _References:
    cached = Path(cached_assets_path("sketch-prompt", "calibration", key)) / "others.npz"
    try:
        with np.load(cached, allow_pickle=False) as saved:
            return _References(saved["drawings"], saved["names"], saved["lines"])
    except (OSError, ValueError, KeyError, EOFError):
        pass
    references = _embed_references(encoder, progress)
    try:
        with atomic_write(cached) as temporary, open(temporary, "wb") as file:
            np.savez(file, **vars(references))
    except OSError:  # without a cache they are computed again next time
        pass
    return references


def _embed_references(encoder: GalleryEncoder, progress: bool) -> _References:
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
        drawings = encoder.embed(doodles, "sketch", bar)
        queries = encoder.embed(sketches["image"][:], "sketch", bar)
        gallery = encoder.embed(photos["image"][:], "photo", bar)
    try:
        names = encoder.embed_texts(doodle_classes())
        words = encoder.embed_texts([wording.format(name) for name in SEEN_CLASSES for wording in _WORDINGS])
        line_of_words = _choose_line(names, None, words, gallery)
    except ValueError:  # the model has no text tower, or embeds texts and photos in different spaces
        names, line_of_words = None, 1.0
    lines = np.array([_choose_line(drawings, names, queries, gallery), line_of_words])
    return _References(drawings, drawings[:0] if names is None else names, lines)


def _choose_line(
    others: np.ndarray, names: np.ndarray | None, queries: np.ndarray, photos: np.ndarray
) -> float:
    """The threshold that calls a share `FALSE_ALARMS` of the queries (n, D) weak, for things that the photos show."""

    def nearest(asked: np.ndarray) -> Iterator[np.ndarray]:
        return (photos[rows] for rows in np.argsort(-(asked @ photos.T), axis=1)[:, :NEAREST])

    yardstick = Yardstick.of(others, names, nearest(others))
    shares = [yardstick.unlike(query, found) for query, found in zip(queries, nearest(queries))]
    return float(np.quantile(shares, 1 - FALSE_ALARMS))
