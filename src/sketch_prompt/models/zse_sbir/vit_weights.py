"""Read published vision transformers, with the names of a CLIP vision tower for their weights.

- `ViTModel` of transformers, such as `google/vit-base-patch16-224-in21k`.
- Models of timm, such as `timm/vit_base_patch16_224.sam_in1k`, or a file with their weights.
- The NumPy archives of the original code, such as `ViT-B_16.npz`. Those in its folder `sam/` were trained with
  sharpness-aware minimisation.
- The file that the reference code of ZSE-SBIR starts from, `sam_ViT-B_16.pth`.
"""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, ViTModel

from ...sources import find_checkpoint
from ..checkpoints import read_tensors
from ..reference import HEAD_WIDTH, count_layers, shape_of

_FILES = ("model.safetensors", "pytorch_model.bin", "*.npz", "*.pth")
_LAYER = "encoder.layers.{}"
_QKV = tuple(f"self_attn.{part}_proj" for part in "qkv")


class Layout(NamedTuple):
    """The names of the parameters of a published ViT.

    Attributes:
        layer: prefix of a layer, with `{}` for its number.
        parts: {its module: our modules} in a layer. Packed queries, keys and values become three modules.
        modules: {its module: our module} outside of the layers.
        class_token, positions: names of these two parameters.
        layer_norm_eps: epsilon of its LayerNorms, which is not in the file.
    """

    layer: str
    parts: dict[str, tuple[str, ...]]
    modules: dict[str, str]
    class_token: str
    positions: str
    layer_norm_eps: float

    def names(self, n_layers: int) -> dict[str, tuple[str, ...]]:
        """{its name of a parameter: our names} for all parameters."""
        modules = {theirs: (ours,) for theirs, ours in self.modules.items()}
        for i in range(n_layers):
            for theirs, ours in self.parts.items():
                modules[f"{self.layer.format(i)}.{theirs}"] = tuple(
                    f"{_LAYER.format(i)}.{our}" for our in ours
                )
        return {
            self.class_token: ("embeddings.class_embedding",),
            self.positions: ("embeddings.position_embedding.weight",),
        } | {
            f"{theirs}.{kind}": tuple(f"{our}.{kind}" for our in ours)
            for theirs, ours in modules.items()
            for kind in ("weight", "bias")
        }


TIMM = Layout(
    layer="blocks.{}",
    parts={
        "norm1": ("layer_norm1",),
        "norm2": ("layer_norm2",),
        "attn.qkv": _QKV,
        "attn.proj": ("self_attn.out_proj",),
        "mlp.fc1": ("mlp.fc1",),
        "mlp.fc2": ("mlp.fc2",),
    },
    modules={"patch_embed.proj": "embeddings.patch_embedding", "norm": "post_layernorm"},
    class_token="cls_token",
    positions="pos_embed",
    layer_norm_eps=1e-6,
)
REFERENCE = Layout(
    layer="transformer.layers.{}.0",
    parts={
        "layer_norm_input": ("layer_norm1",),
        "layer_norm_out": ("layer_norm2",),
        "attention.to_qkv": _QKV,
        "attention.to_out.0": ("self_attn.out_proj",),
        "mlp.net.0": ("mlp.fc1",),
        "mlp.net.3": ("mlp.fc2",),
    },
    modules={"embedding": "embeddings.patch_embedding", "transformer.encoder_norm": "post_layernorm"},
    class_token="cls",
    positions="pos_embedding",
    layer_norm_eps=1e-5,
)
TRANSFORMERS = Layout(
    layer="layers.{}",
    parts={
        "layernorm_before": ("layer_norm1",),
        "layernorm_after": ("layer_norm2",),
        **{f"attention.{part}_proj": (f"self_attn.{part}_proj",) for part in "qkv"},
        "attention.o_proj": ("self_attn.out_proj",),
        "mlp.fc1": ("mlp.fc1",),
        "mlp.fc2": ("mlp.fc2",),
    },
    modules={
        "embeddings.patch_embeddings.projection": "embeddings.patch_embedding",
        "layernorm": "post_layernorm",
    },
    class_token="embeddings.cls_token",
    positions="embeddings.position_embeddings",
    layer_norm_eps=1e-12,
)
_CLASSIFIER = re.compile(r"(head|fc|mlp_head|pre_logits|classifier)(\.|$)")  # not needed


def read_vit(
    source: str | os.PathLike, revision: str | None = None
) -> tuple[CLIPVisionConfig, dict[str, Tensor]]:
    """Read a pretrained ViT: the configuration of its tower, and its weights with the names of the tower.

    Args:
        source: Hub id or folder of a model of transformers or timm, or a file of timm (`.safetensors`, `.bin`,
            `.pth`), of the original code (`.npz`) or of the reference code (`.pth`).
        revision: revision on the Hub.

    Raises:
        FileNotFoundError: it was not found.
        ValueError: it is not a plain ViT, or is damaged.
    """
    if Path(source).is_file():
        return _from_file(Path(source))
    directory = find_checkpoint(source, revision=revision)
    model_type = None
    if (directory / "config.json").is_file():
        model_type = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    if model_type == "vit":
        return _from_transformers(directory)
    if model_type is not None:
        raise ValueError(f"{source} is a {model_type!r} model; backbone='vit' starts from a ViT")
    for pattern in _FILES:
        found = sorted(directory.glob(pattern))
        if len(found) == 1:
            return _from_file(found[0])
    raise ValueError(
        f"{source} does not have a single file with the weights of a ViT ({', '.join(_FILES)}): name the file"
    )


