"""The bundled checkpoints load by name, without a network, and do what they are for."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoProcessor

from sketch_prompt import SketchPromptModel, SketchPromptProcessor
from sketch_prompt.data.minisketch import UNSEEN_CLASSES, MiniSketch
from sketch_prompt.models.auto import MODELS
from sketch_prompt.sources import bundled_names, find_checkpoint

# Registering a method does not ask for a trained one; what is shipped must be whole.
BUNDLED = [name.removeprefix("mini-") for name in bundled_names() if name.removeprefix("mini-") in MODELS]


def test_every_published_method_is_bundled():
    mini = {name for name in bundled_names() if name.startswith("mini-")}
    assert mini == {"mini-clip", *(f"mini-{method}" for method in BUNDLED)}
    assert {"frozen-clip", "clip-at", "splip", "dp-clip", "zse-sbir"} <= set(BUNDLED)


@pytest.mark.parametrize("method", BUNDLED)
def test_a_bundled_model_finds_the_class_of_an_unseen_sketch(method):
    model = SketchPromptModel.from_pretrained(f"mini-{method}")
    processor = SketchPromptProcessor.from_pretrained(f"mini-{method}")
    assert model.method == method and not model.training
    assert not set(UNSEEN_CLASSES) & set(model.config.class_names or ())
    data = MiniSketch()
    inputs = processor(
        sketches=[data.sketch(name, 0) for name in UNSEEN_CLASSES],
        photos=[data.photo(name, i) for i in (1, 2, 3) for name in UNSEEN_CLASSES],
        text=[processor.class_prompt(name) for name in UNSEEN_CLASSES],
    )
    with torch.no_grad():
        sketches = model.get_sketch_features(inputs.sketch_pixel_values)
        photos = model.get_photo_features(inputs.photo_pixel_values)
        text = model.get_text_features(inputs.input_ids, inputs.attention_mask)
    labels = torch.arange(len(UNSEEN_CLASSES)).repeat(3)
    nearest = labels[processor.score(sketches, photos).argmax(dim=1)]
    assert (nearest == labels[: len(UNSEEN_CLASSES)]).float().mean() > 0.5
    if text.shape[1] == photos.shape[1]:  # parts side by side are no space of texts
        assert (processor.score(photos, text).argmax(dim=1) == labels).float().mean() > 0.7


@pytest.mark.parametrize("method", BUNDLED)
def test_the_auto_classes_read_a_bundled_folder(method):
    folder = find_checkpoint(f"mini-{method}")
    assert type(AutoModel.from_pretrained(folder)) is MODELS[method]
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, SketchPromptProcessor) and processor.tokenizer is not None


def test_an_adapter_is_at_most_two_megabytes_six_for_small_clip_and_the_clips_at_most_ten_and_twenty():
    limits = {"mini-clip": 10_000_000, "small-clip": 20_000_000}
    limits |= {name: 6_000_000 for name in bundled_names() if name.endswith("-quickdraw-caltech")}
    for name in bundled_names():
        size = sum(path.stat().st_size for path in Path(find_checkpoint(name)).iterdir())
        assert size < limits.get(name, 2_000_000), name
