"""Pictures for pretraining mini-clip, drawn once and kept as raw bytes on disk."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch

ALL_CLASSES = tuple(sorted(SEEN_CLASSES + UNSEEN_CLASSES))

# The data set draws instances 0, 1, 2, ... of every class; pretraining looks at others.
FIRST_TRAINING_INSTANCE = 100_000
FIRST_HELD_OUT_INSTANCE = 200_000

_DRAWN_AT = 128
_SIZE = 64


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one domain.

    Attributes:
        domain: "photo" or "sketch".
        classes: what they show.
        first_instance: number of the first instance of each class.
        instances: instances a class.
        views: pictures an instance.
    """

    domain: str
    classes: tuple[str, ...]
    first_instance: int
    instances: int
    views: int

    @property
    def labels(self) -> np.ndarray:
        """(N,) index into `ALL_CLASSES` of every picture."""
        numbers = [ALL_CLASSES.index(name) for name in self.classes]
        return np.repeat(numbers, self.instances * self.views)


def load_pictures(pictures: PictureSet, folder: Path, num_proc: int = 2) -> np.ndarray:
    """(N, 64, 64, 3) uint8 memory map, drawn on the first call; instances' views are neighbours."""
    path = folder / f"{pictures.domain}-{len(pictures.classes)}x{pictures.instances}x{pictures.views}.npy"
    path = path.with_stem(f"{path.stem}-from-{pictures.first_instance}")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _draw_all(pictures, path, num_proc)
    return np.load(path, mmap_mode="r")


def _draw_all(pictures: PictureSet, path: Path, num_proc: int) -> None:
    per_class = pictures.instances * pictures.views
    partial = path.with_suffix(".partial.npy")
    shape = (len(pictures.classes) * per_class, _SIZE, _SIZE, 3)
    pool = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    chunk = 50
    jobs = [
        (pictures, name, start, min(chunk, pictures.instances - start))
        for name in pictures.classes
        for start in range(0, pictures.instances, chunk)
    ]
    with ProcessPoolExecutor(num_proc, mp_context=get_context("spawn")) as workers:
        results = workers.map(_draw_some, jobs) if num_proc > 1 else map(_draw_some, jobs)
        done = 0
        for drawn in tqdm(results, total=len(jobs), desc=f"Drawing {path.stem}"):
            pool[done : done + len(drawn)] = drawn
            done += len(drawn)
    pool.flush()
    os.replace(partial, path)


def _draw_some(job: tuple[PictureSet, str, int, int]) -> np.ndarray:
    pictures, name, start, count = job
    mini = MiniSketch(_DRAWN_AT)
    draw = mini.photo if pictures.domain == "photo" else mini.sketch
    first = pictures.first_instance + start
    drawn = [
        draw(name, instance, view)
        for instance in range(first, first + count)
        for view in range(pictures.views)
    ]
    return np.stack([image.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC) for image in drawn])
