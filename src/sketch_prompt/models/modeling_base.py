"""The contract every method offers, and what they share: a frozen CLIP, named adapters, saving and loading."""

import itertools
import re
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import CLIPModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..sources import HUB_ARGUMENTS, find_checkpoint
from . import backbone as clip_backbone
from .categories import CategoryMixin
from .checkpoints import AdapterFile, read_adapter, read_backbone, upload_checkpoint, write_checkpoint
from .configuration_base import SketchPromptPreTrainedConfig
from .explanations import ExplanationMixin
from .outputs import ProcessedTriplets, SketchRetrievalOutput, TripletBatch
from .prompted_clip import encode_text
from .reranking import RerankingMixin

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9_-]+")
# Passed on by the Auto classes; they have no meaning for a package that runs no code from the Hub.
_AUTO_ARGUMENTS = ("trust_remote_code", "adapter_kwargs", "code_revision", "torch_dtype", "_from_auto")
_serial = itertools.count()


class MethodAdapter(nn.Module):
    """What one adapter owns besides its tuned copies of CLIP modules.

    Methods subclass it for their prompts and mappings. `class_embeddings` (C, D) are the L2-normalised text
    features of the training classes, computed once by `set_classes` and stored with the adapter.
    """

    data_buffers: ClassVar[tuple[str, ...]] = ("class_embeddings",)
    """Buffers whose shape the training classes decide: None before `set_classes`, taken as they are on loading."""

    class_embeddings: Tensor | None

    def __init__(self):
        super().__init__()
        self.register_buffer("class_embeddings", None)


