"""Loading, saving and publishing a model: transformers' interface over the checkpoints of `checkpoints`."""

import copy
import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import CommitInfo
from torch import Tensor
from transformers import CLIPModel, PreTrainedModel

from ..hints import nearest
from ..hub.facts import TrainingFacts
from ..sources import HUB_ARGUMENTS, bundled_names, find_checkpoint, hub_id, weights_files
from . import backbone as clip_backbone
from .checkpoints import CONFIG, REPLACED, CheckpointOptions, read_adapter, read_backbone, write_checkpoint
from .configuration_base import SketchPromptPreTrainedConfig
from .limits import described_by

logger = logging.getLogger(__name__)

# Keywords that transformers and its Auto classes, Trainer and pipelines pass along. They mean nothing where no code
# comes from the Hub, weights are safetensors only, and memory is not an issue.
_LOADING_IGNORED = (
    "trust_remote_code",
    "adapter_kwargs",
    "code_revision",
    "_from_auto",
    "_from_pipeline",
    "low_cpu_mem_usage",
    "weights_only",
    "proxies",
    "resume_download",
    "max_memory",
    "offload_folder",
    "offload_buffers",
    "offload_state_dict",
)
_LOADING = (*HUB_ARGUMENTS, "attn_implementation", "backbone", "base_model", "device_map", "dtype", "variant")
_SAVING_IGNORED = ("save_function", "safe_serialization", "save_peft_format", "save_original_format")
_AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")


