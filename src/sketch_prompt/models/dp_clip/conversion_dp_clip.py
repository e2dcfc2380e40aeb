"""DP-CLIP from the checkpoints that its reference code writes."""

import itertools
from collections.abc import Mapping

from torch import Tensor

from ...processing import SketchPromptImageProcessor, SketchPromptProcessor
from ..reference import block_names, fill_adapter, openai_clip, shape_of
from .configuration_dp_clip import DpClipConfig
from .modeling_dp_clip import DpClipModel


def reference_names(config: DpClipConfig) -> dict[str, tuple[str, ...]]:
    """DP-CLIP's name of every tensor that its reference code adds to CLIP -> ours; packed q/k/v go to three."""
    names: dict[str, tuple[str, ...]] = {}
    n_layers = config.clip_config.vision_config.num_hidden_layers
    branches = {
        "attn.lora_A": "attention_in",
        "attn.lora_B": "attention_out",
        "mlp_lora.lora_A": "mlp_in",
        "mlp_lora.lora_B": "mlp_out",
    }
    layers = {f"clip.visual.transformer.resblocks.{i}": f"adapter.branches.{i}" for i in range(n_layers)}
    if config.local_parts:
        layers["local_trans_layer"] = "adapter.matcher.branches"
        names |= block_names("local_trans_layer", "adapter.matcher")
        names["local_proj"] = ("adapter.matcher.projections",)
        for i, kind in itertools.product(range(config.local_parts), ("weight", "bias")):
            names[f"local_layer_norm.{i}.{kind}"] = (f"adapter.matcher.norms.{i}.{kind}",)
    if config.rank:
        for (theirs, ours), (their, our) in itertools.product(layers.items(), branches.items()):
            names[f"{theirs}.{their}"] = (f"{ours}.{our}",)
    if config.text_scaling:
        for i, j, kind in itertools.product(range(n_layers), (0, 2), ("weight", "bias")):
            names[f"clip.visual.attn_lora_SS.{i}.{j}.{kind}"] = (f"adapter.scalers.{i}.{j}.{kind}",)
    if config.visual_prompts == "support":
        names["CS_visual_prompt_fn.prompt_embeddings"] = ("adapter.prompts.embeddings",)
        for kind in ("weight", "bias"):
            names[f"CS_visual_prompt_fn.prompt_proj.{kind}"] = (f"adapter.prompts.projection.{kind}",)
        names |= block_names("CS_visual_prompt_fn.prompt_predictor.0", "adapter.prompts.block")
    return names


def convert(state: Mapping[str, Tensor]) -> tuple[DpClipModel, set[str]]:
    """DP-CLIP's Lightning checkpoint: a CLIP with branches under `clip.`, prompts, and the windows' block."""
    clip, used = openai_clip(state, "clip.")

    def holds(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in state)

    branches, scales = "clip.visual.transformer.resblocks.0.attn.lora_A", "clip.visual.attn_lora_SS."
    local, prompts = holds("local_"), holds("CS_visual_prompt_fn.")
    config = DpClipConfig(
        base_model=None,
        clip_config=clip.config,
        visual_prompts="support" if prompts else "none",
        n_prompts=shape_of(state, "CS_visual_prompt_fn.prompt_embeddings")[1] if prompts else 3,
        rank=shape_of(state, branches)[0] if branches in state else 0,
        text_scaling=holds(scales),
        scale_hidden=shape_of(state, f"{scales}0.0.weight")[0] if holds(scales) else None,
        text_dim=shape_of(state, f"{scales}0.0.weight")[1] if holds(scales) else None,
        local_parts=4 if local else 0,
        own_local_block=local,
        trainable="reference",
    )
    model = DpClipModel(config, backbone=clip)
    names = reference_names(config)
    fill_adapter(model, state, names)
    size = clip.config.vision_config.image_size
    model.processor = SketchPromptProcessor(
        SketchPromptImageProcessor(
            size=size, normalization="imagenet", photo_resize="pad", sketch_resize="pad"
        )
    )
    return model, used | set(names)