class SketchPromptPreTrainedModel(ExplanationMixin, RerankingMixin, CategoryMixin, PreTrainedModel):
    """Base of every method: a frozen CLIP that named adapters turn into a sketch-based retrieval model.

    A subclass says which CLIP modules its adapters tune (`tuned_modules`), what else they own (`build_adapter`) and
    how a sketch and a photo are embedded. Adapters of one method live in one model (`load_adapter`, `set_adapter`);
    models of different methods share one CLIP in memory when the second is given the first one's:
    `SketchPromptModel.from_pretrained(other, backbone=model.clip)`.

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
        # Models that share a CLIP keep their tuned copies apart by this prefix.
        self._key_prefix = f"{self.method}-{next(_serial)}-"
        self._processor: Any = None
        self.add_adapter(config, adapter_name)
        self.post_init()

    def init_weights(self) -> None:
        """Do nothing: the backbone comes with its weights, and adapters initialise themselves."""

    # What a method defines

    @property
    def method(self) -> str:
        """The method's public name, such as `"clip-at"`."""
        return self.config_class.method

    def tuned_modules(self, config: SketchPromptPreTrainedConfig) -> str | None:
        """Regular expression of the `CLIPModel` modules whose copies train, or None."""
        return None

    def build_adapter(self, config: SketchPromptPreTrainedConfig) -> MethodAdapter:
        """New parameters of the method, initialised as the paper says."""
        return MethodAdapter()

    def get_sketch_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """Embed sketches: (B, 3, H, W) -> (B, D), L2-normalised."""
        raise TypeError(f"{type(self).__name__} is the contract, not a method: it embeds nothing")

    def get_photo_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        raise TypeError(f"{type(self).__name__} is the contract, not a method: it embeds nothing")

    def process_triplets(self, batch: TripletBatch, return_loss: bool) -> ProcessedTriplets:
        """Embed a batch of triplets and compute the method's loss: what `forward` does, see there.

        Methods override it; those that need more than a batch take further arguments of `forward` by name.

        Returns:
            The embeddings of the batch's `images`, the weighted loss and its terms by name, None without
            `return_loss`.
        """
        if return_loss:
            raise ValueError(f"{self.method} has nothing to train")
        sketches, *photos = batch.images
        return [self.get_sketch_features(sketches), *map(self.get_photo_features, photos)], None, None

    def embed_classes(self, class_names: list[str], processor) -> Tensor:
        """Text features (C, D) of classes, L2-normalised: of `config.class_prompt` with their names."""
        sentences = [self.config.class_prompt.format(name) for name in class_names]
        inputs = processor(text=sentences, return_tensors="pt").to(self.device)
        return torch.cat([self.get_text_features(ids) for ids in inputs["input_ids"].split(64)])

    # What they share

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed texts.

        Args:
            input_ids: (B, T)
            attention_mask: accepted for the tokenizer's sake; the text tower is causal and needs none.

        Returns:
            (B, D), L2-normalised.

        Raises:
            ValueError: if the method brings a vision tower of its own, and no text tower.
        """
        if self.clip is None:
            raise ValueError(f"this {self.method} model has no CLIP, and so no text features")
        self._activate()
        pooled = encode_text(self.clip.text_model, input_ids).pooled
        return nn.functional.normalize(self.clip.text_projection(pooled), dim=-1)

    def forward(
        self,
        sketch_pixel_values: Tensor | None = None,
        photo_pixel_values: Tensor | None = None,
        negative_pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        instance_ids: Tensor | None = None,
        negative_labels: Tensor | None = None,
        return_loss: bool = True,
        pixel_values: Tensor | None = None,
        **inputs,
    ) -> SketchRetrievalOutput | BaseModelOutputWithPooling:
        """Embed aligned triplets and compute the method's loss.

        With `pixel_values` alone, embed photos: what transformers' `image-feature-extraction` pipeline calls.

        Args:
            sketch_pixel_values: (B, 3, H, W), row i a sketch of `labels[i]`.
            photo_pixel_values: (B, 3, H, W), row i a photo that sketch i should find.
            negative_pixel_values: (B, 3, H, W), row i a photo it should not find.
            labels: (B,) indices into `config.class_names`.
            instance_ids: (B,) identity of the drawn photo, for fine-grained losses.
            negative_labels: (B,) classes of the negatives.
            return_loss: compute the loss too.
            pixel_values: (B, 3, H, W) photos, in place of all else; the answer's `pooler_output` is (B, D).
            inputs: what else a method takes, see its `process_triplets`.

        Raises:
            ValueError: if the loss needs something that is not there, or there are no pictures.
        """
        if pixel_values is not None:
            return BaseModelOutputWithPooling(pooler_output=self.get_photo_features(pixel_values, **inputs))
        if sketch_pixel_values is None or photo_pixel_values is None:
            raise ValueError(
                "forward needs sketch_pixel_values and photo_pixel_values, or pixel_values alone"
            )
        batch = TripletBatch(
            sketch_pixel_values,
            photo_pixel_values,
            negative_pixel_values,
            labels,
            instance_ids,
            negative_labels,
        )
        embeds, loss, terms = self.process_triplets(batch, return_loss, **inputs)
        return SketchRetrievalOutput(loss, terms, *embeds)

    @torch.no_grad()
    def set_classes(self, class_names: list[str], processor) -> None:
        """Make `class_names` the training classes: remember them and embed their texts (`embed_classes`).

        Args:
            class_names: C names; labels given to `forward` index this list.
            processor: a `SketchPromptProcessor` with the tokenizer of the base model.
        """
        self.config.class_names = list(class_names)
        if self.clip is not None:
            self.adapter.class_embeddings = self.embed_classes(class_names, processor)

    def _missing_for_classes(self, labels: Tensor | None) -> str | None:
        """What a loss over the training classes lacks, in words; None if it is all there."""
        if labels is None:
            return "labels"
        if self.adapter.class_embeddings is None:
            return "class texts: call model.set_classes(class_names, processor)"
        return None

    # Training

    def train(self, mode: bool = True):
        """Switch the adapters to training; the frozen backbone stays in eval mode."""
        super().train(mode)
        if self.clip is not None:
            self.clip.eval()
        return self

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called by a training loop before each epoch, for what a method changes in the course of training.

        Args:
            epoch: Number of the epoch, from 0.
            epochs: How many there will be.
        """

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """What training changes: the active adapter's tuned copies and own parameters, by checkpoint name."""
        self._activate()
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
                groups["backbone" if self.is_backbone_weight(name) else "prompts"].append(parameter)
            else:
                groups["layer_norms" if "norm" in name.rsplit(".", 2)[-2] else "backbone"].append(parameter)
        return [{"name": name, "params": params} for name, params in groups.items() if params]

    def is_backbone_weight(self, name: str) -> bool:
        """Whether the adapter's own tensor `name` stands in for a weight of the CLIP."""
        return False

    # Adapters

    @property
    def active_adapter(self) -> str:
        """Name of the adapter in use."""
        return self._active_adapter

    def active_adapters(self) -> list[str]:
        """As in transformers: the one active adapter in a list."""
        return [self._active_adapter]

    @property
    def adapter(self) -> MethodAdapter:
        """The active adapter's own parameters."""
        return self.adapters[self._active_adapter]

    def add_adapter(self, config: SketchPromptPreTrainedConfig, adapter_name: str) -> None:
        """Add a freshly initialised adapter and make it the active one.

        Raises:
            ValueError: if the name is taken or not made of letters, digits, `_` and `-`.
        """
        if not _ADAPTER_NAME.fullmatch(adapter_name):
            raise ValueError(f"adapter name {adapter_name!r} may hold only letters, digits, '_' and '-'")
        if adapter_name in self.adapters:
            raise ValueError(
                f"there is an adapter {adapter_name!r} already; choose another name or delete it first"
            )
        pattern = self.tuned_modules(config)
        if pattern is not None:
            clip_backbone.add_tuned_copies(self.clip, self._key_prefix + adapter_name, pattern)
        adapter = self.build_adapter(config).train(self.training)
        like = next(self.parameters(), None)
        if like is not None:
            adapter.to(like)
        self.adapters[adapter_name] = adapter
        self.adapter_configs[adapter_name] = config
        self.set_adapter(adapter_name)

    def set_adapter(self, adapter_name: str) -> None:
        """Use the adapter `adapter_name` from now on; `config` becomes its configuration.

        Raises:
            ValueError: if there is no such adapter.
        """
        if adapter_name not in self.adapters:
            raise ValueError(f"no adapter {adapter_name!r}; loaded: {', '.join(self.adapters)}")
        self._active_adapter = adapter_name
        self.config = self.adapter_configs[adapter_name]
        for name, adapter in self.adapters.items():
            adapter.requires_grad_(name == adapter_name)
        self._activate()

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter that is not in use."""
        if adapter_name == self._active_adapter or adapter_name not in self.adapters:
            raise ValueError(f"{adapter_name!r} is in use or not loaded; loaded: {', '.join(self.adapters)}")
        del self.adapters[adapter_name], self.adapter_configs[adapter_name]
        clip_backbone.remove_tuned_copies(self.clip, self._key_prefix + adapter_name)

    def load_adapter(self, source, adapter_name: str, **hub_kwargs) -> None:
        """Load another adapter of the same method onto this model's CLIP and make it the active one.

        Args:
            source: Hub id, directory or bundled name of an adapter checkpoint.
            adapter_name: what to call it here.
            hub_kwargs: `revision`, `cache_dir`, `token`, `local_files_only`.

        Raises:
            ValueError: if it is of another method, was trained on another CLIP, or its tensors do not fit.
        """
        directory = find_checkpoint(source, **hub_kwargs)
        adapter = read_adapter(directory)
        if adapter.config_dict.get("model_type") != self.config.model_type:
            raise ValueError(
                f"{source} is a {adapter.config_dict.get('model_type')!r} adapter, this model is {self.method!r}. "
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

    def adapter_tensors(self) -> dict[str, Tensor]:
        """Every tensor of the active adapter: `clip.<CLIPModel name>` for tuned copies, `adapter.<name>` else."""
        key = self._key_prefix + self._active_adapter
        tensors: dict[str, Tensor] = {
            f"clip.{name}": value for name, value in clip_backbone.tuned_parameters(self.clip, key).items()
        }
        own = itertools.chain(self.adapter.named_parameters(), self.adapter.named_buffers())
        return tensors | {f"adapter.{name}": value for name, value in own if value is not None}

    def _activate(self) -> None:
        clip_backbone.activate(self.clip, self._key_prefix + self._active_adapter)

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
