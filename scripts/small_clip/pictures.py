"""The photos that small-clip learns from, packed once into arrays of 64 px squares.

Two public sets: Tiny ImageNet (100,000 training photos of 200 classes) and Caltech-101 without the photos of the
bundled benchmark `quickdraw-caltech`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from sketch_prompt.data.quickdraw_caltech.builder import photo_files

SIZE = 64
TEACHER_SIZE = 128
CALTECH_DISTRACTORS = ("BACKGROUND_Google",)


@dataclass(frozen=True)
class PhotoFile:
    """One view of a photo: its file, its class (None: no class) and whether it is squashed or cropped."""

    path: Path
    class_name: str | None
    squash: bool = False

    def open(self, size: int) -> Image.Image:
        """The photo as an RGB square of `size` pixels."""
        image = Image.open(self.path).convert("RGB")
        if not self.squash:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        return image.resize((size, size), Image.Resampling.BICUBIC)


def tiny_imagenet(folder: Path, split: str) -> list[PhotoFile]:
    """The photos of Tiny ImageNet's `train` or `val`, their classes by WordNet number (n01443537)."""
    if split == "train":
        return [
            PhotoFile(path, path.parent.parent.name) for path in sorted(folder.glob("train/*/images/*.JPEG"))
        ]
    lines = (folder / "val" / "val_annotations.txt").read_text().splitlines()
    rows = [line.split("\t")[:2] for line in lines]
    return [PhotoFile(folder / "val" / "images" / name, wnid) for name, wnid in rows]


def caltech(folder: Path) -> list[PhotoFile]:
    """The photos of Caltech-101 without those of `quickdraw-caltech`, each cropped and squashed.

    Raises:
        ValueError: if a photo of the benchmark is not in `folder`, so that it could not be left out.
    """
    held_out = {file for photos in photo_files().values() for file in photos}
    photos = []
    for path in sorted(folder.glob("*/*.jpg")):
        if f"{path.parent.name}/{path.name}" in held_out:
            held_out.discard(f"{path.parent.name}/{path.name}")
            continue
        name = None if path.parent.name in CALTECH_DISTRACTORS else path.parent.name
        photos += [PhotoFile(path, name, squash) for squash in (False, True)]
    if held_out:
        raise ValueError(
            f"{folder} lacks {len(held_out)} photos of quickdraw-caltech: is it another edition?"
        )
    return photos


def squares(photos: list[PhotoFile], size: int) -> Iterator[np.ndarray]:
    """Each photo as (size, size, 3) uint8."""
    for photo in photos:
        yield np.asarray(photo.open(size))


def pack(photos: list[PhotoFile], folder: Path, name: str) -> None:
    """Write `<name>.npy` (N, 64, 64, 3) uint8 and `<name>.json`, the photos' classes and files, once."""
    path = folder / f"{name}.npy"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    packed = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(photos), SIZE, SIZE, 3))
    for index, square in enumerate(tqdm(squares(photos, SIZE), total=len(photos), desc=f"Packing {name}")):
        packed[index] = square
    packed.flush()
    listing = {
        "classes": [photo.class_name for photo in photos],
        "files": ["/".join(photo.path.parts[-3:]) for photo in photos],
    }
    path.with_suffix(".json").write_text(json.dumps(listing))
    partial.rename(path)