def _from_transformers(directory: Path) -> tuple[CLIPVisionConfig, dict[str, Tensor]]:
    vit = ViTModel.from_pretrained(directory, add_pooling_layer=False, local_files_only=True)
    return _converted(
        vit.state_dict(),
        TRANSFORMERS,
        num_attention_heads=vit.config.num_attention_heads,
        hidden_act=vit.config.hidden_act,
        layer_norm_eps=vit.config.layer_norm_eps,
    )


def _from_file(path: Path) -> tuple[CLIPVisionConfig, dict[str, Tensor]]:
    if path.suffix == ".npz":
        state, heads = _read_archive(path)
        return _converted(state, TIMM, source=path, num_attention_heads=heads)
    state = read_tensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for layout in (TIMM, REFERENCE):
        if layout.class_token in state and layout.positions in state:
            return _converted(state, layout, source=path)
    raise ValueError(f"{path} has no ViT with the names of timm, of its original or of ZSE-SBIR's code")


def _read_pickle(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or has more than weights: {str(error).splitlines()[0]}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} has no named tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _read_archive(path: Path) -> tuple[dict[str, Tensor], int]:
    """The arrays of the original code with the names of timm, and the number of heads from their shapes."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(np.asarray(archive[name], np.float32)) for name in archive.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged or not an archive of arrays: {error}") from error
    # Some archives also have the state of the optimiser.
    arrays = {name.removeprefix("opt/target/").removeprefix("params/"): a for name, a in arrays.items()}
    blocks = {name.split("/")[1] for name in arrays if name.startswith("Transformer/encoderblock_")}
    state = {
        "cls_token": _array(arrays, "cls", 3, path),
        "pos_embed": _array(arrays, "Transformer/posembed_input/pos_embedding", 3, path),
        "patch_embed.proj.weight": _array(arrays, "embedding/kernel", 4, path).permute(3, 2, 0, 1),
        "patch_embed.proj.bias": _array(arrays, "embedding/bias", 1, path),
        "norm.weight": _array(arrays, "Transformer/encoder_norm/scale", 1, path),
        "norm.bias": _array(arrays, "Transformer/encoder_norm/bias", 1, path),
    }
    heads = 0
    for i in range(len(blocks)):
        theirs, timm = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        attention = f"{theirs}/MultiHeadDotProductAttention_1"
        heads = _array(arrays, f"{attention}/query/kernel", 3, path).shape[1]
        for kind, rank in (("kernel", 3), ("bias", 2)):
            packed = [
                _array(arrays, f"{attention}/{p}/{kind}", rank, path) for p in ("query", "key", "value")
            ]
            if kind == "kernel":  # (d, heads, d / heads), multiplied from the right
                packed = [part.flatten(1).T for part in packed]
            name = "weight" if kind == "kernel" else "bias"
            state[f"{timm}.attn.qkv.{name}"] = torch.cat([part.flatten(rank - 2) for part in packed])
        state[f"{timm}.attn.proj.weight"] = _array(arrays, f"{attention}/out/kernel", 3, path).flatten(0, 1).T
        state[f"{timm}.attn.proj.bias"] = _array(arrays, f"{attention}/out/bias", 1, path)
        for dense, ours in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
            layer = f"{theirs}/MlpBlock_3/{dense}"
            state[f"{timm}.mlp.{ours}.weight"] = _array(arrays, f"{layer}/kernel", 2, path).T
            state[f"{timm}.mlp.{ours}.bias"] = _array(arrays, f"{layer}/bias", 1, path)
        for norm, ours in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
            state[f"{timm}.{ours}.weight"] = _array(arrays, f"{theirs}/{norm}/scale", 1, path)
            state[f"{timm}.{ours}.bias"] = _array(arrays, f"{theirs}/{norm}/bias", 1, path)
    return state, heads


def _array(arrays: Mapping[str, Tensor], name: str, rank: int, path: Path) -> Tensor:
    if name not in arrays or arrays[name].dim() != rank:
        raise ValueError(f"{path} is not a ViT of the original code: it has no array {name!r} of {rank} axes")
    return arrays[name]


def _converted(
    state: Mapping[str, Tensor], layout: Layout, source: Path | None = None, **fields
) -> tuple[CLIPVisionConfig, dict[str, Tensor]]:
    """Weights with our names, and the configuration from their shapes. `fields` are further values of it."""
    n_layers = count_layers(state, layout.layer.partition(".{}")[0])
    names = layout.names(n_layers)
    unknown = sorted(name for name in state if name not in names and not _CLASSIFIER.match(name))
    if unknown:
        raise ValueError(
            f"{source} is not a plain ViT: it has {', '.join(unknown[:3])}, which are not part of one"
        )
    weights: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        shape_of(state, theirs)
        weights |= dict(zip(ours, state[theirs].detach().float().chunk(len(ours))))
    width, channels, patch, _ = shape_of(weights, "embeddings.patch_embedding.weight", 4)
    weights["embeddings.class_embedding"] = weights["embeddings.class_embedding"].reshape(-1)
    positions = weights["embeddings.position_embedding.weight"].reshape(-1, width)
    weights["embeddings.position_embedding.weight"] = positions
    grid = round((len(positions) - 1) ** 0.5)
    if grid * grid != len(positions) - 1:
        raise ValueError(
            f"{source} has {len(positions)} positions, where a square of patches and 1 is expected"
        )
    sizes = {
        "hidden_size": width,
        "intermediate_size": len(weights[f"{_LAYER.format(0)}.mlp.fc1.weight"]),
        "num_hidden_layers": n_layers,
        "num_attention_heads": width // HEAD_WIDTH,
        "num_channels": channels,
        "image_size": grid * patch,
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": layout.layer_norm_eps,
    }
    return CLIPVisionConfig(**{**sizes, **fields}), {
        name: value.contiguous() for name, value in weights.items()
    }
