"""Models from the checkpoints that the papers' own code writes."""

import itertools
import logging
import os
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ..models import backbone as clip_backbone
from ..models.auto import model_class
from ..models.modeling_base import SketchPromptPreTrainedModel
from ..processing import SketchPromptImageProcessor, SketchPromptProcessor
from .inert_pickle import Inert, load_inert

logger = logging.getLogger(__name__)

_HEAD_WIDTH = 64  # every CLIP's heads are this wide, so a state dict's shapes tell their number


def _layer_names(theirs: str, ours: str) -> dict[str, str]:
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


def _shape(state: Mapping[str, Tensor], name: str, rank: int | None = None) -> torch.Size:
    if name not in state:
        raise ValueError(
            f"the checkpoint has no tensor {name!r}; is it of another method, or not a whole model?"
        )
    shape = state[name].shape
    if rank is not None and len(shape) != rank:
        raise ValueError(f"the tensor {name!r} has shape {tuple(shape)}, where {rank} sizes are expected")
    return shape


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
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
        ValueError: if a tensor that tells a size is missing.
    """
    width, _, patch, _ = _shape(state, f"{prefix}visual.conv1.weight", 4)
    positions = _shape(state, f"{prefix}visual.positional_embedding")[0] - 1
    vocabulary, text_width = _shape(state, f"{prefix}token_embedding.weight", 2)
    embed_dim = _shape(state, f"{prefix}visual.proj", 2)[1]
    vision = {
        "hidden_size": width,
        "intermediate_size": _shape(state, f"{prefix}visual.transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": _depth(state, f"{prefix}visual.transformer.resblocks"),
        "num_attention_heads": width // _HEAD_WIDTH,
        "image_size": round(positions**0.5) * patch,
        "patch_size": patch,
        "projection_dim": embed_dim,
    }
    text = {
        "vocab_size": vocabulary,
        "hidden_size": text_width,
        "intermediate_size": _shape(state, f"{prefix}transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": _depth(state, f"{prefix}transformer.resblocks"),
        "num_attention_heads": text_width // _HEAD_WIDTH,
        "max_position_embeddings": _shape(state, f"{prefix}positional_embedding")[0],
        "projection_dim": embed_dim,
        # 2 stands for "the highest id", which is how OpenAI's code finds the end of the text.
        "eos_token_id": 2,
        "bos_token_id": vocabulary - 2,
        "pad_token_id": 0,
    }
    return CLIPConfig(vision_config=vision, text_config=text, projection_dim=embed_dim)


def openai_clip_names(config: CLIPConfig) -> dict[str, str | tuple[str, ...]]:
    """OpenAI's name of every CLIP tensor -> `CLIPModel`'s; packed q/k/v go to three names, in that order."""
    names: dict[str, str | tuple[str, ...]] = dict(_TOWER_NAMES)
    towers = (
        ("visual.transformer", "vision_model", config.vision_config),
        ("transformer", "text_model", config.text_config),
    )
    for theirs, ours, tower in towers:
        for i in range(tower.num_hidden_layers):
            their, our = f"{theirs}.resblocks.{i}", f"{ours}.encoder.layers.{i}"
            names |= _layer_names(their, our)
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
        _shape(state, prefix + theirs)
        value = state[prefix + theirs].detach().float()
        if isinstance(ours, tuple):
            converted |= dict(zip(ours, value.chunk(len(ours))))
        else:
            converted[ours] = value.T.contiguous() if theirs in _TRANSPOSED else value
    clip = clip_backbone.build_backbone(config, {name: value.clone() for name, value in converted.items()})
    return clip, {prefix + name for name in openai_clip_names(config)}


def _clip_at(state: Mapping[str, Tensor]) -> tuple[SketchPromptPreTrainedModel, set[str]]:
    """CLIP-AT's category-level Lightning checkpoint: a whole CLIP under `clip.`, `sk_prompt` and `img_prompt`."""
    clip, used = openai_clip(state, "clip.")
    cls = model_class("clip-at")
    config = cls.config_class(
        base_model=None,
        clip_config=clip.config,
        n_prompts=_shape(state, "sk_prompt")[0],
        trainable="reference",
        triplet_margin=0.2,
        classification_weight=0.0,
    )
    model = cls(config, backbone=clip)
    with torch.no_grad():
        model.adapter.sketch_prompts.copy_(state["sk_prompt"])
        model.adapter.photo_prompts.copy_(state["img_prompt"])
    size = clip.config.vision_config.image_size
    image_processor = SketchPromptImageProcessor(
        size=size, normalization="imagenet", photo_resize="pad", sketch_resize="pad"
    )
    model.processor = SketchPromptProcessor(image_processor)
    return model, used | {"sk_prompt", "img_prompt"}


