"""Drawings from Quick, Draw! and photos from Caltech-101 of the same 40 things, as a `datasets` table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import datasets
import pyarrow.parquet as pq

from ..builder import TableBuilder, class_splits, features
from ..configs import BenchmarkConfig
from ..doodles import read_doodles
from ..splits import BenchmarkSplit, read_split
from ..strokes import encode_png, rasterize

UNSEEN_CLASSES = (
    "ant",
    "camera",
    "cell phone",
    "crocodile",
    "flamingo",
    "helicopter",
    "motorbike",
    "pizza",
    "scissors",
    "strawberry",
)
SEEN_CLASSES = (
    "airplane",
    "binoculars",
    "brain",
    "butterfly",
    "cannon",
    "car",
    "ceiling fan",
    "chair",
    "chandelier",
    "crab",
    "cup",
    "dolphin",
    "elephant",
    "guitar",
    "headphones",
    "hedgehog",
    "kangaroo",
    "laptop",
    "lobster",
    "octopus",
    "panda",
    "piano",
    "rhinoceros",
    "rollerskates",
    "saxophone",
    "scorpion",
    "soccer ball",
    "stop sign",
    "umbrella",
    "wristwatch",
)
_OWN_SPLIT = BenchmarkSplit(SEEN_CLASSES, UNSEEN_CLASSES)


@dataclass
class QuickDrawCaltechConfig(BenchmarkConfig):
    """Options of the table. Other options make another cached table.

    Attributes:
        class_split: Other seen and unseen classes, out of the 40; see `read_split`. Other classes are left out.
        sketch_size: Side of the pictures of drawings in pixels.
        stroke_width: Width of their lines in pixels.
    """

    class_split: str | os.PathLike | Mapping | BenchmarkSplit | None = None
    sketch_size: int = 256
    stroke_width: float = 3.0

    reads_data_dir = False

    def split(self) -> BenchmarkSplit:
        """The seen and unseen classes.

        Raises:
            ValueError: A class is not one of the 40; the message names all such classes.
        """
        split = _OWN_SPLIT if self.class_split is None else read_split(self.class_split)
        strange = [name for name in split.class_names if _OWN_SPLIT.class_of(name) is None]
        if strange:
            known = ", ".join(sorted(_OWN_SPLIT.class_names))
            raise ValueError(f"{self.name} has no class {', '.join(strange)}; it has {known}")
        return split

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """A file name that depends on the options."""
        split = self.split()
        shown = (split.seen, split.unseen, self.sketch_size, self.stroke_width)
        return f"{self.name}-{datasets.fingerprint.Hasher.hash(shown)}"


class QuickDrawCaltechBuilder(TableBuilder):
    """The splits train_sketch and train_photo (30 seen classes), test_sketch and test_photo (10 unseen classes).

    Example:
        ```python
        load_benchmark("quickdraw-caltech")["test_photo"][0]["image"]
        ```

    The columns are image (PNG bytes of a drawing, JPEG bytes of a photo), label (seen classes first), instance_id
    (nothing is paired: each picture is its own instance), and domain ("sketch" or "photo").
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = QuickDrawCaltechConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="Quick, Draw! drawings and Caltech-101 photos of the same 40 things.",
            license="cc-by-4.0",
            features=features(self.config.split().class_names),
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        split = self.config.split()
        return class_splits(split.seen, split.unseen)

    def _generate_examples(self, class_names: list[str], domain: str) -> Iterator[tuple[str, dict]]:
        examples = _drawings if domain == "sketch" else _photos
        for name in class_names:
            for key, image in examples(self.config, name):
                instance = f"{name}/{key}"
                yield instance, {"image": image, "label": name, "instance_id": instance, "domain": domain}


@cache
def photo_files() -> dict[str, dict[str, bytes]]:
    """The bundled photos: `{class: {name of Caltech-101's file: JPEG bytes}}`."""
    with resources.files(__package__).joinpath("photos.parquet").open("rb") as file:
        rows = pq.read_table(file).to_pylist()
    photos: dict[str, dict[str, bytes]] = {}
    for row in rows:
        photos.setdefault(row["class_name"], {})[row["file"]] = row["image"]
    return photos


def _photos(config: QuickDrawCaltechConfig, name: str) -> Iterator[tuple[str, dict]]:
    for file, image in photo_files()[_OWN_SPLIT.class_of(name)].items():
        yield file.removesuffix(".jpg"), {"bytes": image, "path": None}


def _drawings(config: QuickDrawCaltechConfig, name: str) -> Iterator[tuple[str, dict]]:
    for doodle in read_doodles([name]):
        image = rasterize(doodle.strokes, config.sketch_size, config.stroke_width)
        yield doodle.key_id, {"bytes": encode_png(image), "path": None}
