"""QMUL's ShoeV2 and ChairV2 (Yu et al. 2016): instance-level retrieval within one category."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import FolderConfig
from sketch_prompt.data.contents import BenchmarkContents, Item, Survey, keep_paired_sketches
from sketch_prompt.data.listing import ImageFile, list_images
from sketch_prompt.data.packagings import Packaging
from sketch_prompt.data.splits import SPLIT_NAMES, BenchmarkSplit

_TEST_LISTS = ("photo_test.txt", "test_photo.txt")


@dataclass
class QmulConfig(FolderConfig):
    """A benchmark of a single category. Its photos, not its classes, are divided into training and test data.

    Attributes:
        test_fraction: Share of the photos to test on, if the packaging has no list of test photos; by default that of
            the published division (200 of 2,000 shoes, 100 of 400 chairs).
        seed: Seed for choosing these photos.
    """

    test_fraction: float | None = None
    seed: int = 0

    level = "instance"
    category: ClassVar[str]
    published_test_fraction: ClassVar[float]
    packagings: ClassVar[tuple[Packaging, ...]]
    containers: ClassVar[tuple[str, ...]]
    sources = "  https://sketchx.eecs.qmul.ac.uk/downloads/"

    def survey(self) -> Survey:
        """List both folders, as a single seen class."""
        if self.class_split is not None:
            raise ValueError(f"{self.name} has one class, {self.category}: it takes no split of classes")
        found = self.find_packaging(self.packagings, self.containers)
        skipped: list[str] = []
        files = {
            domain: {self.category: [file for folder in folders for file in list_images(folder, skipped)]}
            for domain, folders in (("photo", found.photos), ("sketch", found.sketches))
        }
        split = BenchmarkSplit(seen=[self.category], unseen=[])
        return Survey(found.name, (*found.photos, *found.sketches), split, files, tuple(skipped))

    def find(self) -> BenchmarkContents:
        """Divide the photos and their sketches into training and test data."""
        survey = self.survey()
        survey.require_every_class()
        photos = survey.files["photo"][self.category]
        test_photos = self._test_photos([photo.stem for photo in photos])
        items = self._divide(photos, survey.files["sketch"][self.category], test_photos)
        return keep_paired_sketches(
            BenchmarkContents(survey.packaging, (self.category,), items, survey.skipped)
        )

    def _test_photos(self, stems: list[str]) -> set[str]:
        """The test photos that the packaging lists, or else a random share of all photos."""
        for base in self.find_packaging(self.packagings, self.containers).bases:
            for path in (os.path.join(base, name) for name in _TEST_LISTS):
                if os.path.isfile(path):
                    with open(path, encoding="utf-8") as file:
                        return {os.path.splitext(os.path.basename(line.strip()))[0] for line in file}
        fraction = self.published_test_fraction if self.test_fraction is None else self.test_fraction
        if not 0 <= fraction <= 1:
            raise ValueError(f"test_fraction must be from 0 to 1, not {fraction}")
        stems = sorted(set(stems))
        chosen = np.random.default_rng(self.seed).permutation(len(stems))[: round(fraction * len(stems))]
        return {stems[i] for i in chosen}

    def _divide(
        self, photos: Iterable[ImageFile], sketches: Iterable[ImageFile], test_photos: set[str]
    ) -> dict[str, dict[str, list[Item]]]:
        items: dict[str, dict[str, list[Item]]] = {part: {self.category: []} for part in SPLIT_NAMES}
        for domain, files in (("photo", photos), ("sketch", sketches)):
            for file in files:
                photo = file.stem if domain == "photo" else re.sub(r"[-_]\d+$", "", file.stem)
                part = "test" if photo in test_photos else "train"
                items[f"{part}_{domain}"][self.category].append(Item(file, photo))
        return items


def _packagings(name: str) -> tuple[Packaging, ...]:
    return (
        Packaging("the downloaded archive", photos=(f"{name}_photo",), sketches=(f"{name}_sketch_png",)),
        Packaging("the downloaded archive", photos=(f"{name}_photo",), sketches=(f"{name}_sketch",)),
        Packaging("folders of photos and sketches", photos=("photo",), sketches=("sketch",)),
    )


def _layout(name: str) -> str:
    return f"""\
  {name}_photo/<id>.png, {name}_sketch_png/<id>_<k>.png    (photo_test.txt lists the test photos)
or
  photo/<id>.*, sketch/<id>_<k>.* or <id>-<k>.*
data_dir is a folder around these, or one with the downloaded archives"""


@dataclass
class ShoeConfig(QmulConfig):
    """ShoeV2: 2,000 photos, 6,648 sketches."""

    category = "shoe"
    test_counts: ClassVar = {"test_photo": 200}
    published_test_fraction = 0.1
    packagings = _packagings("ShoeV2")
    containers = ("ShoeV2", "ShoeV2_F")
    layout = _layout("ShoeV2")


@dataclass
class ChairConfig(QmulConfig):
    """ChairV2: 400 photos, 1,275 sketches."""

    category = "chair"
    test_counts: ClassVar = {"test_photo": 100}
    published_test_fraction = 0.25
    packagings = _packagings("ChairV2")
    containers = ("ChairV2", "ChairV2_F")
    layout = _layout("ChairV2")


class ShoeBuilder(BenchmarkBuilder):
    """ShoeV2 as tables. Training and test data have the same class, but no photo in common."""

    BUILDER_CONFIG_CLASS = ShoeConfig
    BUILDER_CONFIGS = (ShoeConfig(name="shoe-v2"),)


class ChairBuilder(BenchmarkBuilder):
    """ChairV2 as tables. Training and test data have the same class, but no photo in common."""

    BUILDER_CONFIG_CLASS = ChairConfig
    BUILDER_CONFIGS = (ChairConfig(name="chair-v2"),)
