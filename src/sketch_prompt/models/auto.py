"""Find the class for the name of a method or a checkpoint, like the Auto classes of transformers."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

from ..hints import suggestion
from ..processing import SketchPromptImageProcessor, SketchPromptProcessor
from ..sources import HUB_ARGUMENTS, find_checkpoint
from . import method_folders
from .checkpoints import CONFIG_FILES, read_config
from .configuration_base import SketchPromptPreTrainedConfig
from .modeling_base import SketchPromptPreTrainedModel

ENTRY_POINTS = "sketch_prompt.methods"
"""The entry point group of methods in other packages: `my-method = "my_package:MyMethodModel"`."""

Model = TypeVar("Model", bound=type[SketchPromptPreTrainedModel])


class _Methods(Mapping[str, type[SketchPromptPreTrainedModel]]):
    """{name of a method: model class}. A class is imported when it is looked up."""

    def __init__(self):
        self._classes: dict[str, type[SketchPromptPreTrainedModel]] = {}
        self._folders = method_folders()

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=ENTRY_POINTS)}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._folders, *self._installed, *self._classes}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name) -> bool:
        return name in self._classes or name in self._folders or name in self._installed

    def __getitem__(self, name: str) -> type[SketchPromptPreTrainedModel]:
        if name not in self:
            raise KeyError(name)
        if name not in self._classes:
            if name in self._folders:
                import_module(f".{self._folders[name]}", __package__)  # registers itself
            else:
                self.add(self._installed[name].load())
        if name not in self._classes:
            raise ImportError(f"the entry point {name!r} of {ENTRY_POINTS!r} gives another method")
        return self._classes[name]

    def add(self, model_class: type[SketchPromptPreTrainedModel]) -> None:
        """The implementation of `SketchPromptModel.register`."""
        if not (isinstance(model_class, type) and issubclass(model_class, SketchPromptPreTrainedModel)):
            raise TypeError(f"{model_class!r} is not a subclass of SketchPromptPreTrainedModel")
        config_class = model_class.config_class
        name = config_class.model_type
        if not name or config_class is SketchPromptPreTrainedConfig:
            raise ValueError(
                f"{model_class.__name__} needs a config_class with a model_type, its method's name"
            )
        known = self._classes.setdefault(name, model_class)
        if known is not model_class:
            raise ValueError(
                f"the method {name!r} is {known.__module__}.{known.__name__}; choose another name"
            )
        AutoConfig.register(name, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
        AutoProcessor.register(config_class, SketchPromptProcessor, exist_ok=True)
        AutoImageProcessor.register(
            config_class, image_processor_classes={"pil": SketchPromptImageProcessor}, exist_ok=True
        )


MODELS = _Methods()
"""All methods by name: those of this package, of installed packages, and registered ones."""


def model_class(method: str) -> type[SketchPromptPreTrainedModel]:
    """The model class of a method.

    Raises:
        ValueError: There is no such method. The message suggests the nearest name.
    """
    if method not in MODELS:
        raise ValueError(f"no method {method!r}; {suggestion(method, MODELS)}")
    return MODELS[method]


class SketchPromptConfig:
    """Create the configuration of any method or checkpoint.

    Example:
        ```python
        SketchPromptConfig("clip-at", n_prompts=4)  # a ClipAtConfig
        SketchPromptConfig.from_pretrained("mini-splip")  # a SplipConfig
        ```
    """

    def __new__(cls, method: str, **fields) -> SketchPromptPreTrainedConfig:
        """`SketchPromptConfig("clip-at", n_prompts=4)` is `ClipAtConfig(n_prompts=4)`."""
        return model_class(method).config_class(**fields)

    @classmethod
    def from_pretrained(cls, source, **kwargs) -> SketchPromptPreTrainedConfig:
        """Load the configuration of a checkpoint: Hub id, folder or bundled name."""
        hub = {k: kwargs.pop(k) for k in HUB_ARGUMENTS if k in kwargs}
        return cls.from_dict(read_config(find_checkpoint(source, files=CONFIG_FILES, **hub)) | kwargs)

    @classmethod
    def from_dict(cls, fields: dict, **kwargs) -> SketchPromptPreTrainedConfig:
        """Create a configuration from the content of a `config.json`."""
        return model_class(fields.get("model_type")).config_class.from_dict(dict(fields), **kwargs)


class SketchPromptModel:
    """Create the model of any method or checkpoint.

    Example:
        ```python
        model = SketchPromptModel.from_pretrained("mini-clip-at")
        fresh = SketchPromptModel.from_base_model("splip", "openai/clip-vit-base-patch32")
        ```
    """

    def __init__(self):
        raise TypeError("use SketchPromptModel.from_pretrained(...) or SketchPromptModel.from_config(...)")

    @classmethod
    def from_pretrained(cls, source, **kwargs) -> SketchPromptPreTrainedModel:
        """Load a checkpoint: Hub id, folder or bundled name, with or without its CLIP.

        Arguments and errors are those of `SketchPromptPreTrainedModel.from_pretrained`.
        """
        hub = {k: kwargs[k] for k in HUB_ARGUMENTS if k in kwargs}
        method = read_config(find_checkpoint(source, files=CONFIG_FILES, **hub)).get("model_type")
        if method not in MODELS:
            raise ValueError(
                f"{source} is a {method!r} checkpoint, not one of sketch-prompt's: {', '.join(MODELS)}"
            )
        return MODELS[method].from_pretrained(source, **kwargs)

    @classmethod
    def from_config(cls, config: SketchPromptPreTrainedConfig, **kwargs) -> SketchPromptPreTrainedModel:
        """A model with a new adapter on a randomly initialised CLIP, or on `backbone`."""
        return model_class(config.method)(config, **kwargs)

    @classmethod
    def from_base_model(cls, method: str, base_model: str, **kwargs) -> SketchPromptPreTrainedModel:
        """A new model of `method` on a pretrained CLIP, ready to train."""
        return model_class(method).from_base_model(base_model, **kwargs)

    @classmethod
    def register(cls, model_class: Model) -> Model:
        """Register a method for this class, recipes, the command line and the Auto classes of transformers.

        An installed package can use an entry point in the group `sketch_prompt.methods` instead.

        Args:
            model_class: A subclass of `SketchPromptPreTrainedModel`. The `model_type` of its `config_class` is the
                name of the method.

        Returns:
            `model_class`, so that this can be a decorator.

        Raises:
            TypeError: It is not such a subclass.
            ValueError: It has no name, or another method has this name.

        Example:
            ```python
            @SketchPromptModel.register
            class MyModel(SketchPromptPreTrainedModel):
                config_class = MyConfig
            ```
        """
        MODELS.add(model_class)
        return model_class


# By its name alone, so that AutoModel finds a method whose module nobody has imported yet. Its real configuration
# replaces this one as soon as it is.
for _method in MODELS:
    AutoConfig.register(_method, SketchPromptConfig, exist_ok=True)
AutoProcessor.register(SketchPromptPreTrainedConfig, SketchPromptProcessor, exist_ok=True)
AutoImageProcessor.register(
    SketchPromptPreTrainedConfig,
    image_processor_classes={"pil": SketchPromptImageProcessor},
    exist_ok=True,
)
