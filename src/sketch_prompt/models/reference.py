"""Shared parts of the converters: reading sizes from tensors, and a CLIP with OpenAI's names.

A converter takes a state dict and returns the model and the names that it used; see
`SketchPromptPreTrainedModel.convert`.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from .adapters import AdaptedClip
from .backbone import build_backbone

HEAD_WIDTH = 64  # width of the heads of every CLIP


def layer_names(theirs: str, ours: str) -> dict[str, str]:
    """{OpenAI's name: name in transformers} of the tensors of a transformer layer, without the packed q/k/v."""
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    return {
        f"{theirs}.{their}.{kind}": f"{ours}.{our}.{kind}"
        for their, our in names.items()
        for kind in ("weight", "bias")
    }


def block_names(theirs: str, ours: str) -> dict[str, tuple[str, ...]]:
    """{OpenAI's name: name in transformers} of the tensors of a transformer block."""
    names = {their: (our,) for their, our in layer_names(theirs, ours).items()}
    for kind in ("weight", "bias"):
        names[f"{theirs}.attn.in_proj_{kind}"] = tuple(f"{ours}.self_attn.{p}_proj.{kind}" for p in "qkv")
    return names


_TOWER_NAMES = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}


def shape_of(state: Mapping[str, Tensor], name: str, rank: int | None = None) -> torch.Size:
    """The shape of a tensor of a checkpoint. A ValueError if it is missing or does not have `rank` dimensions."""
    if name not in state:
        raise ValueError(
            f"the checkpoint has no tensor {name!r}; is it of another method, or not a whole model?"
        )
    shape = state[name].shape
    if rank is not None and len(shape) != rank:
        raise ValueError(f"the tensor {name!r} has shape {tuple(shape)}, where {rank} sizes are expected")
    return shape


def count_layers(state: Mapping[str, Tensor], prefix: str) -> int:
    """The number of layers named `<prefix>.<number>.` in a checkpoint, which must be numbered from 0 without gaps."""
    layers = {int(m[1]) for name in state if (m := re.match(re.escape(prefix) + r"\.(\d+)\.", name))}
    if layers != set(range(len(layers))) or not layers:
        raise ValueError(f"the checkpoint's layers {prefix}.* are not numbered from 0 without a gap")
    return len(layers)


def openai_clip_config(state: Mapping[str, Tensor], prefix: str) -> CLIPConfig:
    """Architecture of a CLIP stored under OpenAI's names, read off its tensors' shapes (heads = width // 64).

    Args:
        state: state dict holding a CLIP.
        prefix: what its names start with, such as `"clip."`.

    Raises:
        ValueError: if a tensor that determines a size is missing.
    """
    width, _, patch, _ = shape_of(state, f"{prefix}visual.conv1.weight", 4)
    positions = shape_of(state, f"{prefix}visual.positional_embedding")[0] - 1
    vocabulary, text_width = shape_of(state, f"{prefix}token_embedding.weight", 2)
    embed_dim = shape_of(state, f"{prefix}visual.proj", 2)[1]
    vision = {
        "hidden_size": width,
        "intermediate_size": shape_of(state, f"{prefix}visual.transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": count_layers(state, f"{prefix}visual.transformer.resblocks"),
        "num_attention_heads": width // HEAD_WIDTH,
        "image_size": round(positions**0.5) * patch,
        "patch_size": patch,
        "projection_dim": embed_dim,
    }
    text = {
        "vocab_size": vocabulary,
        "hidden_size": text_width,
        "intermediate_size": shape_of(state, f"{prefix}transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": count_layers(state, f"{prefix}transformer.resblocks"),
        "num_attention_heads": text_width // HEAD_WIDTH,
        "max_position_embeddings": shape_of(state, f"{prefix}positional_embedding")[0],
        "projection_dim": embed_dim,
        # 2 means "the highest id", which is how OpenAI's code finds the end of the text.
        "eos_token_id": 2,
        "bos_token_id": vocabulary - 2,
        "pad_token_id": 0,
    }
    return CLIPConfig(vision_config=vision, text_config=text, projection_dim=embed_dim)


def openai_clip_names(config: CLIPConfig) -> dict[str, str | tuple[str, ...]]:
    """{OpenAI's name: names in `CLIPModel`} of all tensors of a CLIP. Packed q/k/v have three names, in that order."""
    names: dict[str, str | tuple[str, ...]] = dict(_TOWER_NAMES)
    towers = (
        ("visual.transformer", "vision_model", config.vision_config),
        ("transformer", "text_model", config.text_config),
    )
    for theirs, ours, tower in towers:
        for i in range(tower.num_hidden_layers):
            their, our = f"{theirs}.resblocks.{i}", f"{ours}.encoder.layers.{i}"
            names |= layer_names(their, our)
            for kind in ("weight", "bias"):
                names[f"{their}.attn.in_proj_{kind}"] = tuple(
                    f"{our}.self_attn.{p}_proj.{kind}" for p in "qkv"
                )
    return names | {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}


_TRANSPOSED = ("visual.proj", "text_projection")  # OpenAI multiplies from the right


def openai_clip(state: Mapping[str, Tensor], prefix: str) -> tuple[CLIPModel, set[str]]:
    """The frozen CLIP inside `state`, and the names in `state` it was made of.

    Raises:
        ValueError: naming the tensor that is missing or has the wrong shape.
    """
    config = openai_clip_config(state, prefix)
    converted: dict[str, Tensor] = {}
    for theirs, ours in openai_clip_names(config).items():
        shape_of(state, prefix + theirs)
        value = state[prefix + theirs].detach().float()
        if isinstance(ours, tuple):
            converted |= dict(zip(ours, value.chunk(len(ours))))
        else:
            converted[ours] = value.T.contiguous() if theirs in _TRANSPOSED else value
    clip = build_backbone(config, {name: value.clone() for name, value in converted.items()})
    return clip, {prefix + name for name in openai_clip_names(config)}


@torch.no_grad()
def fill_adapter(model: AdaptedClip, state: Mapping[str, Tensor], names: dict[str, tuple[str, ...]]) -> None:
    """Copy tensors of a reference into the adapter of a model. Packed tensors are split into equal parts.

    Raises:
        ValueError: A tensor is missing or has a wrong shape; the message names it.
    """
    tensors = model.adapter_tensors()
    for theirs, ours in names.items():
        expected = (len(ours) * len(tensors[ours[0]]), *tensors[ours[0]].shape[1:])
        if shape_of(state, theirs) != expected:
            raise ValueError(
                f"size mismatch for {theirs}: {tuple(state[theirs].shape)} in the checkpoint, where its other "
                f"tensors ask for {expected}"
            )
        for name, value in zip(ours, state[theirs].chunk(len(ours))):
            tensors[name].copy_(value)
