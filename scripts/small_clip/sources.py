"""What is prepared once in the work folder, and read from there by every later step."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketch_prompt.data.class_names import class_key

from .concepts import Concepts, imagenet_classes, imagenet_rows
from .doodles import draw_variants, tested_classes, training_doodles
from .pictures import PhotoFile, caltech, pack, tiny_imagenet


@dataclass
class Pictures:
    """What is learned from.

    Attributes:
        photos: (N, 64, 64, 3) uint8.
        photo_rows: (N,) row of the photo's class, -1 without one.
        may_be_lines: (N,) whether a photo may be shown as a line drawing: not if its class is kept for a test.
        drawings: (M, variants, 64, 64) uint8.
        drawing_rows: (M,) row of the drawing's class.
    """

    photos: np.ndarray
    photo_rows: np.ndarray
    may_be_lines: np.ndarray
    drawings: np.ndarray
    drawing_rows: np.ndarray


def training_photos(tiny_imagenet_folder: Path, caltech_folder: Path, seed: int = 0) -> list[PhotoFile]:
    """All training photos, shuffled: the first n are a random sample, whatever n."""
    photos = [*tiny_imagenet(tiny_imagenet_folder, "train"), *caltech(caltech_folder)]
    random.Random(seed).shuffle(photos)
    return photos


def prepare(tiny_imagenet_folder: Path, caltech_folder: Path, folder: Path, variants: int = 8) -> None:
    """Pack the photos and draw the drawings, unless that was done."""
    pack(training_photos(tiny_imagenet_folder, caltech_folder), folder, "photos")
    pack(tiny_imagenet(tiny_imagenet_folder, "val"), folder, "val")
    path = folder / "doodles.npy"
    if not path.exists():
        doodles = training_doodles()
        facts = {
            "classes": [doodle.class_name for doodle in doodles],
            "key_ids": [doodle.key_id for doodle in doodles],
        }
        path.with_suffix(".json").write_text(json.dumps(facts))
        partial = path.with_suffix(".partial.npy")
        np.save(partial, draw_variants([doodle.strokes for doodle in doodles], variants))
        partial.rename(path)


def read_concepts(folder: Path) -> Concepts:
    """The rows of all classes met in the prepared pictures."""
    names = {name for name in _facts(folder, "photos")["classes"] if name and name not in imagenet_rows()}
    return Concepts.of(sorted(names | set(_facts(folder, "doodles")["classes"])))


def read_pictures(folder: Path, concepts: Concepts) -> Pictures:
    """The prepared pictures."""
    wnids = imagenet_rows()
    rows = [
        -1 if name is None else wnids[name] if name in wnids else concepts.rows[name]
        for name in _facts(folder, "photos")["classes"]
    ]
    tested = tested_classes()
    hidden = [any(class_key(word) in tested for word in _words(name)) for name in concepts.names]
    return Pictures(
        photos=np.load(folder / "photos.npy", mmap_mode="r"),
        photo_rows=np.array(rows),
        may_be_lines=np.array([row < 0 or not hidden[row] for row in rows]),
        drawings=np.load(folder / "doodles.npy", mmap_mode="r"),
        drawing_rows=np.array([concepts.rows[name] for name in _facts(folder, "doodles")["classes"]]),
    )


def training_manifest(folder: Path) -> dict:
    """What the model saw, for its folder: drawings by class and id, and how many photos of which class."""
    drawings, photos = _facts(folder, "doodles"), _facts(folder, "photos")
    by_class: dict[str, list[str]] = {}
    for name, key_id in zip(drawings["classes"], drawings["key_ids"]):
        by_class.setdefault(name, []).append(key_id)
    names = {known.wnid: f"{known.wnid} {known.names[0]}" for known in imagenet_classes()}
    counts: dict[str, int] = {}
    for file, name in dict(zip(photos["files"], photos["classes"])).items():
        source = "Tiny ImageNet" if name in names else "Caltech-101"
        shown = f"{source}: {names.get(name, name or Path(file).parent.name)}"
        counts[shown] = counts.get(shown, 0) + 1
    return {"drawings": by_class, "photos": dict(sorted(counts.items()))}


def _facts(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def _words(name: str) -> list[str]:
    return [name, name.removesuffix("s"), *name.split()]
