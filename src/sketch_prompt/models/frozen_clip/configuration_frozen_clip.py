"""Configuration of the frozen CLIP baseline."""

from huggingface_hub.dataclasses import strict

from ..configuration_base import SketchPromptPreTrainedConfig


@strict
class FrozenClipConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `FrozenClipModel`, which has nothing to configure but its base model."""

    model_type = "frozen-clip"
