"""A CLIP of a few kilobytes and a sketch folder of a few dozen pictures, enough to run the whole loop."""

import copy
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw

from fakes.clip import write_clip
from sketch_prompt.training.config import TrainingConfig

CLASSES = {
    "disc": lambda draw, box, **style: draw.ellipse(box, **style),
    "square": lambda draw, box, **style: draw.rectangle(box, **style),
    "roof": lambda draw, box, **style: draw.polygon([box[:2], (box[2], box[1]), box[2:]], **style),
    "slice": lambda draw, box, **style: draw.pieslice(box, 20, 130, **style),
    "lens": lambda draw, box, **style: draw.chord(box, 200, 330, **style),
    "pin": lambda draw, box, **style: draw.regular_polygon((16, 16, (box[2] - box[0]) // 2), 5, **style),
}
SEEN, UNSEEN = list(CLASSES)[:4], list(CLASSES)[4:]
PICTURES = 6


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A randomly initialised CLIP folder: 32 px, patch 8, width 32, two layers."""
    return write_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def sketch_folder(tmp_path_factory) -> Path:
    """Four seen and two unseen classes of simple shapes, six photos and six sketches each."""
    root = tmp_path_factory.mktemp("shapes")
    for name, shape in CLASSES.items():
        for domain in ("photo", "sketch"):
            (root / domain / name).mkdir(parents=True)
        for number in range(PICTURES):
            box = (4 + number % 3, 5, 24 + number, 26)
            photo = Image.new("RGB", (32, 32), (40 * number, 120, 200))
            shape(ImageDraw.Draw(photo), box, fill=(220, 30 * number, 60))
            photo.save(root / "photo" / name / f"{number}.png")
            sketch = Image.new("RGB", (32, 32), "white")
            shape(ImageDraw.Draw(sketch), box, outline="black")
            sketch.save(root / "sketch" / name / f"{number}-1.png")
    (root / "split.yaml").write_text(yaml.safe_dump({"seen": SEEN, "unseen": UNSEEN}))
    return root


@pytest.fixture
def recipe(tiny_clip, sketch_folder, tmp_path):
    """Builds a recipe of three epochs of four steps; keywords replace keys of its sections."""
    base = {
        "model": {"method": "clip-at", "base_model": str(tiny_clip)},
        "data": {
            "benchmark": "sketch-folder",
            "data_dir": str(sketch_folder),
            "options": {"cache_dir": str(tmp_path / "cache")},
            "validation_classes": 0.5,
            "num_workers": 0,
        },
        "processor": {"sketch_crop_margin": True},
        "optimisation": {"epochs": 3, "batch_size": 4, "learning_rates": {"layer_norms": 1e-4}},
        "evaluation": {"ks": [5], "batch_size": 16},
        "run": {"output_dir": str(tmp_path / "run"), "log_every": 2, "progress": False},
    }

    def build(**sections) -> TrainingConfig:
        values = copy.deepcopy(base)
        for section, keys in sections.items():
            values[section] |= keys
        return TrainingConfig.from_dict(values)

    return build