class SavedModel(PreTrainedModel):
    """A model that is loaded from, saved as and published as an adapter, or whole with its CLIP."""

    config: SketchPromptPreTrainedConfig

    @property
    def processor(self):
        """The processor that came with the checkpoint or was set, or None."""
        if isinstance(self._processor, tuple):
            from ..processing import SketchPromptProcessor

            directory, hub_kwargs = self._processor
            self._processor = SketchPromptProcessor.from_pretrained(directory, **hub_kwargs)
        return self._processor

    @processor.setter
    def processor(self, processor) -> None:
        self._processor = processor

    @property
    def facts(self) -> TrainingFacts:
        """How the active adapter came to be, and what it reached: what its card says. Saved with it."""
        return self.adapter.facts

    # Saving

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        include_backbone: bool | None = None,
        processor=None,
        results: Mapping[str, Mapping[str, float]] | None = None,
        push_to_hub: bool = False,
        *,
        base_model: str | None = None,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "50GB",
        variant: str | None = None,
        repo_id: str | None = None,
        tags: Iterable[str] | str | None = None,
        **kwargs,
    ) -> CommitInfo | None:
        """Write the active adapter: `config.json`, `adapter_model.safetensors`, the processor and a model card.

        With `include_backbone` also the frozen CLIP (`model.safetensors`).

        Args:
            save_directory: where to write; made if absent.
            include_backbone: None writes the CLIP only if `config.base_model` does not say where to get it; when
                pushing, a folder of this machine does not say it to others.
            processor: a `SketchPromptProcessor`; default the one that came with the checkpoint.
            results: {benchmark: {metric: value}} for the model card, beside those that are known already.
            push_to_hub: also upload the files that are written, as `push_to_hub` does.
            base_model: where the CLIP can be had, instead of where it was loaded from.
            is_main_process: False writes nothing, for all processes but one.
            state_dict: tensors by the names of `state_dict()`, in place of the model's own.
            max_shard_size: of a file with weights of the CLIP; a larger CLIP is written in several.
            variant: stands in the names of the files with weights, as in `model.fp16.safetensors`.
            repo_id: with `push_to_hub`, where to; default the folder's name.
            tags: for the model card.
            kwargs: with `push_to_hub` its further arguments; and what transformers passes along (`save_function`,
                `safe_serialization`) and means nothing here.

        Returns:
            With `push_to_hub` the commit, else None.

        Raises:
            TypeError: for an argument that means nothing here.
            ValueError: if others could not load what is pushed: its base model is a folder of this machine.
        """
        from ..hub.upload import PushOptions, push  # the Hub's client, for pushing alone

        pushing = {name: kwargs.pop(name) for name in PushOptions.__annotations__ if name in kwargs}
        kwargs = {name: value for name, value in kwargs.items() if name not in _SAVING_IGNORED}
        if kwargs:
            raise TypeError(f"save_pretrained has no argument {', '.join(map(repr, kwargs))}")
        if not is_main_process:
            return None
        directory = Path(save_directory)
        if results:
            self.facts.add_results(results)
        if base_model is None:
            base_model = self.config.base_model
        if push_to_hub:
            base_model, include_backbone = self._publishable(base_model, include_backbone)
        if include_backbone is None:
            include_backbone = base_model is None
        branch = pushing.get("revision") if push_to_hub and not pushing.get("create_pr") else None

        def write(folder: Path, source: str) -> list[str]:
            options = CheckpointOptions(
                include_backbone=include_backbone and self.clip is not None,
                base_model=base_model,
                processor=processor if processor is not None else self.processor,
                state_dict=state_dict,
                max_shard_size=max_shard_size,
                variant=variant,
                source=source,
                revision=branch,
                tags=[tags] if isinstance(tags, str) else list(tags or ()),
            )
            return write_checkpoint(self, folder, options)

        name = directory.resolve().name
        if not push_to_hub:
            write(directory, name)
            return None
        pushing = {"commit_message": "Upload a sketch-prompt checkpoint", **pushing}
        return push(write, repo_id or name, directory=directory, replaces=REPLACED, **pushing)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        include_backbone: bool | None = None,
        base_model: str | None = None,
        tags: Iterable[str] | str | None = None,
        **kwargs,
    ) -> CommitInfo:
        """Publish the active adapter with its processor and its card; nothing else that lies around is uploaded.

        Args:
            repo_id: where to, `owner/name`, or `name` for your own; made if it is new.
            include_backbone: publish the frozen CLIP with it. Not by default, unless others could not get it: it
                was loaded from a folder of this machine.
            base_model: the Hub id of the CLIP, where it was loaded from a folder.
            tags: for the model card, beside its own.
            kwargs: `private`, `token`, `revision`, `create_pr`, `commit_message` and `commit_description`, see
                `hub.upload.PushOptions`; and further arguments of `save_pretrained`.

        Returns:
            The commit: a string, its address.

        Raises:
            PermissionError: there is no token, or it may not write there.
            ConnectionError: the Hub cannot be reached, or the connection broke.
            ValueError: the id is none, the Hub refuses the card, or others could not load what would be pushed.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self.save_pretrained(
                folder,
                include_backbone=include_backbone,
                base_model=base_model,
                push_to_hub=True,
                repo_id=repo_id,
                tags=tags,
                **kwargs,
            )

    def _publishable(
        self, base_model: str | None, include_backbone: bool | None
    ) -> tuple[str | None, bool | None]:
        """The base model that others may read the name of, and whether the CLIP must come along."""
        if self.clip is None or base_model is None:
            return None, include_backbone
        if hub_id(base_model) or base_model in bundled_names():
            return base_model, include_backbone
        if include_backbone is False:
            raise ValueError(
                f"the base model {base_model} is a folder of this machine: nobody else could load the adapter. Name "
                'where it can be had with base_model="owner/name", or publish it along with include_backbone=True'
            )
        if include_backbone is None:
            logger.warning("the base model is a folder of this machine, so it is published with the adapter")
        return None, True

    # Loading

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False):
        """As in torch; but tensors of the CLIP alone, which leave out all that was trained, are an error."""
        if self.adapter_tensors() and state_dict and all(name.startswith("clip.") for name in state_dict):
            raise ValueError(
                "these are the tensors of the frozen CLIP alone: load_adapter(folder) loads what was trained"
            )
        return super().load_state_dict(state_dict, strict, assign)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        config: SketchPromptPreTrainedConfig | None = None,
        backbone: CLIPModel | None = None,
        base_model: str | None = None,
        adapter_name: str = "default",
        dtype: torch.dtype | str | None = None,
        attn_implementation: str | None = None,
        device_map: str | int | torch.device | dict | None = None,
        quantization_config: Any = None,
        use_safetensors: bool | None = None,
        variant: str | None = None,
        output_loading_info: bool = False,
        **kwargs,
    ):
        """Load an adapter with its CLIP.

        Args:
            pretrained_model_name_or_path: Hub id, directory or bundled name, adapter-only or self-contained.
            config: use this configuration instead of the stored one.
            backbone: a CLIP in memory to share, instead of loading one.
            base_model: where to get the CLIP instead of `config.base_model` (a local copy, say).
            adapter_name: what to call the adapter.
            dtype: of the whole model; float32 by default, whatever the files hold.
            attn_implementation: `"sdpa"` (default) or `"eager"`.
            device_map: a device, `"auto"` for the GPU if there is one, or a mapping of modules to one device.
            quantization_config: not supported; the error says what to do instead.
            use_safetensors: there is nothing else; False is an error.
            variant: of the files with weights, as they were saved.
            output_loading_info: also return transformers' report of what was loaded.
            kwargs: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`, `subfolder`, and fields of
                the config to override.

        Returns:
            The model in eval mode.

        Raises:
            FileNotFoundError: if checkpoint or base model cannot be had; the message says why and what to do.
            ValueError: for an unknown key, a missing, extra or misshapen tensor, or another base model.
        """
        dtype = kwargs.pop("torch_dtype", None) if dtype is None else dtype
        kwargs = {name: value for name, value in kwargs.items() if name not in _LOADING_IGNORED}
        if use_safetensors is False:
            raise ValueError("checkpoints are safetensors only: leave use_safetensors=False out")
        if kwargs.pop("ignore_mismatched_sizes", False):
            raise ValueError("a tensor that does not fit is an error: leave ignore_mismatched_sizes=True out")
        if quantization_config is not None:
            raise ValueError(
                "quantization_config is not supported: adapters read and copy weights of the CLIP, so these are plain "
                "numbers. dtype=torch.bfloat16 halves them; `sketch-prompt export --int8` writes encoders of 8 bits"
            )
        hub_kwargs = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        fields = {field.name for field in dataclasses.fields(cls.config_class)}
        for key in kwargs.keys() - fields:
            if (near := nearest(key, [*fields, *_LOADING])) in _LOADING:
                raise ValueError(f"from_pretrained has no argument {key!r}; did you mean {near!r}?")
        directory = find_checkpoint(pretrained_model_name_or_path, files=weights_files(variant), **hub_kwargs)
        adapter = read_adapter(directory, variant)
        stored = adapter.config_dict.get("model_type")
        if stored != cls.config_class.model_type:
            raise ValueError(
                f"{pretrained_model_name_or_path} is a {stored!r} checkpoint, not one of {cls.__name__}"
            )
        if config is None:
            with described_by(directory / CONFIG):
                config = cls.config_class.from_dict(adapter.config_dict | kwargs)
        elif kwargs:
            config = cls.config_class.from_dict(config.to_dict() | kwargs)
        dtype = _dtype(dtype)
        if backbone is None and base_model is None and config.uses_clip:
            backbone = read_backbone(directory, config, dtype, attn_implementation, variant)
        if backbone is None and config.uses_clip:
            config.base_model = base_model or config.base_model
            backbone = clip_backbone.load_backbone(
                config.base_model,
                dtype=dtype,
                attn_implementation=attn_implementation,
                **{**hub_kwargs, "revision": config.base_model_revision, "subfolder": ""},
            )
        adapter.check_backbone(backbone)
        cls._check_fits(config, backbone, adapter)
        model = cls(config, backbone=backbone, adapter_name=adapter_name)
        if not config.uses_clip:
            model.to(dtype)
        model._fill_adapter(adapter)
        if (directory / "preprocessor_config.json").is_file():
            # Read when it is asked for, from where the model is from.
            model._processor = directory, {**hub_kwargs, "revision": None, "subfolder": ""}
        if device_map is not None:
            model.to(_device(device_map))
        model.eval()
        if output_loading_info:  # whatever does not fit is an error
            return model, {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
        return model

    @classmethod
    def from_base_model(
        cls,
        base_model: str,
        *,
        config: SketchPromptPreTrainedConfig | None = None,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        revision: str | None = None,
        **kwargs,
    ):
        """A new model on a pretrained CLIP, ready to train.

        Args:
            base_model: Hub id, directory or bundled name of a CLIP.
            config: The method's configuration; by default one with the fields in `kwargs`. The model has a copy of it.
            dtype, attn_implementation: as in `from_pretrained`.
            revision: branch, tag or commit on the Hub; the configuration keeps the commit.
            kwargs: `token`, `cache_dir`, `local_files_only`, `force_download`, and fields of the method's
                configuration.
        """
        hub_kwargs = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        if hub_id(base_model):
            revision = find_checkpoint(
                base_model, files=["config.json"], revision=revision, **hub_kwargs
            ).name
        config = cls._new_config(base_model, revision, config, kwargs)
        backbone = clip_backbone.load_backbone(
            base_model, dtype=dtype, attn_implementation=attn_implementation, revision=revision, **hub_kwargs
        )
        return cls(config, backbone=backbone)

    @classmethod
    def _new_config(
        cls, base_model: str, revision: str | None, config: SketchPromptPreTrainedConfig | None, fields: dict
    ) -> SketchPromptPreTrainedConfig:
        """A copy of `config`, or one of `fields`, for a model on this base model."""
        if config is None:
            return cls.config_class(base_model=str(base_model), base_model_revision=revision, **fields)
        if fields:
            raise TypeError(f"give either config or its fields, not both: {', '.join(fields)}")
        config = copy.deepcopy(config)
        config.base_model, config.base_model_revision = str(base_model), revision
        return config


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    if dtype in (None, "auto"):
        return torch.float32
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


def _device(device_map: str | int | torch.device | dict) -> str | int | torch.device:
    """The one device of a device map: an adapter's prompts go through the whole CLIP, which is small."""
    if isinstance(device_map, dict):
        devices = set(map(str, device_map.values()))
        if len(devices) != 1 or "disk" in devices:
            raise ValueError(
                f"device_map must put everything on one device, not on {', '.join(sorted(devices))}"
            )
        device_map = next(iter(device_map.values()))
    if device_map in _AUTOMATIC:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device_map
