"""A model that counts the photos it embeds, and folders of photos that it can tell apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fakes.clip import IMAGE_SIZE, tiny_clip
from sketch_prompt import SketchPromptConfig, SketchPromptModel, SketchPromptProcessor
from sketch_prompt.processing import SketchPromptImageProcessor


def make_model(seed: int = 0, method: str = "frozen-clip"):
    """A model of a few thousand random weights that counts the photos it embeds."""
    torch.manual_seed(seed)
    model = SketchPromptModel.from_config(
        SketchPromptConfig(method, base_model=None), backbone=tiny_clip(seed)
    )
    model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=IMAGE_SIZE))
    model.embedded = 0
    embed = model.get_photo_features

    def counting(pixel_values, **conditions):
        model.embedded += len(pixel_values)
        return embed(pixel_values, **conditions)

    model.get_photo_features = counting
    return model.eval()


def picture(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Coarse coloured noise, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write_photos(folder: Path, categories: dict[str, int], first: int = 0) -> Path:
    """`{"cat": 3}` writes cat/0.jpg, cat/1.jpg and cat/2.jpg."""
    seed = first
    for category, count in categories.items():
        (folder / category).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture(seed).save(folder / category / f"{number}.jpg", quality=95)
            seed += 1
    return folder


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def photos(tmp_path):
    """Four cats, three dogs, and two photos that lie in no folder."""
    folder = write_photos(tmp_path / "photos", {"cat": 4, "dog": 3})
    for number in range(2):
        picture(100 + number).save(folder / f"free {number}.png")
    return folder


def found(gallery, **options) -> list[str]:
    """Paths of the first five hits of a picture."""
    return [hit.path for hit in gallery.search(picture(3), 5, **options)]


def assert_same_hits_after_changes(gallery, exact) -> None:
    """Add a photo to both and remove one, and compare their hits with and without filters."""
    for each in (gallery, exact):
        each.add([picture(40)], names=["new"], progress=False)
        each.remove("cat/1.jpg")
    for filters in (None, {"category": "dog"}, {"path": "cat/*"}):
        assert found(gallery, filters=filters) == found(exact, filters=filters)
