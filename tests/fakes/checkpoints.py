"""A base model, an adapter on it, and the two in one: as folders, and by these ids on the Hub."""

from pathlib import Path
from types import SimpleNamespace

import torch

from fakes.clip import IMAGE_SIZE, images, write_clip
from sketch_prompt import ClipAtModel, SketchPromptProcessor

BASE, ADAPTER, WHOLE = "openai/clip", "me/clip-at", "me/clip-at-with-clip"


def write_checkpoints(root: Path) -> SimpleNamespace:
    """The three folders, and the model that was saved."""
    clip = write_clip(root / "clip")
    torch.manual_seed(0)
    model = ClipAtModel.from_base_model(str(clip)).eval()
    model.processor = SketchPromptProcessor.from_base_model(clip, size=IMAGE_SIZE)
    model.set_classes(["cat", "cup"], model.processor)
    results = {"mini": {"mAP@all": 0.5}}
    model.save_pretrained(root / "adapter", base_model=BASE, results=results)
    model.save_pretrained(root / "whole", include_backbone=True, base_model=BASE)
    return SimpleNamespace(clip=clip, adapter=root / "adapter", whole=root / "whole", model=model)


def features(model) -> torch.Tensor:
    """Of two drawings and two photos."""
    with torch.no_grad():
        return torch.cat([model.get_sketch_features(images(2)), model.get_photo_features(images(2))])


def same(model, other) -> bool:
    """Whether two models embed alike, bit for bit."""
    return torch.equal(features(model), features(other))
