"""Reading and writing checkpoints: an adapter of a megabyte, or self-contained with its CLIP.

config.json                the method's configuration with the base model's id, revision and fingerprint
adapter_model.safetensors  only what training can change
model.safetensors          the frozen CLIP, in self-contained checkpoints only
sketch_prompt_model.py     leads AutoModel to this package, see `publishing.auto_map`

There is no adapter_config.json: transformers would take it for one of peft's and load the base model instead.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import HfApi
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPModel

from ..atomic import failed_writes_are_os_errors, sync_folder
from ..hints import nearest
from ..publishing.auto_map import MODEL_MODULE, auto_map, module_source
from ..publishing.cards import model_card
from . import backbone as clip_backbone

CONFIG = "config.json"
OLD_ADAPTER_CONFIG = "adapter_config.json"
"""Where 0.1 kept the fingerprint."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BACKBONE_WEIGHTS = "model.safetensors"


@dataclass
class AdapterFile:
    """An adapter as it lies on disk, with the checks that decide whether it fits a model."""

    directory: Path
    config_dict: dict
    tensors: dict[str, Tensor]

    def check_backbone(self, clip: CLIPModel | None) -> None:
        """Raise ValueError unless `clip` is the CLIP the adapter was trained on, or there is none."""
        fingerprint = self.config_dict.get("base_model_fingerprint")
        if None not in (clip, fingerprint) and not clip_backbone.matches_fingerprint(clip, fingerprint):
            raise ValueError(
                f"the adapter in {self.directory} was trained on the base model "
                f"{self.config_dict.get('base_model')!r}; "
                f"the CLIP it is to run on ({clip.config.name_or_path or 'given as backbone'}) has other weights. "
                "Load it with the base model it names."
            )

    def check_tensors(self, stored: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        """Raise ValueError, naming them, for missing, extra or misshapen tensors."""
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
        if problems:
            shown = "\n  ".join(sorted(problems)[:8])
            more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
            raise ValueError(
                f"{self.directory / ADAPTER_WEIGHTS} does not fit its configuration:\n  {shown}{more}"
            )


def read_json(path: Path) -> dict:
    """Parse a JSON object; ValueError names the file if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Load a safetensors file; ValueError names it if it is damaged."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}); fetch or save it again"
        ) from error


def read_config(directory: Path) -> dict:
    """The content of a checkpoint's `config.json`.

    Raises:
        FileNotFoundError: if the folder is no checkpoint.
        ValueError: if a file is damaged.
    """
    if not (directory / CONFIG).is_file():
        raise FileNotFoundError(f"{directory} holds no {CONFIG}: it is not a sketch-prompt checkpoint")
    config_dict = read_json(directory / CONFIG)
    if (directory / OLD_ADAPTER_CONFIG).is_file() and "base_model_fingerprint" not in config_dict:
        fingerprint = read_json(directory / OLD_ADAPTER_CONFIG).get("base_model_fingerprint")
        config_dict["base_model_fingerprint"] = fingerprint
    return config_dict


def read_adapter(directory: Path) -> AdapterFile:
    """Read the adapter in `directory`; one without weights (`frozen-clip`) has no tensors.

    Raises:
        FileNotFoundError: if the folder is no checkpoint.
        ValueError: if a file is damaged.
    """
    weights = directory / ADAPTER_WEIGHTS
    return AdapterFile(
        directory=directory,
        config_dict=read_config(directory),
        tensors=read_tensors(weights) if weights.is_file() else {},
    )


def read_backbone(
    directory: Path, config, dtype: torch.dtype, attn_implementation: str | None
) -> CLIPModel | None:
    """The CLIP inside a self-contained checkpoint, or None if the checkpoint has none.

    Raises:
        ValueError: if it is damaged or does not fit the configuration, or there is no base model to load instead.
    """
    path = directory / BACKBONE_WEIGHTS
    if not path.is_file():
        if config.base_model is None:
            raise ValueError(
                f"{directory} names no base model and holds no {BACKBONE_WEIGHTS}; give base_model=..."
            )
        return None
    clip_config = config.clip_config
    if attn_implementation is not None:
        clip_config._attn_implementation = attn_implementation
    weights = {name.removeprefix("clip."): value.to(dtype) for name, value in read_tensors(path).items()}
    try:
        return clip_backbone.build_backbone(clip_config, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_checkpoint(model, directory: Path, include_backbone: bool, processor, results: dict | None) -> None:
    """Write `model`'s active adapter into `directory`, every file at once or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    fingerprint = model.config.base_model_fingerprint
    # One that was read is kept: a model loaded in bfloat16 still names the weights it was trained on.
    if (
        model.clip is None
        or fingerprint is None
        or not clip_backbone.matches_fingerprint(model.clip, fingerprint)
    ):
        model.config.base_model_fingerprint = clip_backbone.fingerprint(model.clip)
    model.config.auto_map = auto_map(MODEL_MODULE, AutoConfig=type(model.config), AutoModel=type(model))
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.adapter_tensors().items()}
    with (
        failed_writes_are_os_errors(directory),
        tempfile.TemporaryDirectory(dir=directory, prefix=".saving-") as folder,
    ):
        new = Path(folder)
        model.config.to_json_file(new / CONFIG, use_diff=False)
        module = module_source(type(model.config), type(model))
        (new / f"{MODEL_MODULE}.py").write_text(module, encoding="utf-8")
        if tensors:
            save_file(tensors, new / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        if include_backbone and model.clip is not None:
            frozen = {f"clip.{name}": v.cpu().contiguous() for name, v in model.clip.state_dict().items()}
            save_file(frozen, new / BACKBONE_WEIGHTS, metadata={"format": "pt"})
        if processor is not None:
            processor.save_pretrained(new, tokenizer=include_backbone)
        (new / "README.md").write_text(model_card(model, results), encoding="utf-8")
        sync_folder(new)
        # The configuration comes last: a folder that has one is complete.
        for path in sorted(new.iterdir(), key=lambda path: path.name == CONFIG):
            path.chmod(0o644)  # safetensors keeps what it writes to its owner
            os.replace(path, directory / path.name)
        (directory / OLD_ADAPTER_CONFIG).unlink(missing_ok=True)
        if not include_backbone:
            (directory / BACKBONE_WEIGHTS).unlink(missing_ok=True)


def upload_checkpoint(
    directory: Path,
    repo_id: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload a sketch-prompt checkpoint",
    create_pr: bool = False,
) -> str:
    """Upload a checkpoint's folder to the Hub, making the repository if it is new; returns the commit's address."""
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id or directory.name, private=private, exist_ok=True).repo_id
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=directory,
        revision=revision,
        commit_message=commit_message,
        create_pr=create_pr,
        allow_patterns=["*.json", "*.safetensors", "*.txt", "*.py", "README.md"],
    )
    return commit.commit_url
