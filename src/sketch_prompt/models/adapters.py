"""Adapters by name on one frozen CLIP, and their tensors.

Methods define what is in `modeling_base`. Nothing here is meant to be overridden.
"""

import copy
import itertools
import re
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from ..hub.facts import TrainingFacts
from ..sources import find_checkpoint
from . import backbone as clip_backbone
from .checkpoints import CONFIG, AdapterFile, read_adapter
from .configuration_base import SketchPromptPreTrainedConfig
from .encoding import EncodingModel
from .limits import described_by
from .saving import SavedModel

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TUNED = "tuned."
_TUNED_FOR_PHOTOS = "adapter.tuned_photo."
_LENS = ("adapter.lens_mean", "adapter.lens_map")
_SAMPLES = 4  # of each tensor


class MethodAdapter(nn.Module):
    """The parameters of an adapter: those of the method, and tuned copies of CLIP modules.

    Methods subclass it for their prompts and mappings. `class_embeddings` (C, D) are the L2-normalised text features
    of the training classes, which `set_classes` computes. `lens_mean` (D,) and `lens_map` (D, D) are the lens, if
    there is one. All of them are saved with the adapter.
    """

    data_buffers: ClassVar[tuple[str, ...]] = ("class_embeddings", "lens_mean", "lens_map")
    """Buffers that are computed from data: None before `set_classes` or `set_lens`. Loading accepts any shape."""

    class_embeddings: Tensor | None
    lens_mean: Tensor | None
    lens_map: Tensor | None
    clip: CLIPModel | None
    """The CLIP with the tuned copies of this adapter. All other modules are shared."""
    photo_clip: CLIPModel | None
    """The CLIP for photos: `clip`, or a view with its own copies."""

    def __init__(self):
        super().__init__()
        for name in MethodAdapter.data_buffers:
            self.register_buffer(name, None)
        self.facts = TrainingFacts()

    def bind(self, clip: CLIPModel | None, pattern: str | None, separate: bool = False) -> None:
        """Copy the modules of `clip` that match `pattern`, and set `self.clip` to a view with the copies.

        With `separate`, photos get their own copies. If `pattern` is None, nothing is copied.
        """
        view = photo_view = clip
        if pattern is not None:
            self.tuned = clip_backbone.tuned_copies(clip, pattern)
            view = photo_view = clip_backbone.tuned_view(clip, self.tuned)
            if separate:
                self.tuned_photo = clip_backbone.tuned_copies(clip, pattern)
                photo_view = clip_backbone.tuned_view(clip, self.tuned_photo)
        # Not registered as children: their frozen modules belong to the model's `clip`.
        self.__dict__ |= {"clip": view, "photo_clip": photo_view}


