"""When nothing in a gallery looks like a drawing, and which photo looks like every drawing.

Both come from 150 bundled drawings of as many things. How well the best photo of the gallery fits each of them says
what a fit is worth here: a drawing that fits no better than most of them has probably found nothing. Which share of
them is "most" depends on the model. It is chosen on bundled photos and drawings of the 30 seen classes of
quickdraw-caltech, so that nine of ten drawings whose class is there pass. `scripts/calibration_rates.py` measures it
on the ten unseen ones.
"""

from pathlib import Path

import numpy as np
from huggingface_hub import cached_assets_path
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write

from .collection import PhotoCollection
from .encoder import GalleryEncoder
from .hits import Calibration, share_as_good

FALSE_ALARMS = 0.1
"""The share of drawings of things that are there which may be told otherwise."""

ENOUGH_PHOTOS = 30
"""With fewer photos, a look at all of them says more."""

_DRAWINGS_PER_CLASS, _PHOTOS_PER_CLASS = 5, 6
_FIRST = 10
_BATCH = 64


def calibrate(encoder: GalleryEncoder, collection: PhotoCollection, progress: bool = True) -> Calibration:
    """Search a gallery with the bundled drawings.

    The drawings' features and the line are the model's, and kept in the Hugging Face cache: the first gallery of a
    model takes as long as embedding 500 pictures, the next ones a moment.

    Raises:
        ValueError: the gallery is empty, or its sketches are embedded under categories.
    """
    if not len(collection):
        raise ValueError("an empty gallery cannot be calibrated")
    if encoder.by_category:
        raise ValueError("a gallery whose sketches are embedded under categories cannot be calibrated")
    key = encoder.query_key()
    drawings, line = _of_model(encoder, key, progress)
    found = collection.search(drawings, min(_FIRST, len(collection)))
    ids, counts = np.unique(found.ids[found.ids >= 0], return_counts=True)
    hub = collection.photos[collection.row_of(int(ids[counts.argmax()]))].path
    fits = np.sort(found.scores[:, 0]).astype(np.float32)
    return Calibration(key, fits, line, hub, float(counts.max() / len(drawings)))


def _of_model(encoder: GalleryEncoder, key: str, progress: bool) -> tuple[np.ndarray, float]:
    """Features (n, D) of the bundled drawings, and the line."""
    kept = Path(cached_assets_path("sketch-prompt", "calibration", key)) / "drawings.npz"
    try:
        with np.load(kept, allow_pickle=False) as saved:
            return saved["drawings"], float(saved["line"])
    except (OSError, ValueError, KeyError, EOFError):
        pass
    drawings, line = _measure(encoder, progress)
    try:
        with atomic_write(kept) as temporary, open(temporary, "wb") as file:
            np.savez(file, drawings=drawings, line=line)
    except OSError:  # it is computed again next time
        pass
    return drawings, line


def _measure(encoder: GalleryEncoder, progress: bool) -> tuple[np.ndarray, float]:
    from sketch_prompt.data.benchmarks import load_benchmark
    from sketch_prompt.data.class_names import class_key
    from sketch_prompt.data.doodles import doodle_classes, read_doodles
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.data.strokes import rasterize

    photographed = {class_key(name) for name in (*SEEN_CLASSES, *UNSEEN_CLASSES)}
    others = [name for name in doodle_classes() if class_key(name) not in photographed]
    doodles = [rasterize(doodle.strokes) for doodle in read_doodles(others[::2], limit=1)]
    tables = load_benchmark("quickdraw-caltech")
    sketches, photos = (
        _first_of_each(tables[f"train_{domain}"], count)
        for domain, count in (("sketch", _DRAWINGS_PER_CLASS), ("photo", _PHOTOS_PER_CLASS))
    )
    total = len(doodles) + len(sketches) + len(photos)
    with tqdm(total=total, desc="Calibrating with bundled drawings", disable=not progress) as bar:
        bank = _embed(encoder, doodles, "sketch", bar)
        queries = _embed(encoder, sketches["image"][:], "sketch", bar)
        gallery = _embed(encoder, photos["image"][:], "photo", bar)
    labels = np.array(sketches["label"][:]), np.array(photos["label"][:])
    return bank, _choose_line(bank, queries, gallery, *labels)


def _choose_line(bank, queries, gallery, query_labels, gallery_labels) -> float:
    """The share of the bank above which `FALSE_ALARMS` of the drawings lie whose class is in the gallery.

    The classes are halved, each half of the photos being a gallery for the drawings of its classes.
    """
    shares = []
    for half in (0, 1):
        photos = gallery[gallery_labels % 2 == half]
        fits = np.sort((bank @ photos.T).max(1))
        scores = (queries[query_labels % 2 == half] @ photos.T).max(1)
        shares += [share_as_good(fits, score) for score in scores]
    return float(np.quantile(shares, 1 - FALSE_ALARMS))


def _first_of_each(table, count: int):
    labels = np.array(table["label"][:])
    rows = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return table.select(np.sort(np.concatenate(rows)))


def _embed(encoder: GalleryEncoder, pictures, domain, bar: tqdm) -> np.ndarray:
    parts = []
    for start in range(0, len(pictures), _BATCH):
        parts.append(encoder.embed(pictures[start : start + _BATCH], domain))
        bar.update(len(parts[-1]))
    return np.concatenate(parts)
