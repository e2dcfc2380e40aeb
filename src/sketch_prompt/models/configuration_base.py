"""The configuration that all methods share."""

import copy
import dataclasses
import functools
from typing import Any, ClassVar, TypeVar

from huggingface_hub import dataclasses as hub_dataclasses
from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPConfig, PreTrainedConfig

from ..hints import shortened, suggestion
from ..vocabulary import TargetKind

Config = TypeVar("Config", bound=type["SketchPromptPreTrainedConfig"])

# Keys that transformers itself writes into or passes along with a config, beside its attributes and private keys.
# Trainer sets `use_cache`, and the tokens of the tokenizer that it is given.
_TRANSFORMERS_KEYS = frozenset(
    {
        "auto_map",
        "torch_dtype",
        "attn_implementation",
        "experts_implementation",
        "use_cache",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    }
)


def strict(config_class: Config) -> Config:
    """Decorator for configurations. A field of a wrong type is a ValueError with the name of the field."""
    config_class = hub_dataclasses.strict(config_class)
    initialise = config_class.__init__

    @functools.wraps(initialise)
    def __init__(self, *args, **kwargs):
        try:
            initialise(self, *args, **kwargs)
        except StrictDataclassError as error:
            reason = str(error).strip().splitlines()[-1].strip().removeprefix("TypeError: ")
            raise ValueError(f"{type(self).__name__}: {reason}") from error

    config_class.__init__ = __init__
    return config_class


class SketchPromptPreTrainedConfig(PreTrainedConfig):
    """Base class of all configurations.

    Unlike in most of transformers, an unknown key is an error, because a misspelt hyper-parameter would be ignored
    otherwise.

    Args:
        base_model (`str`, *optional*):
            Hub id, folder or bundled name of the frozen CLIP. None if the CLIP exists only in the checkpoint (a
            converted one).
        base_model_revision (`str`, *optional*): Commit of `base_model` on the Hub.
        base_model_fingerprint (`list[float]`, *optional*):
            A dozen weights of the CLIP that the adapter was trained on. The adapter is refused on any other CLIP.
        clip_config (`CLIPConfig`, *optional*): Architecture of the CLIP.
        class_names (`list[str]`, *optional*): Classes of the training data. Labels are indices into this list.
        class_prompt (`str`): Sentence that turns a class name into a text.
        categories (`list[str]`, *optional*): Categories that were added with a support set, for methods with
        categories. lens (`str`, *optional*):
            Targets of a lens on the sketch features, one of `TargetKind`. The lens is fitted at the end of training,
            to the training classes. None for no lens.
        lens_ambiguity (`bool`):
            Whether the fit gives less weight to drawings that look like several classes; see `lens.clarity`.
        lens_classes (`list[str]`, *optional*): Classes of the drawings that the lens was fitted to.
        lens_fit (`dict`, *optional*): Facts of the fit: lambda, number of drawings, scores, notes.
    """

    sub_configs_defaults: ClassVar[dict] = {"clip_config": CLIPConfig}
    choices: ClassVar[dict[str, str]] = {}
    """Fields that the paper does not specify, with a description of what they decide, for the model card."""
    at_least: ClassVar[dict[str, float]] = {}
    """Minimum values of numbers, by field."""
    before_there_was_a_choice: ClassVar[dict[str, Any]] = {}
    """Fields whose default is not what earlier versions did: their value in a `config.json` that lacks them."""

    base_model: str | None = "openai/clip-vit-base-patch32"
    base_model_revision: str | None = None
    base_model_fingerprint: list[float] | None = None
    clip_config: dict | CLIPConfig | None = None
    class_names: list[str] | None = None
    class_prompt: str = "a photo of a {}"
    categories: list[str] | None = None
    lens: TargetKind | None = None
    lens_ambiguity: bool = False
    lens_classes: list[str] | None = None
    lens_fit: dict | None = None

    def __post_init__(self, **kwargs):
        known = {field.name for field in dataclasses.fields(self)}
        for key in kwargs:
            if not (key in _TRANSFORMERS_KEYS or key.startswith("_") or hasattr(PreTrainedConfig, key)):
                raise ValueError(
                    f"{type(self).__name__} has no key {key!r}; {suggestion(key, sorted(known))}"
                )
        if isinstance(self.clip_config, PreTrainedConfig):
            # transformers resets the attention implementation of sub-configs, and this one may be a living model's.
            self.clip_config = copy.deepcopy(self.clip_config)
        super().__post_init__(**kwargs)
        if "{}" not in self.class_prompt:
            raise ValueError(
                f"class_prompt must contain '{{}}' where the class name goes, got {self.class_prompt!r}"
            )
        for field, least in self.at_least.items():
            expected = f"at least {least}" if least else "0 or more"
            value = getattr(self, field)
            require(value is None or value >= least, field, value, expected)
        self.check_values()

    @property
    def method(self) -> str:
        """The method's public name."""
        return self.model_type

    @property
    def seen_classes(self) -> list[str]:
        """All classes with images in the training data, to check zero-shot claims."""
        return list(dict.fromkeys([*(self.class_names or ()), *(self.lens_classes or ())]))

    @property
    def uses_clip(self) -> bool:
        """Whether the method uses a CLIP. A method may have its own vision tower instead."""
        return True

    def to_dict(self) -> dict:
        """As in transformers, but without the folder on this machine that the CLIP was read from."""
        fields = super().to_dict()
        clip = fields.get("clip_config") or {}
        for section in (clip, clip.get("text_config") or {}, clip.get("vision_config") or {}):
            section.pop("_name_or_path", None)
        return fields

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """As in transformers. A field that is missing in an old file gets the value it had then."""
        return super().from_dict({**cls.before_there_was_a_choice, **config_dict}, **kwargs)

    def check_values(self) -> None:
        """Check what types and `at_least` cannot express. Subclasses raise a ValueError that names the field."""


def require(condition: bool, field: str, value, expected: str) -> None:
    """Raise a ValueError that names the field unless `condition` is true."""
    if not condition:
        raise ValueError(f"{field} must be {expected}, got {shortened(value)}")
