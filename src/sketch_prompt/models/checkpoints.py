"""Reading and writing checkpoints, with or without the CLIP.

config.json                the configuration, with the id, revision and fingerprint of the base model
adapter_model.safetensors  the tensors that training can change
model.safetensors          the frozen CLIP, only in checkpoints that include it
training.json              how it was trained and what it reached, see `hub.facts`
sketch_prompt_model.py     lets AutoModel find this package, see `hub.auto_map`

There is no adapter_config.json: transformers would take it for a checkpoint of peft and load only the base model.
"""

import copy
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPModel

from ..atomic import failed_writes_are_os_errors, sync_folder
from ..hints import nearest
from . import backbone as clip_backbone
from .integrity import check_files, check_tensors, checksum_metadata
from .limits import described_by, stored_config

if TYPE_CHECKING:
    from ..processing import SketchPromptProcessor
    from .configuration_base import SketchPromptPreTrainedConfig
    from .modeling_base import SketchPromptPreTrainedModel

CONFIG = "config.json"
OLD_ADAPTER_CONFIG = "adapter_config.json"
"""File with the fingerprint in version 0.1."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BACKBONE_WEIGHTS = "model.safetensors"
CONFIG_FILES = (CONFIG, OLD_ADAPTER_CONFIG)
REPLACED = (
    "adapter_model*.safetensors",
    "model*.safetensors",
    "*.safetensors.index.json",
    OLD_ADAPTER_CONFIG,
    "training.json",
)
"""Files of an earlier checkpoint in the same place that must not be mixed with a new one."""


@dataclass
class AdapterFile:
    """An adapter that was read from disk, with checks that it fits a model."""

    directory: Path
    config_dict: dict
    tensors: dict[str, Tensor]

    def check_backbone(self, clip: CLIPModel | None) -> None:
        """Raise a ValueError if `clip` is not the CLIP that the adapter was trained on. None is accepted."""
        fingerprint = self.config_dict.get("base_model_fingerprint")
        if None not in (clip, fingerprint) and not clip_backbone.matches_fingerprint(clip, fingerprint):
            raise ValueError(
                f"the adapter in {self.directory} was trained on the base model "
                f"{self.config_dict.get('base_model')!r}; "
                f"the CLIP it is to run on ({clip.config.name_or_path or 'given as backbone'}) has other weights. "
                "Load it with the base model it names."
            )

    def check_tensors(self, stored: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        """Raise a ValueError with the names of missing tensors, unexpected ones and those of wrong shape or type."""
        problems = [
            f"missing tensor {name} {tuple(expected[name].shape)}" for name in expected.keys() - stored.keys()
        ]
        for name in stored.keys() - expected.keys():
            near = nearest(name, expected)
            problems.append(f"unexpected tensor {name}" + (f" (the model has {near})" if near else ""))
        for name in stored.keys() & expected.keys():
            if stored[name].shape != expected[name].shape:
                shapes = f"{tuple(stored[name].shape)}, the model needs {tuple(expected[name].shape)}"
                problems.append(f"tensor {name} has shape {shapes}")
            elif stored[name].is_floating_point() != expected[name].is_floating_point():
                types = f"{stored[name].dtype}, the model needs {expected[name].dtype}"
                problems.append(f"tensor {name} has type {types}")
        if problems:
            shown = "\n  ".join(sorted(problems)[:8])
            more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
            raise ValueError(
                f"{self.directory / ADAPTER_WEIGHTS} does not fit its configuration:\n  {shown}{more}"
            )


def read_json(path: Path) -> dict:
    """Parse a JSON object. Raises a ValueError with the name of the file if it is not valid."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Load a safetensors file. Raises a ValueError if it is damaged, and warns about changed files beside it."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
    except (SafetensorError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path} is damaged or not a safetensors file ({error}); fetch or save it again"
        ) from error
    check_tensors(path, tensors, metadata)
    check_files(path, metadata)
    return tensors


