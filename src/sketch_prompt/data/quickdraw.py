"""QuickDraw-Extended (Dey et al. 2019): protocol `quickdraw-30`, with sketches as images or as strokes."""

from dataclasses import dataclass
from typing import ClassVar

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import PackagedConfig, StrokeOptions
from sketch_prompt.data.packagings import Packaging


@dataclass
class QuickDrawConfig(StrokeOptions, PackagedConfig):
    """QuickDraw-Extended. Of stroke files, 3,000 drawings a class are taken, as many as the benchmark has."""

    drawings_per_class: int | None = 3000

    packagings = (
        Packaging(
            name="the archives of the Computer Vision Center",
            photos=("QuickDraw_images_final",),
            sketches=("QuickDraw_sketches_final",),
        ),
        Packaging(name="the packaging of SEM-PCYC and ZSE-SBIR", photos=("images",), sketches=("sketches",)),
        Packaging(
            name="the photos with Google's stroke files",
            photos=("QuickDraw_images_final",),
            sketches=("ndjson",),
        ),
        Packaging(name="the photos with Google's stroke files", photos=("images",), sketches=("ndjson",)),
    )
    containers = ("QuickDraw", "Quickdraw", "quickdraw", "QuickDraw-Ext")
    list_names: ClassVar = {
        "train_photo": "all_photo_train.txt",
        "test_photo": "all_photo_zero.txt",
        "train_sketch": "sketch_train.txt",
        "test_sketch": "sketch_zero.txt",
    }
    layout = """\
  QuickDraw_sketches_final/<class>/*.png, QuickDraw_images_final/<class>/*.jpg
or, packaged by SEM-PCYC and ZSE-SBIR (with list files in zeroshot/):
  sketches/<class>/*.png, images/<class>/*.jpg
or, instead of the sketches, the strokes from Google, which are drawn when they are loaded:
  ndjson/<class>.ndjson
data_dir is a folder around these, or one with the downloaded archives"""
    sources = """\
  sketches: http://datasets.cvc.uab.es/QuickDraw/QuickDraw_sketches_final.zip
  photos: http://datasets.cvc.uab.es/QuickDraw/QuickDraw_images_final.zip
  strokes: https://console.cloud.google.com/storage/browser/quickdraw_dataset/full/simplified"""


class QuickDrawBuilder(BenchmarkBuilder):
    """QuickDraw-Extended as tables."""

    BUILDER_CONFIG_CLASS = QuickDrawConfig
    BUILDER_CONFIGS = (QuickDrawConfig(name="quickdraw-30"),)
