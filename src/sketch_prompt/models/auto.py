"""From a method's name or a checkpoint to its class, like transformers' Auto classes."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

from ..hints import suggestion
from ..processing import SketchPromptImageProcessor, SketchPromptProcessor
from ..sources import HUB_ARGUMENTS, find_checkpoint
from .checkpoints import read_adapter
from .clip_at import ClipAtModel
from .configuration_base import SketchPromptPreTrainedConfig
from .dp_clip import DpClipModel
from .frozen_clip import FrozenClipModel
from .modeling_base import SketchPromptPreTrainedModel
from .splip import SplipModel
from .zse_sbir import ZseSbirModel

MODELS: dict[str, type[SketchPromptPreTrainedModel]] = {
    model.config_class.method: model
    for model in (FrozenClipModel, ClipAtModel, SplipModel, DpClipModel, ZseSbirModel)
}
"""Every method by its public name."""

for _model in MODELS.values():
    AutoConfig.register(_model.config_class.model_type, _model.config_class, exist_ok=True)
    AutoModel.register(_model.config_class, _model, exist_ok=True)
    AutoProcessor.register(_model.config_class, SketchPromptProcessor, exist_ok=True)
    AutoImageProcessor.register(
        _model.config_class, image_processor_classes={"pil": SketchPromptImageProcessor}, exist_ok=True
    )


def model_class(method: str) -> type[SketchPromptPreTrainedModel]:
    """The model class of a method.

    Raises:
        ValueError: for a name that is no method, naming the nearest.
    """
    if method not in MODELS:
        raise ValueError(f"no method {method!r}; {suggestion(method, MODELS)}")
    return MODELS[method]


class SketchPromptConfig:
    """Builds the configuration of whichever method a name or checkpoint is of."""

    def __new__(cls, method: str, **fields) -> SketchPromptPreTrainedConfig:
        """`SketchPromptConfig("clip-at", n_prompts=4)` is `ClipAtConfig(n_prompts=4)`."""
        return model_class(method).config_class(**fields)

    @classmethod
    def from_pretrained(cls, source, **kwargs) -> SketchPromptPreTrainedConfig:
        """Configuration of a checkpoint: Hub id, directory or bundled name."""
        hub = {k: kwargs.pop(k) for k in HUB_ARGUMENTS if k in kwargs}
        return cls.from_dict(read_adapter(find_checkpoint(source, **hub)).config_dict | kwargs)

    @classmethod
    def from_dict(cls, fields: dict) -> SketchPromptPreTrainedConfig:
        """Configuration from the content of a `config.json`."""
        return model_class(fields.get("model_type")).config_class.from_dict(dict(fields))


class SketchPromptModel:
    """Builds the model of whichever method a checkpoint or configuration is of."""

    def __init__(self):
        raise TypeError("use SketchPromptModel.from_pretrained(...) or SketchPromptModel.from_config(...)")

    @classmethod
    def from_pretrained(cls, source, **kwargs) -> SketchPromptPreTrainedModel:
        """Load a checkpoint: Hub id, directory or bundled name, adapter-only or self-contained.

        Arguments and errors are those of `SketchPromptPreTrainedModel.from_pretrained`.
        """
        hub = {k: kwargs[k] for k in HUB_ARGUMENTS if k in kwargs}
        directory = find_checkpoint(source, **hub)
        method = read_adapter(directory).config_dict.get("model_type")
        if method not in MODELS:
            raise ValueError(
                f"{source} is a {method!r} checkpoint, not one of sketch-prompt's: {', '.join(MODELS)}"
            )
        return MODELS[method].from_pretrained(directory, **kwargs)

    @classmethod
    def from_config(cls, config: SketchPromptPreTrainedConfig, **kwargs) -> SketchPromptPreTrainedModel:
        """A model with new adapters on a randomly initialised CLIP, or on `backbone`."""
        return model_class(config.method)(config, **kwargs)

    @classmethod
    def from_base_model(cls, method: str, base_model: str, **kwargs) -> SketchPromptPreTrainedModel:
        """A fresh model of `method` on a pretrained CLIP, ready to train."""
        return model_class(method).from_base_model(base_model, **kwargs)
