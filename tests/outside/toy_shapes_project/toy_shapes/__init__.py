"""A benchmark as someone else would publish it: a package of its own, which names it in its entry points."""

from dataclasses import dataclass
from typing import ClassVar

import datasets
from PIL import Image, ImageDraw

from sketch_prompt.data.builder import features
from sketch_prompt.data.configs import BenchmarkConfig

SEEN, UNSEEN = ("disc", "square", "roof"), ("lens", "pin")


@dataclass
class ToyShapesConfig(BenchmarkConfig):
    """Instance level; generated, so there is no folder to give."""

    instances: int = 4

    level = "instance"
    reads_data_dir = False
    test_counts: ClassVar = {"test_photo": 8}


class ToyShapesBuilder(datasets.GeneratorBasedBuilder):
    """Five shapes in two colours, each instance of its own size."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = ToyShapesConfig

    def _info(self):
        return datasets.DatasetInfo(features=features(SEEN + UNSEEN))

    def _split_generators(self, dl_manager):
        return [
            datasets.SplitGenerator(f"{part}_{domain}", {"names": names, "domain": domain})
            for part, names in (("train", SEEN), ("test", UNSEEN))
            for domain in ("sketch", "photo")
        ]

    def _generate_examples(self, names, domain):
        for name in names:
            for number in range(self.config.instances):
                instance = f"{name}-{number}"
                row = {"image": _draw(name, number, domain), "label": name, "instance_id": instance}
                yield instance, row | {"domain": domain}


def _draw(name: str, number: int, domain: str) -> Image.Image:
    image = Image.new("RGB", (32, 32), "white" if domain == "sketch" else (40 * number, 120, 200))
    style = {"outline": "black"} if domain == "sketch" else {"fill": (220, 60, 60)}
    sides = {"disc": 12, "square": 4, "roof": 3, "lens": 6, "pin": 5}[name]
    ImageDraw.Draw(image).regular_polygon((16, 16, 6 + 2 * number), sides, **style)
    return image