def _zse_sbir_config(state: Mapping[str, Tensor]):
    """ZSE-SBIR as the reference code builds it, with the sizes of its tensors."""
    tower = "sa.model.transformer.layers"
    width, _, patch, _ = _shape(state, "sa.model.embedding.weight", 4)
    if _depth(state, "ca.encoder.layer1") != 1:
        raise ValueError("the checkpoint's cross attention has several layers; only one can be converted")
    pyramid = [name for name in state if re.fullmatch(r"sa\.model\.scale\.seq\.\d+\.weight", name)]
    return model_class("zse-sbir").config_class(
        base_model=None,
        backbone="vit",
        vision_config={
            "hidden_size": width,
            "intermediate_size": _shape(state, f"{tower}.0.0.mlp.net.0.weight")[0],
            "num_hidden_layers": _depth(state, tower),
            "num_attention_heads": width // _HEAD_WIDTH,
            "image_size": round((_shape(state, "sa.model.pos_embedding")[1] - 1) ** 0.5) * patch,
            "patch_size": patch,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
        },
        tokenizer_domains="both",
        tokenizer_channels=[len(state[name]) for name in sorted(pyramid, key=lambda n: int(n.split(".")[4]))],
        tokenizer_fusion="average",
        cross_ffn=_shape(state, "ca.encoder.layer1.0.feed_forward.w_1.weight")[0],
        relation_channels=_shape(state, "conv2d.weight")[0],
        relation_layout="reference",
    )


def zse_sbir_names(config) -> dict[str, tuple[str, ...]]:
    """ZSE-SBIR's name of every tensor its reference code uses -> ours; packed q/k/v go to three, in that order."""
    names: dict[str, tuple[str, ...]] = {
        "sa.model.pos_embedding": ("adapter.vision.embeddings.position_embedding.weight",),
        "sa.model.cls": ("adapter.vision.embeddings.class_embedding",),
    }
    modules = {
        "sa.model.embedding": ("adapter.vision.embeddings.patch_embedding",),
        "sa.model.transformer.encoder_norm": ("adapter.vision.post_layernorm",),
        "conv2d": ("adapter.matcher.anchors",),
    }
    for i in range(len(config.tokenizer_channels)):
        name = f"adapter.tokenizer.convolutions.{i}.weight"
        names[f"sa.model.scale.seq.{2 * i}.weight"] = (name,)
    for i in range(config.vision_config.num_hidden_layers):
        their, our = f"sa.model.transformer.layers.{i}.0", f"adapter.vision.encoder.layers.{i}"
        modules |= {
            f"{their}.layer_norm_input": (f"{our}.layer_norm1",),
            f"{their}.layer_norm_out": (f"{our}.layer_norm2",),
            f"{their}.attention.to_qkv": tuple(f"{our}.self_attn.{part}_proj" for part in "qkv"),
            f"{their}.attention.to_out.0": (f"{our}.self_attn.out_proj",),
            f"{their}.mlp.net.0": (f"{our}.mlp.fc1",),
            f"{their}.mlp.net.3": (f"{our}.mlp.fc2",),
        }
    for i in (0, 3, 6):
        modules[f"rn.rn.{i}"] = (f"adapter.matcher.relation.layers.{i}",)
    for their, domain in (("ca.encoder.layer1.0", "sketch"), ("ca.encoder.layer2.0", "photo")):
        our = f"adapter.matcher.sides.{domain}"
        for i, part in enumerate(("query", "key", "value", "out")):
            modules[f"{their}.self_attn.linears.{i}"] = (f"{our}.{part}",)
        for i in (1, 2):
            modules[f"{their}.feed_forward.w_{i}"] = (f"{our}.fc{i}",)
        for i, part in enumerate(("attention_norm", "output_norm")):
            for kind, full in (("a", "weight"), ("b", "bias")):
                names[f"{their}.sublayer.{i}.norm.{kind}"] = (f"{our}.{part}.{full}",)
    for kind in ("weight", "bias"):
        for their, ours in modules.items():
            names[f"{their}.{kind}"] = tuple(f"{our}.{kind}" for our in ours)
    return names


def _zse_sbir(state: Mapping[str, Tensor]) -> tuple[SketchPromptPreTrainedModel, set[str]]:
    """ZSE-SBIR: vision transformer `sa`, cross attention `ca`, relation network `conv2d` and `rn`."""
    config = _zse_sbir_config(state)
    names = zse_sbir_names(config)
    model = model_class("zse-sbir")(config)
    tensors = model.adapter_tensors()
    with torch.no_grad():
        for theirs, ours in names.items():
            _shape(state, theirs)
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