def read_config(directory: Path) -> dict:
    """The content of the `config.json` of a checkpoint.

    Raises:
        FileNotFoundError: The folder is not a checkpoint.
        ValueError: A file is damaged.
    """
    if not (directory / CONFIG).is_file():
        raise FileNotFoundError(f"{directory} has no {CONFIG}: it is not a sketch-prompt checkpoint")
    config_dict = stored_config(directory / CONFIG, read_json(directory / CONFIG))
    if not isinstance(config_dict.get("model_type", ""), str):
        raise ValueError(f"{directory / CONFIG} names no method: its model_type is not a text")
    if (directory / OLD_ADAPTER_CONFIG).is_file() and "base_model_fingerprint" not in config_dict:
        fingerprint = read_json(directory / OLD_ADAPTER_CONFIG).get("base_model_fingerprint")
        config_dict["base_model_fingerprint"] = fingerprint
    return config_dict


def read_adapter(directory: Path, variant: str | None = None) -> AdapterFile:
    """Read the adapter in `directory`. An adapter without weights (`frozen-clip`) has no tensors.

    Raises:
        FileNotFoundError: The folder is not a checkpoint, or has no weights of that variant.
        ValueError: A file is damaged.
    """
    config_dict = read_config(directory)
    weights = directory / with_variant(ADAPTER_WEIGHTS, variant)
    if variant is not None and not weights.is_file():
        raise FileNotFoundError(f"{directory} has no {weights.name}; leave out variant={variant!r}")
    return AdapterFile(
        directory=directory,
        config_dict=config_dict,
        tensors=read_tensors(weights) if weights.is_file() else {},
    )


