"""Loading, saving and publishing a model, with the interface of transformers."""

import copy
import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ..processing import SketchPromptProcessor

logger = logging.getLogger(__name__)

# Arguments of transformers, its Auto classes, Trainer and pipelines that have no effect here: no code is loaded from
# the Hub, weights are always safetensors, and the models are small.
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
    """A model that is loaded, saved and published as an adapter, with or without its CLIP."""

    config: SketchPromptPreTrainedConfig

    @property
    def processor(self):
        """The processor of the checkpoint, or the one that was set, or None."""
        if isinstance(self._processor, tuple):
            from ..processing import SketchPromptProcessor

            directory, hub_kwargs = self._processor
            self._processor = SketchPromptProcessor.from_pretrained(directory, **hub_kwargs)
        return self._processor

    @processor.setter
    def processor(self, processor: "SketchPromptProcessor | None") -> None:
        self._processor = processor

    @property
    def facts(self) -> TrainingFacts:
        """How the active adapter was trained and its results, for the model card. Saved with the adapter."""
        return self.adapter.facts

    # Saving

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        include_backbone: bool | None = None,
        processor: "SketchPromptProcessor | None" = None,
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
        """Save the active adapter: `config.json`, `adapter_model.safetensors`, the processor and a model card.

        Args:
            save_directory: Folder to write to. Created if it does not exist.
            include_backbone: Also save the frozen CLIP (`model.safetensors`). By default it is saved only if others
                cannot load it from `config.base_model`.
            processor: A `SketchPromptProcessor`. The default is the model's own.
            results: {benchmark: {metric: value}} to add to the model card.
            push_to_hub: Also upload the files to the Hub, as `push_to_hub` does.
            base_model: Hub id or folder of the CLIP, if it is not where it was loaded from.
            is_main_process: With False, nothing is saved. For all processes but one.
            state_dict: Tensors to save instead of those of `state_dict()`.
            max_shard_size: Maximum size of a file with weights of the CLIP.
            variant: Part of the names of the files with weights, as in `model.fp16.safetensors`.
            repo_id: Repository for `push_to_hub`. The default is the name of the folder.
            tags: Tags for the model card.
            kwargs: Further arguments of `push_to_hub`. Arguments of transformers that have no effect here
                (`save_function`, `safe_serialization`) are ignored.

        Returns:
            The commit if `push_to_hub` is set, else None.

        Raises:
            TypeError: There is no such argument.
            ValueError: Others could not load the pushed model, because its base model is a folder on this machine.
        """
        from ..hub.upload import PushOptions, push  # imports huggingface_hub's client

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
        """Upload the active adapter, its processor and its model card to the Hub.

        Args:
            repo_id: Repository, `owner/name`, or `name` for your own. Created if it does not exist.
            include_backbone: Also upload the frozen CLIP. By default only if it was loaded from a folder on this
                machine.
            base_model: Hub id of the CLIP, if it was loaded from a folder.
            tags: Further tags for the model card.
            kwargs: `private`, `token`, `revision`, `create_pr`, `commit_message` and `commit_description`, see
                `hub.upload.PushOptions`; and further arguments of `save_pretrained`.

        Returns:
            The commit, a string with its URL.

        Raises:
            PermissionError: There is no token, or it does not allow writing.
            ConnectionError: The Hub cannot be reached, or the connection broke.
            ValueError: The id is not valid, the Hub refuses the card, or others could not load the model.
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
        """The base model to name in a published checkpoint, and whether to publish the CLIP too."""
        if self.clip is None or base_model is None:
            return None, include_backbone
        if hub_id(base_model) or base_model in bundled_names():
            return base_model, include_backbone
        if include_backbone is False:
            raise ValueError(
                f"the base model {base_model} is a folder on this machine, so nobody else could load the adapter. "
                'Give its name on the Hub with base_model="owner/name", or publish it too with include_backbone=True'
            )
        if include_backbone is None:
            logger.warning("the base model is a folder on this machine, so it is published with the adapter")
        return None, True

    # Loading

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False):
        """As in torch, but the tensors of the CLIP alone are an error, as they hold nothing that was trained."""
        if self.adapter_tensors() and state_dict and all(name.startswith("clip.") for name in state_dict):
            raise ValueError(
                "these are only the tensors of the frozen CLIP; load_adapter(folder) loads the trained ones"
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
            pretrained_model_name_or_path: Hub id, folder or bundled name of a checkpoint, with or without its CLIP.
            config: Configuration to use instead of the stored one.
            backbone: A loaded CLIP to share, instead of loading one.
            base_model: Hub id, folder or bundled name of the CLIP, instead of `config.base_model`.
            adapter_name: Name of the adapter in the model.
            dtype: Data type of the model. The default is float32, for any data type of the files.
            attn_implementation: `"sdpa"` (default) or `"eager"`.
            device_map: A device, `"auto"` for the GPU if there is one, or a mapping of all modules to one device.
            quantization_config: Not supported. The error says what to do instead.
            use_safetensors: Checkpoints are always safetensors, so False is an error.
            variant: Variant of the files with weights, as in `save_pretrained`.
            output_loading_info: Also return the loading info of transformers.
            kwargs: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`, `subfolder`, and fields of
                the configuration to override.

        Returns:
            The model in eval mode.

        Raises:
            FileNotFoundError: The checkpoint or its base model was not found. The message says why and what to do.
            ValueError: A key is unknown, a tensor is missing, unexpected or has another shape, or the checkpoint was
                trained with another base model.
        """
        dtype = _dtype(kwargs.pop("torch_dtype", None) if dtype is None else dtype)
        _refuse_unsupported(
            use_safetensors, quantization_config, kwargs.pop("ignore_mismatched_sizes", False)
        )
        kwargs = {name: value for name, value in kwargs.items() if name not in _LOADING_IGNORED}
        hub_kwargs = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        cls._check_names(kwargs)
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
        if backbone is None and base_model is None and config.uses_clip:
            backbone = read_backbone(directory, config, dtype, attn_implementation, variant)
        if backbone is None and config.uses_clip:
            config.base_model = base_model or config.base_model
            options = {**hub_kwargs, "revision": config.base_model_revision, "subfolder": ""}
            options |= {"dtype": dtype, "attn_implementation": attn_implementation}
            backbone = clip_backbone.load_backbone(config.base_model, **options)
        adapter.check_backbone(backbone)
        cls._check_fits(config, backbone, adapter)
        model = cls(config, backbone=backbone, adapter_name=adapter_name)
        if not config.uses_clip:
            model.to(dtype)
        model._fill_adapter(adapter)
        if (directory / "preprocessor_config.json").is_file():
            # The processor is read when it is first used.
            model._processor = directory, {**hub_kwargs, "revision": None, "subfolder": ""}
        if device_map is not None:
            model.to(_device(device_map))
        model.eval()
        if output_loading_info:  # a tensor that does not fit has raised an error above
            return model, {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
        return model

    @classmethod
    def _check_names(cls, kwargs: Iterable[str]) -> None:
        """Refuse a misspelt argument of `from_pretrained`. The configuration refuses misspelt fields."""
        fields = {field.name for field in dataclasses.fields(cls.config_class)}
        for key in set(kwargs) - fields:
            if (near := nearest(key, [*fields, *_LOADING])) in _LOADING:
                raise ValueError(f"from_pretrained has no argument {key!r}; did you mean {near!r}?")

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
        """Create a model on a pretrained CLIP, ready to train.

        Args:
            base_model: Hub id, folder or bundled name of a CLIP.
            config: Configuration of the method, of which the model keeps a copy. By default one is made of `kwargs`.
            dtype, attn_implementation: As in `from_pretrained`.
            revision: Branch, tag or commit on the Hub. The configuration keeps the commit.
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
        """A copy of `config`, or a new configuration of `fields`, with this base model."""
        if config is None:
            return cls.config_class(base_model=str(base_model), base_model_revision=revision, **fields)
        if fields:
            raise TypeError(f"give either config or its fields, not both: {', '.join(fields)}")
        config = copy.deepcopy(config)
        config.base_model, config.base_model_revision = str(base_model), revision
        return config


def _refuse_unsupported(
    use_safetensors: bool | None, quantization_config: Any, ignores_mismatch: bool
) -> None:
    if use_safetensors is False:
        raise ValueError("checkpoints are safetensors only: leave use_safetensors=False out")
    if ignores_mismatch:
        raise ValueError("a tensor that does not fit is an error: leave ignore_mismatched_sizes=True out")
    if quantization_config is not None:
        raise ValueError(
            "quantization_config is not supported, because adapters read and copy weights of the CLIP. "
            "dtype=torch.bfloat16 halves the memory; `sketch-prompt export --int8` writes 8-bit encoders"
        )


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    if dtype in (None, "auto"):
        return torch.float32
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


def _device(device_map: str | int | torch.device | dict) -> str | int | torch.device:
    """The single device of a device map. The model is small and is not split."""
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