def dp_clip_names(config) -> dict[str, tuple[str, ...]]:
    """DP-CLIP's name of every tensor that its reference code adds to CLIP -> ours; packed q/k/v go to three."""
    names: dict[str, tuple[str, ...]] = {}
    branches = {
        "attn.lora_A": "attention_in",
        "attn.lora_B": "attention_out",
        "mlp_lora.lora_A": "mlp_in",
        "mlp_lora.lora_B": "mlp_out",
    }
    layers = {
        f"clip.visual.transformer.resblocks.{i}": f"adapter.branches.{i}" for i in range(_n_layers(config))
    }
    if config.local_parts:
        layers["local_trans_layer"] = "adapter.matcher.branches"
        names |= _block_names("local_trans_layer", "adapter.matcher")
        names["local_proj"] = ("adapter.matcher.projections",)
        for i, kind in itertools.product(range(config.local_parts), ("weight", "bias")):
            names[f"local_layer_norm.{i}.{kind}"] = (f"adapter.matcher.norms.{i}.{kind}",)
    if config.rank:
        for (theirs, ours), (their, our) in itertools.product(layers.items(), branches.items()):
            names[f"{theirs}.{their}"] = (f"{ours}.{our}",)
    if config.text_scaling:
        for i, j, kind in itertools.product(range(_n_layers(config)), (0, 2), ("weight", "bias")):
            names[f"clip.visual.attn_lora_SS.{i}.{j}.{kind}"] = (f"adapter.scalers.{i}.{j}.{kind}",)
    if config.visual_prompts == "support":
        names["CS_visual_prompt_fn.prompt_embeddings"] = ("adapter.prompts.embeddings",)
        for kind in ("weight", "bias"):
            names[f"CS_visual_prompt_fn.prompt_proj.{kind}"] = (f"adapter.prompts.projection.{kind}",)
        names |= _block_names("CS_visual_prompt_fn.prompt_predictor.0", "adapter.prompts.block")
    return names


def _n_layers(config) -> int:
    return config.clip_config.vision_config.num_hidden_layers


def _block_names(theirs: str, ours: str) -> dict[str, tuple[str, ...]]:
    """A transformer block under OpenAI's names -> under transformers'."""
    names = {their: (our,) for their, our in _layer_names(theirs, ours).items()}
    for kind in ("weight", "bias"):
        names[f"{theirs}.attn.in_proj_{kind}"] = tuple(f"{ours}.self_attn.{p}_proj.{kind}" for p in "qkv")
    return names


def _dp_clip(state: Mapping[str, Tensor]) -> tuple[SketchPromptPreTrainedModel, set[str]]:
    """DP-CLIP's Lightning checkpoint: a CLIP with branches under `clip.`, prompts, and the windows' block."""
    clip, used = openai_clip(state, "clip.")

    def holds(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in state)

    branches, scales = "clip.visual.transformer.resblocks.0.attn.lora_A", "clip.visual.attn_lora_SS."
    local, prompts = holds("local_"), holds("CS_visual_prompt_fn.")
    cls = model_class("dp-clip")
    config = cls.config_class(
        base_model=None,
        clip_config=clip.config,
        visual_prompts="support" if prompts else "none",
        n_prompts=_shape(state, "CS_visual_prompt_fn.prompt_embeddings")[1] if prompts else 3,
        rank=_shape(state, branches)[0] if branches in state else 0,
        text_scaling=holds(scales),
        scale_hidden=_shape(state, f"{scales}0.0.weight")[0] if holds(scales) else None,
        text_dim=_shape(state, f"{scales}0.0.weight")[1] if holds(scales) else None,
        local_parts=4 if local else 0,
        own_local_block=local,
        trainable="reference",
    )
    model = cls(config, backbone=clip)
    names = dp_clip_names(config)
    _fill(model, state, names)
    size = clip.config.vision_config.image_size
    model.processor = SketchPromptProcessor(
        SketchPromptImageProcessor(
            size=size, normalization="imagenet", photo_resize="pad", sketch_resize="pad"
        )
    )
    return model, used | set(names)


@torch.no_grad()
def _fill(
    model: SketchPromptPreTrainedModel, state: Mapping[str, Tensor], names: dict[str, tuple[str, ...]]
) -> None:
    """Copy tensors of a reference into the model's adapter, packed ones in equal parts.

    Raises:
        ValueError: naming the tensor that is missing or has the wrong shape.
    """
    tensors = model.adapter_tensors()
    for theirs, ours in names.items():
        expected = (len(ours) * len(tensors[ours[0]]), *tensors[ours[0]].shape[1:])
        if _shape(state, theirs) != expected:
            raise ValueError(
                f"size mismatch for {theirs}: {tuple(state[theirs].shape)} in the checkpoint, where its other "
                f"tensors ask for {expected}"
            )
        for name, value in zip(ours, state[theirs].chunk(len(ours))):
            tensors[name].copy_(value)


