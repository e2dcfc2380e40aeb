"""A CLIP of a few kilobytes and a sketch folder of a few dozen pictures, enough to run the whole loop."""

import copy
from pathlib import Path

import pytest

from fakes.clip import write_clip
from fakes.shapes import write_shapes
from sketch_prompt.training.config import TrainingConfig


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A randomly initialised CLIP folder: 32 px, patch 8, width 32, two layers."""
    return write_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def sketch_folder(tmp_path_factory) -> Path:
    """Four seen and two unseen classes of simple shapes, six photos and six sketches each."""
    return write_shapes(tmp_path_factory.mktemp("shapes"))


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
