"""TU-Berlin (Eitz et al. 2012) and its photo extension (Zhang et al. 2016): protocol `tu-berlin-30`."""

from dataclasses import dataclass
from typing import ClassVar

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import PackagedConfig
from sketch_prompt.data.packagings import Packaging


@dataclass
class TuBerlinConfig(PackagedConfig):
    """TU-Berlin with the 30 unseen classes of Shen et al. 2018."""

    packagings = (
        Packaging(
            name="the packaging of SAKE and ZSE-SBIR", photos=("ImageResized_ready",), sketches=("png_ready",)
        ),
        Packaging(name="the downloaded archives", photos=("ImageResized",), sketches=("png",)),
        Packaging(name="SEM-PCYC's packaging", photos=("images",), sketches=("sketches",)),
    )
    containers = ("TU-Berlin", "TUBerlin", "tu-berlin", "tuberlin")
    list_names: ClassVar = {
        "train_photo": "ImageResized_ready_filelist_train.txt",
        "test_photo": "ImageResized_ready_filelist_zero.txt",
        "train_sketch": "png_ready_filelist_train.txt",
        "test_sketch": "png_ready_filelist_zero.txt",
    }
    # The extension's own folder names; all others differ from the class names in separators only.
    folder_aliases: ClassVar = {
        "chandeler": "chandelier",
        "diamod": "diamond",
        "griaffe": "giraffe",
        "pipe": "pipe (for smoking)",
        "spacesshuttle": "space shuttle",
        "spidar": "spider",
        "tromobone": "trombone",
        "wristwatching": "wrist-watch",
    }
    layout = """\
  png/<class>/*.png, ImageResized/<class>/*.JPEG
or, packaged by SAKE and ZSE-SBIR, with list files in zeroshot/:
  png_ready/<class>/*.png, ImageResized_ready/<class>/*.JPEG
or, packaged by SEM-PCYC:
  sketches/<class>/*.png, images/<class>/*.jpg
data_dir is a folder around these, or one with the downloaded archives"""
    sources = """\
  sketches: http://cybertron.cg.tu-berlin.de/eitz/projects/classifysketch/sketches_png.zip
  photos (the extension): see the download sections of
    github.com/buptLinfy/ZSE-SBIR and github.com/AnjanDutta/sem-pcyc"""


class TuBerlinBuilder(BenchmarkBuilder):
    """TU-Berlin as tables."""

    BUILDER_CONFIG_CLASS = TuBerlinConfig
    BUILDER_CONFIGS = (TuBerlinConfig(name="tu-berlin-30"),)