_CONVERTERS: dict[str, Callable[[Mapping[str, Tensor]], tuple[SketchPromptPreTrainedModel, set[str]]]] = {
    "clip-at": _clip_at,
    "zse-sbir": _zse_sbir,
    "dp-clip": _dp_clip,
}


def from_reference(method: str, state_dict: Mapping[str, Tensor]) -> SketchPromptPreTrainedModel:
    """The model that a reference implementation's checkpoint holds, in eval mode.

    Sizes are read off the tensors' shapes (heads = width // 64). The model is configured as the reference code
    computes, quirks included, and carries the processor of the reference's preprocessing.

    Args:
        method: `"clip-at"`, `"dp-clip"` or `"zse-sbir"`.
        state_dict: the reference's `state_dict()` (tensors or arrays), or a checkpoint that holds it
            (`{"state_dict": ...}` or `{"model": ...}`).

    Raises:
        ValueError: for an unknown method, or naming the tensors that are missing or misshapen. Tensors that the
            reference never uses are reported with a warning.
    """
    if method not in _CONVERTERS:
        raise ValueError(f"no converter for {method!r}; there is one for {', '.join(_CONVERTERS)}")
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"a checkpoint is a mapping of names to tensors, not a {type(state_dict).__name__}")
    for key in ("state_dict", "model"):
        if isinstance(state_dict.get(key), Mapping):
            state_dict = state_dict[key]
    state = _tensors(state_dict)
    try:
        model, used = _CONVERTERS[method](state)
    except (ArithmeticError, LookupError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"the checkpoint's tensors are not those of {method}: {reason}") from error
    if unused := sorted(set(state) - used):
        logger.warning(
            "%d tensors are not used by %s and were left out: %s", len(unused), method, ", ".join(unused)
        )
    return model.eval()


def _tensors(state_dict: Mapping) -> dict[str, Tensor]:
    """What in a mapping is a tensor or an array; DataParallel's "module." before every name is left out."""
    tensors = {
        name.removeprefix("module."): torch.as_tensor(value)
        for name, value in state_dict.items()
        if isinstance(name, str) and isinstance(value, Tensor | np.ndarray)
    }
    if not tensors:
        raise ValueError("the checkpoint holds no tensors by name")
    return tensors


def load_reference_checkpoint(path) -> dict[str, Any]:
    """Read a `.pth`, `.ckpt` or `.safetensors` file of a paper without running any code in it.

    What is neither a tensor nor a plain value, such as the hyper-parameters that Lightning keeps, is left out.

    Raises:
        ValueError: if it is damaged, or holds something else.
        OSError: if it cannot be read.
    """
    if str(path).endswith(".safetensors"):
        from ..models.checkpoints import read_tensors

        return read_tensors(path)
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty")
    try:
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # objects of classes that torch does not know
            checkpoint = load_inert(path)
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or no checkpoint: {error}") from error
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is damaged or no checkpoint: {reason}") from error
    if not isinstance(checkpoint, Mapping):
        kind = "an object" if isinstance(checkpoint, Inert) else f"a {type(checkpoint).__name__}"
        raise ValueError(f"{path} holds {kind}, where a checkpoint is a mapping of names to tensors")
    return dict(checkpoint)


def reference_parameters(model: SketchPromptPreTrainedModel) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """What a converted CLIP-AT or DP-CLIP trains, under the reference's own names; packed q/k/v as three tensors.

    For comparing trainable sets and gradients with the reference implementation.
    """
    names: dict[str, tuple[str, ...]] = {
        "clip.visual.class_embedding": ("adapter.class_embedding",),
        "clip.logit_scale": ("adapter.logit_scale",),
    }
    if model.method == "clip-at":
        names |= {"sk_prompt": ("adapter.sketch_prompts",), "img_prompt": ("adapter.photo_prompts",)}
    else:
        names |= dp_clip_names(model.config)
    for theirs, ours in openai_clip_names(model.clip.config).items():
        ours = ours if isinstance(ours, tuple) else (ours,)
        names.setdefault(f"clip.{theirs}", tuple(f"clip.{name}" for name in ours))
    trained = model.trainable_parameters()
    result = {}
    for theirs, ours in names.items():
        parts = tuple(trained[name] for name in ours if name in trained)
        if parts:
            result[theirs] = parts if len(ours) > 1 else parts[0]
    return result
