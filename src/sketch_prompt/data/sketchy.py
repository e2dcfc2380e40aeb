"""Sketchy (Sangkloy et al. 2016) and its photo extension (Liu et al. 2017): `sketchy-21`, `sketchy-25`."""

import re

from sketch_prompt.data.builder import BenchmarkBuilder, BenchmarkConfig, BenchmarkContents, group_by_class
from sketch_prompt.data.packagings import Packaging
from sketch_prompt.data.splits import read_split

_PACKAGINGS = (
    Packaging(
        name="the Sketchy archive",
        photos=("photo/tx_000000000000",),
        sketches=("sketch/tx_000000000000",),
        extra_photos=("EXTEND_image_sketchy",),
    ),
)
_CONTAINERS = ("256x256", "rendered_256x256")


def sketchy_instance(class_name: str, stem: str, photo_stems: set[str]) -> str:
    """`<id>` of a photo `<id>` and of its sketches `<id>-<k>`; ids are unique over classes."""
    return stem if stem in photo_stems else re.sub(r"-\d+$", "", stem)


class SketchyConfig(BenchmarkConfig):
    """Sketchy with the classes of the published protocol that the config is named after."""

    layout = """\
  256x256/photo/tx_000000000000/<class>/<id>.jpg
  256x256/sketch/tx_000000000000/<class>/<id>-<k>.png
  256x256/EXTEND_image_sketchy/<class>/*.jpg      (the extension; without it the gallery is smaller than
  published)
  data_dir is the folder that holds 256x256, or 256x256 itself"""
    sources = """\
  Sketchy: https://sketchy.eye.gatech.edu (rendered images, 256x256)
  extension: the download sections of github.com/buptLinfy/ZSE-SBIR and github.com/AnjanDutta/sem-pcyc"""

    def find(self) -> BenchmarkContents:
        """List the archive's photos, its extension where present, and its sketches."""
        split = read_split(self.name if self.class_split is None else self.class_split)
        packaging, photos, sketches = self.list_packaging(_PACKAGINGS, _CONTAINERS)
        return group_by_class(packaging.name, split, photos, sketches, sketchy_instance)


class SketchyBuilder(BenchmarkBuilder):
    """Sketchy as tables; `instance_id` is the photo's id, shared by the sketches that draw it."""

    BUILDER_CONFIG_CLASS = SketchyConfig
    BUILDER_CONFIGS = (
        SketchyConfig(name="sketchy-21"),
        SketchyConfig(name="sketchy-25"),
    )
