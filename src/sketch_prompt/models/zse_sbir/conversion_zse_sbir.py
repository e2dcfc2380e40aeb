"""ZSE-SBIR from the checkpoints that its reference code writes."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...processing import SketchPromptImageProcessor, SketchPromptProcessor
from ..reference import HEAD_WIDTH, count_layers, shape_of
from .configuration_zse_sbir import ZseSbirConfig
from .modeling_zse_sbir import ZseSbirModel
from .vit_weights import REFERENCE


def reference_config(state: Mapping[str, Tensor]) -> ZseSbirConfig:
    """ZSE-SBIR as the reference code builds it, with the sizes of its tensors."""
    tower = "sa.model.transformer.layers"
    width, _, patch, _ = shape_of(state, "sa.model.embedding.weight", 4)
    if count_layers(state, "ca.encoder.layer1") != 1:
        raise ValueError("the checkpoint's cross attention has several layers; only one can be converted")
    pyramid = [name for name in state if re.fullmatch(r"sa\.model\.scale\.seq\.\d+\.weight", name)]
    return ZseSbirConfig(
        base_model=None,
        backbone="vit",
        vision_config={
            "hidden_size": width,
            "intermediate_size": shape_of(state, f"{tower}.0.0.mlp.net.0.weight")[0],
            "num_hidden_layers": count_layers(state, tower),
            "num_attention_heads": width // HEAD_WIDTH,
            "image_size": round((shape_of(state, "sa.model.pos_embedding")[1] - 1) ** 0.5) * patch,
            "patch_size": patch,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
        },
        tokenizer_domains="both",
        tokenizer_channels=[len(state[name]) for name in sorted(pyramid, key=lambda n: int(n.split(".")[4]))],
        tokenizer_fusion="average",
        cross_ffn=shape_of(state, "ca.encoder.layer1.0.feed_forward.w_1.weight")[0],
        relation_channels=shape_of(state, "conv2d.weight")[0],
        relation_layout="reference",
    )


def reference_names(config: ZseSbirConfig) -> dict[str, tuple[str, ...]]:
    """ZSE-SBIR's name of every tensor its reference code uses -> ours; packed q/k/v go to three, in that order."""
    tower = REFERENCE.names(config.vision_config.num_hidden_layers)
    names = {
        f"sa.model.{their}": tuple(f"adapter.vision.{our}" for our in ours) for their, ours in tower.items()
    }
    modules: dict[str, str] = {"conv2d": "adapter.matcher.anchors"}
    for i in range(len(config.tokenizer_channels)):
        name = f"adapter.tokenizer.convolutions.{i}.weight"
        names[f"sa.model.scale.seq.{2 * i}.weight"] = (name,)
    for i in (0, 3, 6):
        modules[f"rn.rn.{i}"] = f"adapter.matcher.relation.layers.{i}"
    for their, domain in (("ca.encoder.layer1.0", "sketch"), ("ca.encoder.layer2.0", "photo")):
        our = f"adapter.matcher.sides.{domain}"
        for i, part in enumerate(("query", "key", "value", "out")):
            modules[f"{their}.self_attn.linears.{i}"] = f"{our}.{part}"
        for i in (1, 2):
            modules[f"{their}.feed_forward.w_{i}"] = f"{our}.fc{i}"
        for i, part in enumerate(("attention_norm", "output_norm")):
            for kind, full in (("a", "weight"), ("b", "bias")):
                names[f"{their}.sublayer.{i}.norm.{kind}"] = (f"{our}.{part}.{full}",)
    for kind in ("weight", "bias"):
        for their, our in modules.items():
            names[f"{their}.{kind}"] = (f"{our}.{kind}",)
    return names


def convert(state: Mapping[str, Tensor]) -> tuple[ZseSbirModel, set[str]]:
    """ZSE-SBIR: vision transformer `sa`, cross attention `ca`, relation network `conv2d` and `rn`."""
    config = reference_config(state)
    names = reference_names(config)
    model = ZseSbirModel(config)
    tensors = model.adapter_tensors()
    with torch.no_grad():
        for theirs, ours in names.items():
            shape_of(state, theirs)
            for name, value in zip(ours, state[theirs].chunk(len(ours))):
                if value.numel() != tensors[name].numel() or value.shape[-1] != tensors[name].shape[-1]:
                    expected = (len(ours) * len(tensors[name]), *tensors[name].shape[1:])
                    raise ValueError(
                        f"size mismatch for {theirs}: {tuple(state[theirs].shape)} in the checkpoint, where its "
                        f"other tensors ask for {expected}"
                    )
                tensors[name].copy_(value.reshape(tensors[name].shape))
    model.processor = SketchPromptProcessor(
        SketchPromptImageProcessor(
            size=config.vision_config.image_size,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            photo_resize="squash",
            sketch_resize="pad",
            sketch_crop_margin=True,
        )
    )
    return model, set(names)
