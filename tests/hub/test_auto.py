"""transformers' Auto classes on a checkpoint that lies on the Hub."""

import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, pipeline

from fakes.clip import images
from sketch_prompt import SketchPromptModel, SketchPromptProcessor
from sketch_prompt.models.auto import MODELS, model_class
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.sources import find_checkpoint

METHODS = sorted(MODELS)


def features(model):
    return torch.cat(
        [model.get_sketch_features(images(2, size=64)), model.get_photo_features(images(2, size=64))]
    )


@pytest.fixture(params=[False, True], ids=["adapter-only", "self-contained"])
def pushed(request, hub, tmp_path):
    """Puts the bundled checkpoint of a method on the Hub, on a base model that lies there too."""
    hub.add("me/mini-clip", find_checkpoint("mini-clip"))

    def push(method):
        model = SketchPromptModel.from_pretrained(f"mini-{method}")
        model.config.base_model = "me/mini-clip"
        model.save_pretrained(tmp_path / method, include_backbone=request.param)
        hub.add(f"me/{method}", tmp_path / method)
        return model

    return push


@pytest.mark.parametrize("method", METHODS)
def test_the_auto_classes_load_a_checkpoint_by_its_id(method, pushed):
    model = pushed(method)
    name = f"me/{method}"
    for again in (AutoModel.from_pretrained(name), AutoModel.from_pretrained(name, revision="main")):
        assert type(again) is model_class(method) and torch.equal(features(again), features(model))
    config = AutoConfig.from_pretrained(name)
    assert config.method == method
    assert torch.equal(features(AutoModel.from_pretrained(name, config=config)), features(model))
    processor = AutoProcessor.from_pretrained(name)
    assert isinstance(processor, SketchPromptProcessor) and processor.tokenizer is not None
    assert isinstance(AutoImageProcessor.from_pretrained(name), SketchPromptImageProcessor)
    assert AutoModel.from_pretrained(name, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_the_image_feature_extraction_pipeline_embeds_photos(pushed):
    model = pushed("clip-at")
    photo = Image.new("RGB", (80, 60), "red")
    expected = model.get_photo_features(model.processor(photos=photo).photo_pixel_values)
    extract = pipeline("image-feature-extraction", "me/clip-at")
    assert torch.allclose(torch.tensor(extract(photo)), expected, atol=1e-6)
    assert torch.allclose(extract(photo, pool=True, return_tensors=True), expected, atol=1e-6)
