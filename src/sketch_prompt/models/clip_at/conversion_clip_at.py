"""Convert checkpoints of the reference code of CLIP-AT."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...processing import SketchPromptImageProcessor, SketchPromptProcessor
from ..reference import openai_clip, shape_of
from .configuration_clip_at import ClipAtConfig
from .modeling_clip_at import ClipAtModel


def convert(state: Mapping[str, Tensor]) -> tuple[ClipAtModel, set[str]]:
    """A category-level Lightning checkpoint of CLIP-AT: a whole CLIP under `clip.`, `sk_prompt` and `img_prompt`."""
    clip, used = openai_clip(state, "clip.")
    config = ClipAtConfig(
        base_model=None,
        clip_config=clip.config,
        n_prompts=shape_of(state, "sk_prompt")[0],
        trainable="reference",
        triplet_margin=0.2,
        classification_weight=0.0,
    )
    model = ClipAtModel(config, backbone=clip)
    with torch.no_grad():
        model.adapter.sketch_prompts.copy_(state["sk_prompt"])
        model.adapter.photo_prompts.copy_(state["img_prompt"])
    size = clip.config.vision_config.image_size
    image_processor = SketchPromptImageProcessor(
        size=size, normalization="imagenet", photo_resize="pad", sketch_resize="pad"
    )
    model.processor = SketchPromptProcessor(image_processor)
    return model, used | {"sk_prompt", "img_prompt"}
