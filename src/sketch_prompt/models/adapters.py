"""The machinery of adapters: several of them by name on one frozen CLIP, their tensors and their checkpoints.

What a method defines is in `modeling_base`; nothing here is meant to be overridden.
"""

import itertools
import re
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import CLIPModel, PreTrainedModel

from ..sources import HUB_ARGUMENTS, find_checkpoint
from . import backbone as clip_backbone
from .checkpoints import AdapterFile, read_adapter, read_backbone, upload_checkpoint, write_checkpoint
from .configuration_base import SketchPromptPreTrainedConfig

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9_-]+")
# Passed on by the Auto classes; they have no meaning for a package that runs no code from the Hub.
_AUTO_ARGUMENTS = ("trust_remote_code", "adapter_kwargs", "code_revision", "torch_dtype", "_from_auto")
_TUNED = "tuned."


class MethodAdapter(nn.Module):
    """Everything that one adapter owns: the method's parameters, and tuned copies of CLIP modules.

    Methods subclass it for their prompts and mappings. `class_embeddings` (C, D) are the L2-normalised text
    features of the training classes, computed once by `set_classes` and stored with the adapter.
    """

    data_buffers: ClassVar[tuple[str, ...]] = ("class_embeddings",)
    """Buffers whose shape the training classes decide: None before `set_classes`, taken as they are on loading."""

    class_embeddings: Tensor | None
    clip: CLIPModel | None
    """The CLIP as this adapter tunes it: its own copies in place of the tuned modules, all else shared."""

    def __init__(self):
        super().__init__()
        self.register_buffer("class_embeddings", None)

    def bind(self, clip: CLIPModel | None, pattern: str | None) -> None:
        """Copy the modules of `clip` that match `pattern`, and look at it through them; None tunes nothing."""
        view = clip
        if pattern is not None:
            self.tuned = clip_backbone.tuned_copies(clip, pattern)
            view = clip_backbone.tuned_view(clip, self.tuned)
        # Not a child: its frozen modules are those of `clip`, which the model has already.
        self.__dict__["clip"] = view