def read_backbone(
    directory: Path,
    config: "SketchPromptPreTrainedConfig",
    dtype: torch.dtype,
    attn_implementation: str | None,
    variant: str | None = None,
) -> CLIPModel | None:
    """The CLIP in a checkpoint, or None if it has none.

    Raises:
        ValueError: It is damaged or does not fit the configuration, or there is no base model to load instead.
    """
    path = directory / with_variant(BACKBONE_WEIGHTS, variant)
    index = path.with_name(f"{path.name}.index.json")
    if path.is_file():
        parts = [path]
    elif index.is_file():
        parts = _parts(index)
    elif config.base_model is None:
        raise ValueError(f"{directory} names no base model and has no {path.name}; give base_model=...")
    else:
        return None
    clip_config = config.clip_config
    if attn_implementation is not None:
        clip_config._attn_implementation = attn_implementation
    weights = {
        name.removeprefix("clip."): value.to(dtype)
        for part in parts
        for name, value in read_tensors(part).items()
    }
    try:
        with described_by(directory / CONFIG):
            return clip_backbone.build_backbone(clip_config, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parts(index: Path) -> list[Path]:
    """The files in an index of shards. All of them are in the same folder."""
    names = read_json(index).get("weight_map")
    names = set(names.values()) if isinstance(names, dict) else {None}
    if not all(isinstance(name, str) and name == os.path.basename(name) for name in names):
        raise ValueError(f"{index} is not an index of files with weights")
    return [index.with_name(name) for name in sorted(names)]


@dataclass
class CheckpointOptions:
    """Options for writing a checkpoint.

    Attributes:
        include_backbone: Write the frozen CLIP too.
        base_model: Name of the base model for the configuration.
        processor: Processor to write, or None.
        state_dict: Tensors to write instead of those of `model.state_dict()`, or None.
        max_shard_size: Maximum size of a file with weights of the CLIP.
        variant: Part of the names of the files with weights.
        source: Argument of `from_pretrained` in the code of the card.
        revision: Revision in the code of the card.
        tags: Further tags of the card.
    """

    include_backbone: bool
    base_model: str | None
    processor: "SketchPromptProcessor | None"
    state_dict: Mapping[str, Tensor] | None = None
    max_shard_size: int | str = "50GB"
    variant: str | None = None
    source: str = ""
    revision: str | None = None
    tags: Sequence[str] = ()


def write_checkpoint(
    model: "SketchPromptPreTrainedModel", directory: Path, options: CheckpointOptions
) -> list[str]:
    """Write the active adapter of `model` into `directory`, each file completely or not at all. Returns the names."""
    from ..hub.auto_map import MODEL_MODULE, module_source  # only saving needs them
    from ..hub.model_card import model_card

    directory.mkdir(parents=True, exist_ok=True)
    config = _published_config(model, options)
    with (
        failed_writes_are_os_errors(directory),
        tempfile.TemporaryDirectory(dir=directory, prefix=".saving-") as folder,
    ):
        new = Path(folder)
        config.to_json_file(new / CONFIG, use_diff=False)
        module = module_source(type(config), type(model))
        (new / f"{MODEL_MODULE}.py").write_text(module, encoding="utf-8")
        if options.include_backbone:
            _write_backbone(model.clip, new, options)
        if options.processor is not None:
            options.processor.save_pretrained(new, tokenizer=options.include_backbone)
        if model.facts:
            model.facts.write(new)
        card = model_card(
            model,
            config,
            options.source,
            revision=options.revision,
            self_contained=options.include_backbone,
            tags=options.tags,
        )
        if tensors := _adapter_tensors(model, options.state_dict):
            # It has checksums of the other files, including the configuration.
            metadata = {"format": "pt", **checksum_metadata(tensors, new.glob("*.json"))}
            save_file(tensors, new / with_variant(ADAPTER_WEIGHTS, options.variant), metadata=metadata)
        (new / "README.md").write_text(str(card), encoding="utf-8")
        sync_folder(new)
        return _move_files(new, directory)


def _write_backbone(clip: CLIPModel, directory: Path, options: CheckpointOptions) -> None:
    weights = {f"clip.{name}": value.cpu().contiguous() for name, value in clip.state_dict().items()}
    stem, suffix = with_variant(BACKBONE_WEIGHTS, options.variant).rsplit(".", 1)
    save_torch_state_dict(
        weights,
        directory,
        filename_pattern=f"{stem}{{suffix}}.{suffix}",
        max_shard_size=options.max_shard_size,
        metadata={"format": "pt", **checksum_metadata(weights)},
    )


def _move_files(new: Path, directory: Path) -> list[str]:
    """Move the files of a new checkpoint to `directory`, and delete those of an earlier one. Returns the names."""
    names = sorted(path.name for path in new.iterdir())
    # The configuration is moved last, so a folder that has one is complete.
    for name in sorted(names, key=lambda name: name == CONFIG):
        (new / name).chmod(0o644)  # safetensors writes files that only their owner can read
        os.replace(new / name, directory / name)
    for pattern in REPLACED:
        for path in directory.glob(pattern):
            if path.name not in names:
                path.unlink()
    return names


def with_variant(name: str, variant: str | None) -> str:
    """The name of a file with a variant: `model.fp16.safetensors` for `model.safetensors` and "fp16"."""
    stem, suffix = name.rsplit(".", 1)
    return name if variant is None else f"{stem}.{variant}.{suffix}"


def _published_config(
    model: "SketchPromptPreTrainedModel", options: CheckpointOptions
) -> "SketchPromptPreTrainedConfig":
    """The configuration of the model with the further keys of a checkpoint."""
    from ..hub.auto_map import MODEL_MODULE, auto_map

    config = copy.copy(model.config)
    config.architectures = [type(model).__name__]
    if config.base_model != options.base_model:
        config.base_model, config.base_model_revision = options.base_model, None
    fingerprint = config.base_model_fingerprint
    # A fingerprint that was read is kept, as the model may have been loaded in bfloat16.
    if model.clip is not None and (
        fingerprint is None or not clip_backbone.matches_fingerprint(model.clip, fingerprint)
    ):
        config.base_model_fingerprint = clip_backbone.fingerprint(model.clip)
    config.auto_map = auto_map(MODEL_MODULE, AutoConfig=type(config), AutoModel=type(model))
    return config


def _adapter_tensors(
    model: "SketchPromptPreTrainedModel", state_dict: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The tensors of the active adapter by their names in a checkpoint, taken from `state_dict` if they are in it."""
    tensors = model.adapter_tensors()
    if state_dict is not None:
        given = {name.removeprefix("module."): value for name, value in state_dict.items()}
        names = {id(value): name for name, value in model.state_dict(keep_vars=True).items()}
        tensors = {name: given.get(names.get(id(value)), value) for name, value in tensors.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
