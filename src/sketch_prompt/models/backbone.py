"""The frozen CLIP: load it, recognise it, and make views of it with tuned modules.

Methods with their own vision tower have no CLIP. Functions that accept None support them.
"""

import copy
import os
import re

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from ..checksums import are_same_weights
from ..sources import BROKEN_CONNECTION, explain, find_checkpoint, local_checkpoint
from .limits import described_by, stored_config

_ALIGNMENT = 64  # bytes; torch allocates memory in multiples of it
_PROBES_PER_TENSOR = 4
_PROBED = (
    "visual_projection.weight",
    "text_projection.weight",
    "vision_model.embeddings.patch_embedding.weight",
)


def load_backbone(
    base_model: str | os.PathLike,
    *,
    dtype: torch.dtype = torch.float32,
    attn_implementation: str | None = None,
    **hub_kwargs,
) -> CLIPModel:
    """Load a CLIP by Hub id, folder or bundled name, and freeze it.

    Raises:
        FileNotFoundError: It was not found.
        OSError: A folder has no weights.
        ValueError: It is not a CLIP, or it is damaged.
    """
    revision = hub_kwargs.pop("revision", None)
    directory = find_checkpoint(base_model, files=["config.json"], revision=revision, **hub_kwargs)
    config = stored_config(directory / "config.json", CLIPConfig.get_config_dict(directory)[0])
    if config.get("model_type") != "clip":
        raise ValueError(
            f"{base_model} is a {config.get('model_type', 'nameless')!r} model; the base model must be a CLIP"
        )
    # transformers knows every form the weights may have: safetensors, pickled tensors (which it reads with
    # `weights_only=True`), in one file or in shards.
    if local_checkpoint(base_model) is not None:
        place, hub_kwargs = directory, {"local_files_only": True}
    else:
        # The commit of the configuration, so that the weights are from the same commit.
        commit = directory.parent if hub_kwargs.get("subfolder") else directory
        place, hub_kwargs = str(base_model), {**hub_kwargs, "revision": commit.name}
    try:
        with described_by(directory / "config.json"):
            clip_config = CLIPConfig.from_dict(config)
        clip = CLIPModel.from_pretrained(
            place,
            config=clip_config,
            dtype=dtype,
            attn_implementation=attn_implementation,
            **hub_kwargs,
        )
    except SafetensorError as error:
        raise ValueError(f"the weights of {base_model} are damaged ({error}); fetch them again") from error
    except (OSError, BROKEN_CONNECTION) as error:
        if place == directory:
            raise
        raise FileNotFoundError(explain(error, base_model, revision)) from error
    return freeze(clip)


def freeze(clip: CLIPModel) -> CLIPModel:
    """Put a CLIP into eval mode, without gradients, and move its weights into aligned memory.

    Weights in a memory-mapped safetensors file may start at unaligned addresses, where matrix products round
    differently. So the features of a checkpoint would differ in their last bits after saving and loading.
    """
    for parameter in clip.parameters():
        if parameter.device.type == "cpu" and parameter.data_ptr() % _ALIGNMENT:
            parameter.data = parameter.data.clone()
    return clip.eval().requires_grad_(False)


def build_backbone(config: CLIPConfig, weights: dict[str, Tensor]) -> CLIPModel:
    """A frozen CLIP with these weights, without random initialisation.

    Raises:
        ValueError: Tensors are missing, unexpected or have a wrong shape; the message names them.
    """
    with torch.device("meta"):
        clip = CLIPModel(config)
    try:
        clip.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError(f"these weights are not those of the CLIP described: {error}") from error
    for embeddings in (clip.vision_model.embeddings, clip.text_model.embeddings):
        embeddings.position_ids = torch.arange(embeddings.position_embedding.num_embeddings).expand(1, -1)
    return freeze(clip)


def fingerprint(clip: CLIPModel | None) -> list[float] | None:
    """A dozen weights at regular distances, by which an adapter recognises the CLIP it was trained on."""
    if clip is None:
        return None
    values = []
    for name in _PROBED:
        weight = clip.get_parameter(name)
        last = weight.numel() - 1
        at = torch.linspace(0, last, _PROBES_PER_TENSOR + 2, dtype=torch.float64)[1:-1].long()
        values += sample_weights(weight, at)
    return values


def sample_weights(weight: Tensor, at: Tensor) -> list[float]:
    """The values of a tensor at some positions in the flattened tensor."""
    flat = weight.detach().flatten()
    return flat[at.to(flat.device)].double().tolist()


def matches_fingerprint(clip: CLIPModel, expected: list[float]) -> bool:
    """Whether `clip` has the fingerprint `expected`, up to the rounding of its data type."""
    return are_same_weights(
        fingerprint(clip), expected, torch.finfo(clip.get_parameter(_PROBED[0]).dtype).eps
    )


def tuned_copies(clip: CLIPModel, pattern: str) -> nn.Module:
    """Trainable copies of all modules of `clip` whose full name matches the regular expression `pattern`.

    Returns:
        A tree of modules with the names of `CLIPModel` that has only the copies, so its `state_dict()` has these names
        too.

    Raises:
        ValueError: No module matches.
    """
    tree = nn.Module()
    for name, module in clip.named_modules():
        if not re.fullmatch(pattern, name):
            continue
        parent = tree
        *path, leaf = name.split(".")
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, nn.Module())
            parent = parent._modules[part]
        # Configurations stay shared: changing the attention implementation of the CLIP changes the copy's too.
        shared = {id(part.config): part.config for part in module.modules() if hasattr(part, "config")}
        parent.add_module(leaf, copy.deepcopy(module, shared).requires_grad_(True))
    if not tree._modules:
        raise ValueError(f"no module of the CLIP is called {pattern!r}")
    return tree


def tuned_view(module: nn.Module, copies: nn.Module) -> nn.Module:
    """`module` with some modules replaced by `copies`. Everything else is shared.

    Only the modules on the path to a copy are new objects, and they share their parameters and buffers with the
    original. So a view takes almost no memory, changes device and data type together with the original, and is
    independent of other views of the same CLIP.

    Args:
        module: A CLIP, or a part of it.
        copies: The tree from `tuned_copies`, or the same part of it.
    """
    view = copy.copy(module)
    children = dict(module._modules)
    for name, child in copies._modules.items():
        # Containers of the tree are plain modules; a copy has the type of the module it replaces.
        children[name] = tuned_view(children[name], child) if type(child) is nn.Module else child
    view.__dict__["_modules"] = children
    return view