class AdaptedClip(EncodingModel, SavedModel):
    """A frozen CLIP with named adapters: the part of a model that is the same for all methods.

    `clip` is the frozen CLIP and never changes. `adapter` is the active adapter, and `adapter.clip` is the CLIP with
    the tuned modules of that adapter. As no model changes the CLIP, models can share it.

    Args:
        config: Configuration of the method.
        backbone: The frozen CLIP. Without it, a randomly initialised CLIP is built from `config.clip_config`.
        adapter_name: Name of the first adapter.
    """

    config_class = SketchPromptPreTrainedConfig
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # transformers' Trainer would pass the number of items in a batch
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
        """Do nothing: the backbone has its weights, and adapters initialise themselves."""

    def train(self, mode: bool = True):
        """Put the adapters into training mode. The frozen backbone stays in eval mode."""
        super().train(mode)
        if self.clip is not None:
            self.clip.eval()
        return self

    def _set_gradient_checkpointing(self, *args, **kwargs) -> None:
        super()._set_gradient_checkpointing(*args, **kwargs)
        for adapter in self.adapters.values():
            for view in (adapter.clip, adapter.photo_clip):
                if view is not self.clip:  # its containers have their own training mode
                    view._set_gradient_checkpointing(*args, **kwargs)

    # Adapters by name

    @property
    def active_adapter(self) -> str:
        """Name of the active adapter."""
        return self._active_adapter

    def active_adapters(self) -> list[str]:
        """As in transformers: a list with the name of the active adapter."""
        return [self._active_adapter]

    @property
    def adapter(self) -> MethodAdapter:
        """The active adapter."""
        return self.adapters[self._active_adapter]

    def add_adapter(
        self, adapter_config: SketchPromptPreTrainedConfig, adapter_name: str | None = None
    ) -> None:
        """Add a freshly initialised adapter and make it active.

        Args:
            adapter_config: Configuration of the method.
            adapter_name: Name of the adapter, "default" if not given.

        Raises:
            TypeError: The configuration is not of this method.
            ValueError: The name exists already, or has other characters than letters, digits, `_` and `-`.
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
        separate = self.tunes_modalities_apart(adapter_config)
        adapter.bind(self.clip, self.tuned_modules(adapter_config), separate)
        like = next(self.parameters(), None)
        if like is not None:
            adapter.to(like)
        self.adapters[adapter_name] = adapter
        self.adapter_configs[adapter_name] = adapter_config
        self.set_adapter(adapter_name)

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """Make an adapter active. `config` becomes its configuration.

        Args:
            adapter_name: Its name, or a list with its name, as in transformers. Adapters cannot be combined.

        Raises:
            ValueError: There is no such adapter, or the list has several names.
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
        """Delete an adapter, or several, that are not active.

        Raises:
            ValueError: One of them is active or not loaded. Then none is deleted.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        for name in names:
            self._require_adapter(name)
            if name == self._active_adapter:
                raise ValueError(f"adapter {name!r} is in use; activate another one first")
        for name in names:
            del self.adapters[name], self.adapter_configs[name]

    def load_adapter(self, source, adapter_name: str | None = None, **hub_kwargs) -> None:
        """Load another adapter of the same method onto this model's CLIP and make it active.

        Args:
            source: Hub id, folder or bundled name of an adapter checkpoint.
            adapter_name: Name of the adapter in this model, "default" if not given.
            hub_kwargs: Arguments of `find_checkpoint`: `revision`, `token`, `subfolder`, ...

        Raises:
            ValueError: It is an adapter of another method, was trained on another CLIP, or its tensors do not fit.
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
        with described_by(directory / CONFIG):
            config = self.config_class.from_dict(dict(adapter.config_dict))
        config.clip_config = self.config.clip_config
        adapter.check_backbone(self.clip)
        self._check_fits(config, self.clip, adapter)
        previous = self._active_adapter
        self.add_adapter(config, adapter_name)
        try:
            self._fill_adapter(adapter)
        except ValueError:
            self.set_adapter(previous)
            self.delete_adapter(adapter_name)
            raise

    def disable_adapters(self) -> None:
        """Not supported: a model without its adapter is another model.

        Raises:
            NotImplementedError: Always. The message says what to use instead.
        """
        raise NotImplementedError(
            "adapters cannot be switched off. The plain CLIP is model.clip, or as a model: "
            "FrozenClipModel(FrozenClipConfig(), backbone=model.clip)"
        )

    def enable_adapters(self) -> None:
        """Not supported, like `disable_adapters`."""
        raise NotImplementedError("adapters are always on; set_adapter(name) says which one is used")

    def enable_peft_hotswap(self, *args, **kwargs) -> None:
        """Not supported. `load_adapter` adds an adapter, and `set_adapter` switches without copying."""
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
            `clip.<CLIPModel name>` for tuned copies, `adapter.tuned_photo.<CLIPModel name>` for those that only
            photos use, `adapter.<name>` for everything else.

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

    def describe_weights(self) -> dict[str, Any]:
        """By what the model is recognised, also in another precision.

        Weights are known by samples, a dozen of the CLIP and a few of each tensor of the active adapter.

        Returns:
            "method" (the one that embeds photos so), "base_model", "dtype", "weights", and "lens", which changes
            queries alone.
        """
        # A method that embeds photos as another one does is known by the CLIP alone.
        tensors = self.adapter_tensors()
        lens = {name: _sample(tensors[name]) for name in _LENS if name in tensors}
        own = sorted(tensors.keys() - lens.keys()) if self.photo_method == self.method else []
        return {
            "method": self.photo_method,
            "base_model": self.config.base_model,
            "dtype": str(self.dtype).removeprefix("torch."),
            "weights": [
                *(clip_backbone.fingerprint(self.clip) or ()),
                *(value for name in own for value in _sample(tensors[name])),
            ],
            "lens": lens,
        }

    def get_adapter_state_dict(self, adapter_name: str | None = None) -> dict[str, Tensor]:
        """As in transformers: the tensors of an adapter, by default the active one. See `adapter_tensors`."""
        return {name: value.detach() for name, value in self.adapter_tensors(adapter_name).items()}

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters of the active adapter, by their names in a checkpoint."""
        return {
            name: value for name, value in self.adapter_tensors().items() if isinstance(value, nn.Parameter)
        }

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """As in peft: the number of trainable parameters, and of all parameters."""
        trained = sum(parameter.numel() for parameter in self.trainable_parameters().values())
        return trained, sum(parameter.numel() for parameter in self.parameters())

    def print_trainable_parameters(self) -> None:
        """As in peft: print the number of trainable parameters."""
        trained, total = self.get_nb_trainable_parameters()
        share = 100 * trained / max(total, 1)
        print(f"trainable params: {trained:,d} || all params: {total:,d} || trainable%: {share:.4f}")

    def parameter_groups(self) -> list[dict]:
        """Trainable parameters by kind: `"prompts"` (of the method), `"layer_norms"` and `"backbone"` (all others).

        Returns:
            A list of {"name": str, "params": list} for an optimiser, without empty groups.
        """
        groups: dict[str, list[nn.Parameter]] = {"prompts": [], "layer_norms": [], "backbone": []}
        for name, parameter in self.trainable_parameters().items():
            if name.startswith("adapter.") and not name.startswith(_TUNED_FOR_PHOTOS):
                groups["backbone" if name.startswith(self.backbone_weights) else "prompts"].append(parameter)
            else:
                groups["layer_norms" if "norm" in name.rsplit(".", 2)[-2] else "backbone"].append(parameter)
        return [{"name": name, "params": params} for name, params in groups.items() if params]

    @classmethod
    def _check_fits(
        cls, config: SketchPromptPreTrainedConfig, backbone: CLIPModel | None, file: AdapterFile
    ) -> None:
        """Raise a ValueError if the shapes in a file do not match the configuration, before large tensors are made."""
        config = copy.deepcopy(config)
        if backbone is not None:
            config.clip_config = copy.deepcopy(backbone.config)
        with described_by(file.directory / CONFIG), torch.device("meta"):
            skeleton = cls(config)
        file.check_tensors(*_without_data(skeleton.adapter, file.tensors, skeleton.adapter_tensors()))

    @torch.no_grad()
    def _fill_adapter(self, file: AdapterFile) -> None:
        stored = dict(file.tensors)
        weight = next(self.parameters())
        for name in self.adapter.data_buffers:
            buffer = stored.pop(f"adapter.{name}", None)
            if buffer is not None:
                buffer = buffer.to(weight) if buffer.is_floating_point() else buffer.to(weight.device)
            setattr(self.adapter, name, buffer)
        stored, expected = _without_data(self.adapter, stored, self.adapter_tensors())
        file.check_tensors(stored, expected)
        for name, value in expected.items():
            value.copy_(stored[name])
        self.adapter.facts = TrainingFacts.read(file.directory)
        self.check_loaded(file.directory)


def _sample(tensor: Tensor) -> list[float]:
    at = torch.linspace(0, tensor.numel() - 1, _SAMPLES, dtype=torch.float64).round().long()
    return clip_backbone.sample_weights(tensor, at)


def _without_data(adapter: MethodAdapter, *tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], ...]:
    """The tensors without those whose shape the training classes decide."""
    data = {f"adapter.{name}" for name in adapter.data_buffers}
    return tuple({name: value for name, value in part.items() if name not in data} for part in tensors)
