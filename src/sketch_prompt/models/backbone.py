"""The frozen CLIP under an adapter: loading it, recognising it, and tuning copies of a few of its modules.

An adapter that brings a tower of its own has no CLIP; where a function takes None, that is what it stands for.
"""

import os
import warnings
from collections.abc import Iterator

import torch
from peft import LNTuningConfig, inject_adapter_in_model
from peft.tuners.ln_tuning.layer import LNTuningLayer
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from ..sources import BROKEN_CONNECTION, explain, find_checkpoint, local_checkpoint

_ALIGNMENT = 64  # bytes, what torch allocates by
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
    """Load a CLIP by Hub id, directory or bundled name and freeze it.

    Raises:
        FileNotFoundError: if it cannot be had.
        OSError: if a directory holds no weights.
        ValueError: if what is there is not a CLIP, or is damaged.
    """
    revision = hub_kwargs.pop("revision", None)
    directory = find_checkpoint(base_model, files=["config.json"], revision=revision, **hub_kwargs)
    config = CLIPConfig.get_config_dict(directory)[0]
    if config.get("model_type") != "clip":
        raise ValueError(
            f"{base_model} is a {config.get('model_type', 'nameless')!r} model; the base model must be a CLIP"
        )
    # transformers knows every form the weights may have: safetensors, pickled tensors (which it reads with
    # `weights_only=True`), in one file or in shards.
    if local_checkpoint(base_model) is not None:
        place, hub_kwargs = directory, {"local_files_only": True}
    else:
        # The commit that the configuration is of, so that both are of one moment.
        commit = directory.parent if hub_kwargs.get("subfolder") else directory
        place, hub_kwargs = str(base_model), {**hub_kwargs, "revision": commit.name}
    try:
        clip = CLIPModel.from_pretrained(
            place, dtype=dtype, attn_implementation=attn_implementation, **hub_kwargs
        )
    except SafetensorError as error:
        raise ValueError(f"the weights of {base_model} are damaged ({error}); fetch them again") from error
    except (OSError, BROKEN_CONNECTION) as error:
        if place == directory:
            raise
        raise FileNotFoundError(explain(error, base_model, revision)) from error
    return freeze(clip)


def freeze(clip: CLIPModel) -> CLIPModel:
    """Put a CLIP into eval mode, without gradients, its weights in aligned memory of their own.

    Weights that still lie in a mapped safetensors file start at odd addresses, for which matrix products
    round differently: the same checkpoint would give other last bits after saving and loading.
    """
    for parameter in clip.parameters():
        if parameter.device.type == "cpu" and parameter.data_ptr() % _ALIGNMENT:
            parameter.data = parameter.data.clone()
    return clip.eval().requires_grad_(False)


def base_parameter(clip: CLIPModel, name: str) -> Tensor:
    """A frozen weight by its `CLIPModel` name, whether or not tuned copies hang on its module."""
    path, _, leaf = name.rpartition(".")
    module = clip.get_submodule(path)
    return getattr(module.base_layer if isinstance(module, LNTuningLayer) else module, leaf)


def base_state_dict(clip: CLIPModel | None) -> dict[str, Tensor]:
    """The frozen CLIP's own weights under their `CLIPModel` names, without any tuned copies."""
    if clip is None:
        return {}
    return {
        name.replace(".base_layer.", "."): value
        for name, value in clip.state_dict().items()
        if ".ln_tuning_layers." not in name
    }


def build_backbone(config: CLIPConfig, weights: dict[str, Tensor]) -> CLIPModel:
    """A frozen CLIP of exactly these weights, without initialising others first.

    Raises:
        ValueError: naming the tensors that are missing, unexpected or misshapen.
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
    """A dozen weights, evenly spread, by which an adapter recognises the CLIP it was trained on."""
    if clip is None:
        return None
    values = []
    for name in _PROBED:
        flat = base_parameter(clip, name).detach().flatten()
        at = torch.linspace(0, flat.numel() - 1, _PROBES_PER_TENSOR + 2, dtype=torch.float64)[1:-1].long()
        values += flat[at.to(flat.device)].double().tolist()
    return values


def matches_fingerprint(clip: CLIPModel, expected: list[float]) -> bool:
    """Whether `clip` is the model of `expected`, allowing for the rounding of the type it is loaded in."""
    weight = base_parameter(clip, _PROBED[0])
    tolerance = max(2 * torch.finfo(weight.dtype).eps, 1e-6)
    return torch.allclose(
        torch.tensor(fingerprint(clip)), torch.tensor(expected), rtol=tolerance, atol=tolerance * 1e-2
    )


def add_tuned_copies(clip: CLIPModel, key: str, pattern: str) -> None:
    """Give every module of `clip` whose name matches `pattern` a trainable copy called `key`.

    This is peft's LayerNorm tuning: the base module stays as it is, and the copy stands in while it is active.
    """
    with warnings.catch_warnings():
        # peft warns that a LayerNorm has no in- and out-features, which its own LayerNorm tuning never asks for,
        # and that several adapters will share the model, which is the point.
        warnings.filterwarnings("ignore", message="Unsupported layer type|Already found a `peft_config`")
        inject_adapter_in_model(LNTuningConfig(target_modules=pattern), clip, adapter_name=key)
    clip._active_copies = ""
    activate(clip, key)


def activate(clip: CLIPModel | None, key: str | None) -> None:
    """Let the copies called `key` stand in for their base modules, and no others; None for the plain CLIP."""
    if clip is None or getattr(clip, "_active_copies", None) == key:
        return
    for module in _tuned_modules(clip):
        module.set_adapter([key] if key in module.ln_tuning_layers else [])
    clip._active_copies = key


def tuned_parameters(clip: CLIPModel | None, key: str) -> dict[str, nn.Parameter]:
    """Parameters of the copies called `key`, under the `CLIPModel` names of what they stand in for."""
    if clip is None:
        return {}
    marker = f".ln_tuning_layers.{key}."
    return {name.replace(marker, "."): value for name, value in clip.named_parameters() if marker in name}


def remove_tuned_copies(clip: CLIPModel | None, key: str) -> None:
    """Delete the copies called `key`."""
    if clip is None:
        return
    for module in _tuned_modules(clip):
        if key in module.ln_tuning_layers:
            del module.ln_tuning_layers[key]
    clip._active_copies = ""  # no key: whoever runs next switches


def _tuned_modules(clip: CLIPModel) -> Iterator[LNTuningLayer]:
    return (module for module in clip.modules() if isinstance(module, LNTuningLayer))
