"""transformers' Auto classes on a checkpoint that lies on the Hub."""

import os
import subprocess
import sys

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


def run(code, hub, tmp_path, **environment):
    given = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", **environment}
    script = [
        "-c",
        f"from transformers import AutoModel, AutoProcessor, AutoImageProcessor, AutoConfig\n{code}",
    ]
    return subprocess.run(
        [sys.executable, *script], env={**os.environ, **given}, capture_output=True, text=True
    )


def test_without_the_import_trusting_the_small_module_beside_the_weights_is_enough(pushed, hub, tmp_path):
    pushed("clip-at")
    code = (
        "print(type(AutoModel.from_pretrained('me/clip-at', trust_remote_code=True)))\n"
        "print(type(AutoProcessor.from_pretrained('me/clip-at', trust_remote_code=True)))\n"
        "print(type(AutoImageProcessor.from_pretrained('me/clip-at', trust_remote_code=True)))\n"
    )
    done = run(code, hub, tmp_path)
    for name in ("ClipAtModel", "SketchPromptProcessor", "SketchPromptImageProcessor"):
        assert name in done.stdout, done.stderr


def test_without_the_package_the_message_names_it(pushed, hub, tmp_path):
    pushed("clip-at")
    blocked = tmp_path / "blocked" / "sketch_prompt.py"
    blocked.parent.mkdir()
    blocked.write_text("raise ModuleNotFoundError('No module named sketch_prompt')")
    done = run(
        "AutoModel.from_pretrained('me/clip-at', trust_remote_code=True)",
        hub,
        tmp_path,
        PYTHONPATH=str(blocked.parent),
    )
    assert "requires the following packages" in done.stderr and "pip install sketch_prompt" in done.stderr
