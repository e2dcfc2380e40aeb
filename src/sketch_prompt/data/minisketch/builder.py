"""MiniSketch as a `datasets` table: the four splits of a benchmark, pictures included."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import datasets
from PIL import Image

from ..builder import class_splits, features
from ..configs import BenchmarkConfig
from .generator import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch


@dataclass
class MiniSketchConfig(BenchmarkConfig):
    """Options of the table; each is part of the name under which it is cached.

    Attributes:
        image_size: pixels a side.
        instances_per_class: instances of every seen class.
        unseen_instances_per_class: instances of every unseen class; None for as many as of seen ones.
        sketches_per_instance: drawings of each instance, every one by another hand.
        seed: another seed gives other instances.
    """

    image_size: int = 128
    instances_per_class: int = 40
    unseen_instances_per_class: int | None = None
    sketches_per_instance: int = 2
    seed: int = 0

    reads_data_dir = False

    def __post_init__(self):
        if self.unseen_instances_per_class is None:
            self.unseen_instances_per_class = self.instances_per_class
        for name in ("instances_per_class", "unseen_instances_per_class", "sketches_per_instance"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; MiniSketch needs at least 1.")
        MiniSketch(self.image_size, self.seed)
        super().__post_init__()

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """The options and a hash of the renderers' source: pictures that would look different are drawn again."""
        options = (field.name for field in fields(self) if field.name in vars(MiniSketchConfig))
        return "-".join([*(f"{name}={getattr(self, name)}" for name in options), source_fingerprint()])


class MiniSketchBuilder(datasets.GeneratorBasedBuilder):
    """Draws the splits train_sketch, train_photo (36 seen classes), test_sketch and test_photo (12 unseen).

    Example:
        ```python
        load_benchmark("mini", instances_per_class=4)["train_sketch"][0]["image"]
        ```

    Columns: image (PNG bytes of a sketch, JPEG bytes of a photo), label (seen classes first), instance_id
    ("cup-0007", shared by an instance's photo and sketches), domain ("sketch" or "photo").
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = MiniSketchConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="MiniSketch: procedural objects, each as a photo and as several line drawings.",
            license="apache-2.0",
            features=features([*SEEN_CLASSES, *UNSEEN_CLASSES]),
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return class_splits(SEEN_CLASSES, UNSEEN_CLASSES)

    def _generate_examples(self, class_names: list[str], domain: str) -> Iterator[tuple[str, dict]]:
        mini = MiniSketch(self.config.image_size, self.config.seed)
        seen, unseen = self.config.instances_per_class, self.config.unseen_instances_per_class
        for name in class_names:
            instances = seen if name in SEEN_CLASSES else unseen
            for instance in range(instances):
                instance_id = f"{name.replace(' ', '_')}-{instance:04d}"
                row = {"label": name, "instance_id": instance_id, "domain": domain}
                if domain == "photo":
                    yield instance_id, {"image": _encoded(mini.photo(name, instance), "JPEG"), **row}
                    continue
                for drawing in range(self.config.sketches_per_instance):
                    image = _encoded(mini.sketch(name, instance, drawing), "PNG")
                    yield f"{instance_id}-{drawing}", {"image": image, **row}


def load_mini(
    *, cache_dir: str | os.PathLike | None = None, num_proc: int | None = None, **options
) -> datasets.DatasetDict:
    """MiniSketch as train_sketch, train_photo (seen classes), test_sketch and test_photo (unseen classes).

    The pictures are drawn on the first call with given options (a few milliseconds each, with a progress bar)
    and read from the `datasets` cache afterwards.

    Args:
        cache_dir: in place of the `datasets` cache.
        num_proc: processes to draw with.
        **options: see `MiniSketchConfig`.

    Raises:
        ValueError: if an option is out of range.
    """
    cache_dir = None if cache_dir is None else os.fspath(cache_dir)
    builder = MiniSketchBuilder(dataset_name="mini", config_name="mini", cache_dir=cache_dir, **options)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset()


@cache
def source_fingerprint() -> str:
    """What of the renderers' source names things drawn by them, so that other source draws them anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _encoded(image: Image.Image, file_format: str) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **({"quality": 90} if file_format == "JPEG" else {"optimize": False}))
    return {"bytes": buffer.getvalue(), "path": None}