class AdaptedClip(PreTrainedModel):
    """A frozen CLIP and named adapters on it: the half of a model that no method changes.

    `clip` is the frozen CLIP itself, and stays what it was loaded as. `adapter` is the active adapter; `adapter.clip`
    is the CLIP with that adapter's tuned modules in place. Models that share one CLIP cannot get in each other's way,
    since none of them changes it.

    Args:
        config: the method's configuration.
        backbone: the frozen CLIP; without it a randomly initialised one is built from `config.clip_config`.
        adapter_name: name of the first adapter.
    """

    config_class = SketchPromptPreTrainedConfig
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules: ClassVar[list[str]] = [
        "CLIPEncoderLayer",
        "CLIPVisionEmbeddings",
        "CLIPTextEmbeddings",
    ]

    def __init__(
        self,
        config: SketchPromptPreTrainedConfig,
        backbone: CLIPModel | None = None,
        adapter_name: str = "default",
    ):
        if not config.uses_clip:
            backbone = None
        elif backbone is None:
            backbone = CLIPModel(config.clip_config)
        config.clip_config = None if backbone is None else backbone.config
        super().__init__(config)
        self.clip = None if backbone is None else backbone.eval().requires_grad_(False)
        self.adapters = nn.ModuleDict()
        self.adapter_configs: dict[str, SketchPromptPreTrainedConfig] = {}
        self._processor: Any = None
        self.add_adapter(config, adapter_name)
        self.post_init()

    def init_weights(self) -> None:
        """Do nothing: the backbone comes with its weights, and adapters initialise themselves."""

    def train(self, mode: bool = True):
        """Switch the adapters to training; the frozen backbone stays in eval mode."""
        super().train(mode)
        if self.clip is not None:
            self.clip.eval()
        return self

    def _set_gradient_checkpointing(self, *args, **kwargs) -> None:
        super()._set_gradient_checkpointing(*args, **kwargs)
        for adapter in self.adapters.values():
            if adapter.clip is not self.clip:  # its containers have switches of their own
                adapter.clip._set_gradient_checkpointing(*args, **kwargs)

    # Adapters by name

    @property
    def active_adapter(self) -> str:
        """Name of the adapter in use."""
        return self._active_adapter

    def active_adapters(self) -> list[str]:
        """As in transformers: the one active adapter in a list."""
        return [self._active_adapter]

    @property
    def adapter(self) -> MethodAdapter:
        """The active adapter."""
        return self.adapters[self._active_adapter]

    def add_adapter(
        self, adapter_config: SketchPromptPreTrainedConfig, adapter_name: str | None = None
    ) -> None:
        """Add a freshly initialised adapter and make it the active one.

        Args:
            adapter_config: the method's configuration.
            adapter_name: "default" if not given.

        Raises:
            TypeError: if the configuration is of something else, one of peft's for example.
            ValueError: if the name is taken or not made of letters, digits, `_` and `-`.
        """
        adapter_name = adapter_name or "default"
        if not isinstance(adapter_config, self.config_class):
            raise TypeError(
                f"a {self.config_class.model_type} adapter needs a {self.config_class.__name__}, not a "
                f"{type(adapter_config).__name__}"
            )
        if not _ADAPTER_NAME.fullmatch(adapter_name):
            raise ValueError(f"adapter name {adapter_name!r} may hold only letters, digits, '_' and '-'")
        if adapter_name in self.adapters:
            raise ValueError(
                f"there is an adapter {adapter_name!r} already; choose another name or delete it first"
            )
        adapter = self.build_adapter(adapter_config).train(self.training)
        adapter.bind(self.clip, self.tuned_modules(adapter_config))
        like = next(self.parameters(), None)
        if like is not None:
            adapter.to(like)
        self.adapters[adapter_name] = adapter
        self.adapter_configs[adapter_name] = adapter_config
        self.set_adapter(adapter_name)

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """Use the adapter `adapter_name` from now on; `config` becomes its configuration.

        Args:
            adapter_name: its name, or as in transformers a list, of one name: adapters are not combined.

        Raises:
            ValueError: if there is no such adapter, or several are named.
        """
        if isinstance(adapter_name, list):
            if len(adapter_name) != 1:
                raise ValueError(f"one adapter at a time can be active, not {adapter_name}")
            adapter_name = adapter_name[0]
        self._require_adapter(adapter_name)
        self._active_adapter = adapter_name
        self.config = self.adapter_configs[adapter_name]
        for name, adapter in self.adapters.items():
            adapter.requires_grad_(name == adapter_name)

    def delete_adapter(self, adapter_names: str | list[str]) -> None:
        """Remove an adapter, or several, that are not in use.

        Raises:
            ValueError: if one is in use or not loaded; then none is removed.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        for name in names:
            self._require_adapter(name)
            if name == self._active_adapter:
                raise ValueError(f"adapter {name!r} is in use; activate another one first")
        for name in names:
            del self.adapters[name], self.adapter_configs[name]

    def load_adapter(self, source, adapter_name: str | None = None, **hub_kwargs) -> None:
        """Load another adapter of the same method onto this model's CLIP and make it the active one.

        Args:
            source: Hub id, directory or bundled name of an adapter checkpoint.
            adapter_name: what to call it here; "default" if not given.
            hub_kwargs: `revision`, `cache_dir`, `token`, `local_files_only`.

        Raises:
            ValueError: if it is of another method, was trained on another CLIP, or its tensors do not fit.
        """
        adapter_name = adapter_name or "default"
        directory = find_checkpoint(source, **hub_kwargs)
        adapter = read_adapter(directory)
        if adapter.config_dict.get("model_type") != self.config.model_type:
            raise ValueError(
                f"{source} is a {adapter.config_dict.get('model_type')!r} adapter, this model is "
                f"{self.config.model_type!r}. "
                "To share the CLIP across methods: SketchPromptModel.from_pretrained(source, backbone=model.clip)"
            )
        config = self.config_class.from_dict(dict(adapter.config_dict))
        config.clip_config = self.config.clip_config
        adapter.check_backbone(self.clip)
        previous = self._active_adapter
        self.add_adapter(config, adapter_name)
        try:
            self._fill_adapter(adapter)
        except ValueError:
            self.set_adapter(previous)
            self.delete_adapter(adapter_name)
            raise

    def disable_adapters(self) -> None:
        """Not offered: a model that embeds without its adapter is another model.

        Raises:
            NotImplementedError: always, saying what to use instead.
        """
        raise NotImplementedError(
            "adapters cannot be switched off. The plain CLIP is model.clip; as a model of its own: "
            "FrozenClipModel(FrozenClipConfig(), backbone=model.clip)"
        )

    def enable_adapters(self) -> None:
        """Not offered, like `disable_adapters`."""
        raise NotImplementedError("adapters are always on; set_adapter(name) says which one is used")

    def enable_peft_hotswap(self, *args, **kwargs) -> None:
        """Not offered: `load_adapter` loads beside the others, `set_adapter` switches without copying."""
        raise NotImplementedError(
            "load_adapter loads beside the others, and set_adapter switches between them"
        )

    def _require_adapter(self, name: str) -> None:
        if name not in self.adapters:
            raise ValueError(f"no adapter {name!r}; loaded: {', '.join(self.adapters)}")

    # Their tensors

    def adapter_tensors(self, adapter_name: str | None = None) -> dict[str, Tensor]:
        """Every tensor of an adapter, by default the active one's, as the checkpoint names them.

        Returns:
            `clip.<CLIPModel name>` for tuned copies, `adapter.<name>` for everything else.

        Raises:
            ValueError: if there is no such adapter.
        """
        adapter_name = adapter_name or self._active_adapter
        self._require_adapter(adapter_name)
        adapter = self.adapters[adapter_name]
        tuned, own = {}, {}
        for name, value in itertools.chain(adapter.named_parameters(), adapter.named_buffers()):
            if not name.startswith(_TUNED):
                own[f"adapter.{name}"] = value
            elif isinstance(value, nn.Parameter):
                tuned[f"clip.{name.removeprefix(_TUNED)}"] = value
        return tuned | own

    def get_adapter_state_dict(self, adapter_name: str | None = None) -> dict[str, Tensor]:
        """As in transformers: the tensors of an adapter, by default the active one's. See `adapter_tensors`."""
        return {name: value.detach() for name, value in self.adapter_tensors(adapter_name).items()}

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """What training changes: the active adapter's tuned copies and own parameters, by checkpoint name."""
        return {
            name: value for name, value in self.adapter_tensors().items() if isinstance(value, nn.Parameter)
        }

    def parameter_groups(self) -> list[dict]:
        """Trainable parameters by kind: `"prompts"` (the method's own), `"layer_norms"`, `"backbone"` (the rest).

        Returns:
            A list of {"name": str, "params": list}, empty groups left out, ready for an optimiser.
        """
        groups: dict[str, list[nn.Parameter]] = {"prompts": [], "layer_norms": [], "backbone": []}
        for name, parameter in self.trainable_parameters().items():
            if name.startswith("adapter."):
                groups["backbone" if name.startswith(self.backbone_weights) else "prompts"].append(parameter)
            else:
                groups["layer_norms" if "norm" in name.rsplit(".", 2)[-2] else "backbone"].append(parameter)
        return [{"name": name, "params": params} for name, params in groups.items() if params]

    @torch.no_grad()
    def _fill_adapter(self, file: AdapterFile) -> None:
        stored = dict(file.tensors)
        weight = next(self.parameters())
        for name in self.adapter.data_buffers:
            buffer = stored.pop(f"adapter.{name}", None)
            if buffer is not None:
                buffer = buffer.to(weight) if buffer.is_floating_point() else buffer.to(weight.device)
            setattr(self.adapter, name, buffer)
        data = {f"adapter.{name}" for name in self.adapter.data_buffers}
        expected = {name: v for name, v in self.adapter_tensors().items() if name not in data}
        file.check_tensors(stored, expected)
        for name, value in expected.items():
            value.copy_(stored[name])
        self.check_loaded(file.directory)

    # Saving and loading

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

    def save_pretrained(
        self,
        save_directory,
        include_backbone: bool | None = None,
        processor=None,
        results: dict | None = None,
        push_to_hub: bool = False,
        **kwargs,
    ) -> None:
        """Write the active adapter: `config.json`, `adapter_model.safetensors`, the processor and a model card.

        With `include_backbone` also the frozen CLIP (`model.safetensors`).

        Args:
            save_directory: where to write; made if absent.
            include_backbone: None writes the CLIP only if `config.base_model` does not say where to get it.
            processor: a `SketchPromptProcessor`; default the one that came with the checkpoint.
            results: {benchmark: {metric: value}} for the model card.
            push_to_hub: also upload the folder, to `repo_id` (default: its name) with the further arguments of
                `upload_checkpoint`.
            kwargs: with `push_to_hub` only; transformers' `max_shard_size` is accepted and means nothing here.

        Raises:
            TypeError: for an argument that means nothing here.
        """
        if include_backbone is None:
            include_backbone = self.config.base_model is None and self.clip is not None
        kwargs.pop("max_shard_size", None)
        if kwargs and not push_to_hub:
            raise TypeError(f"save_pretrained has no argument {', '.join(map(repr, kwargs))}")
        processor = processor if processor is not None else self.processor
        write_checkpoint(self, Path(save_directory), include_backbone, processor, results)
        if push_to_hub:
            upload_checkpoint(Path(save_directory), **kwargs)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *,
        config: SketchPromptPreTrainedConfig | None = None,
        backbone: CLIPModel | None = None,
        base_model: str | None = None,
        adapter_name: str = "default",
        dtype: torch.dtype | str | None = None,
        attn_implementation: str | None = None,
        device_map: str | torch.device | None = None,
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
            device_map: a device, or `"auto"` for the GPU if there is one.
            kwargs: `revision`, `cache_dir`, `token`, `local_files_only`, and fields of the config to override.

        Returns:
            The model in eval mode.

        Raises:
            FileNotFoundError: if checkpoint or base model cannot be found.
            ValueError: for an unknown key, a missing, extra or misshapen tensor, or another base model.
        """
        for name in _AUTO_ARGUMENTS:
            value = kwargs.pop(name, None)
            dtype = value if name == "torch_dtype" and dtype is None else dtype
        hub_kwargs = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        directory = find_checkpoint(pretrained_model_name_or_path, **hub_kwargs)
        adapter = read_adapter(directory)
        stored = adapter.config_dict.get("model_type")
        if stored != cls.config_class.model_type:
            raise ValueError(
                f"{pretrained_model_name_or_path} is a {stored!r} checkpoint, not one of {cls.__name__}"
            )
        if config is None:
            config = cls.config_class.from_dict(adapter.config_dict | kwargs)
        elif kwargs:
            config = cls.config_class.from_dict(config.to_dict() | kwargs)
        dtype = (
            torch.float32
            if dtype in (None, "auto")
            else getattr(torch, dtype)
            if isinstance(dtype, str)
            else dtype
        )
        if backbone is None and base_model is None and config.uses_clip:
            backbone = read_backbone(directory, config, dtype, attn_implementation)
        if backbone is None and config.uses_clip:
            config.base_model = base_model or config.base_model
            backbone = clip_backbone.load_backbone(
                config.base_model,
                dtype=dtype,
                attn_implementation=attn_implementation,
                **{**hub_kwargs, "revision": config.base_model_revision, "subfolder": ""},
            )
        adapter.check_backbone(backbone)
        model = cls(config, backbone=backbone, adapter_name=adapter_name)
        if not config.uses_clip:
            model.to(dtype)
        model._fill_adapter(adapter)
        if (directory / "preprocessor_config.json").is_file():
            # Read when it is asked for, from where the model is from.
            model._processor = directory, {**hub_kwargs, "revision": None, "subfolder": ""}
        if device_map is not None:
            model.to(("cuda" if torch.cuda.is_available() else "cpu") if device_map == "auto" else device_map)
        return model.eval()

    @classmethod
    def from_base_model(
        cls,
        base_model: str,
        *,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        revision: str | None = None,
        **config_fields,
    ):
        """A fresh model on a pretrained CLIP, ready to train.

        Args:
            base_model: Hub id, directory or bundled name of a CLIP.
            dtype, attn_implementation: as in `from_pretrained`.
            revision: commit on the Hub.
            config_fields: the method's configuration.
        """
        config = cls.config_class(base_model=str(base_model), base_model_revision=revision, **config_fields)
        backbone = clip_backbone.load_backbone(
            base_model, dtype=dtype, attn_implementation=attn_implementation, revision=revision
        )
        return cls(config, backbone=backbone)
