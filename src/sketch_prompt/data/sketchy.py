"""Sketchy (Sangkloy et al. 2016) and its photo extension (Liu et al. 2017).

The benchmarks are `sketchy-21` and `sketchy-25` (category level, with the extension) and `sketchy-fg` (instance level:
the classes of `sketchy-21`, without the extension, as its photos have no sketches).
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import PackagedConfig
from sketch_prompt.data.contents import BenchmarkContents, keep_paired_sketches
from sketch_prompt.data.packagings import Packaging


@dataclass
class SketchyConfig(PackagedConfig):
    """Sketchy with the classes of a published protocol. The name of the configuration is the protocol's."""

    packagings = (
        Packaging(
            name="the packaging of SAKE and ZSE-SBIR",
            photos=("photo/tx_000000000000_ready",),
            sketches=("sketch/tx_000000000000_ready",),
            extra_photos=("EXTEND_image_sketchy_ready",),
        ),
        Packaging(
            name="the Sketchy archive, or SEM-PCYC's packaging of it",
            photos=("photo/tx_000000000000",),
            sketches=("sketch/tx_000000000000",),
            extra_photos=("EXTEND_image_sketchy", "extended_photo"),
        ),
        Packaging(
            name="SEM-PCYC's packaging without inner folders",
            photos=("photo", "extended_photo"),
            sketches=("sketch",),
        ),
    )
    containers = ("256x256", "rendered_256x256", "Sketchy", "sketchy")
    list_names: ClassVar = {
        "train_photo": "all_photo_filelist_train.txt",
        "test_photo": "all_photo_filelist_zero.txt",
        "train_sketch": "sketch_tx_000000000000_ready_filelist_train.txt",
        "test_sketch": "sketch_tx_000000000000_ready_filelist_zero.txt",
    }
    layout = """\
  256x256/photo/tx_000000000000/<class>/<id>.jpg
  256x256/sketch/tx_000000000000/<class>/<id>-<k>.png
  256x256/EXTEND_image_sketchy/<class>/*.jpg       (the extension: most of the gallery)
or, packaged by SAKE and ZSE-SBIR, with list files in zeroshot0/ and zeroshot1/:
  256x256/photo/tx_000000000000_ready/<class>/, 256x256/sketch/tx_000000000000_ready/<class>/
  EXTEND_image_sketchy_ready/<class>/
or, packaged by SEM-PCYC:
  Sketchy/photo/, Sketchy/sketch/, Sketchy/extended_photo/
data_dir is a folder around these, or one with the downloaded archives"""
    sources = """\
  Sketchy: https://sketchy.eye.gatech.edu (rendered images, 256x256)
  extension: see the download sections of
    github.com/buptLinfy/ZSE-SBIR and github.com/AnjanDutta/sem-pcyc"""

    @staticmethod
    def instance_of(class_name: str, stem: str, photo_stems: set[str]) -> str:
        """The instance `<id>` of a photo `<id>` and of its sketches `<id>-<k>`. Ids are unique over all classes."""
        return stem if stem in photo_stems else re.sub(r"-\d+$", "", stem)


@dataclass
class SketchyInstanceConfig(SketchyConfig):
    """Sketchy for instance-level retrieval: the archive's own photos and the sketches that draw them."""

    level = "instance"
    protocol = "sketchy-21"
    test_counts: ClassVar = {"test_photo": 2100}  # 100 photos of each of the 21 classes
    uses_extra_photos = False
    # The lists include photos of the extension.
    list_names: ClassVar = {}

    def find(self) -> BenchmarkContents:
        """Find the training and test files, without sketches whose photo is missing."""
        return keep_paired_sketches(super().find())


class SketchyBuilder(BenchmarkBuilder):
    """Sketchy as tables; `instance_id` is the photo's id, shared by the sketches that draw it."""

    BUILDER_CONFIG_CLASS = SketchyConfig
    BUILDER_CONFIGS = (SketchyConfig(name="sketchy-21"), SketchyConfig(name="sketchy-25"))


class SketchyInstanceBuilder(BenchmarkBuilder):
    """`sketchy-fg` as tables."""

    BUILDER_CONFIG_CLASS = SketchyInstanceConfig
    BUILDER_CONFIGS = (SketchyInstanceConfig(name="sketchy-fg"),)
