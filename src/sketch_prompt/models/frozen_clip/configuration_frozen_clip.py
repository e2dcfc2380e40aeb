"""Configuration of the frozen CLIP baseline."""

from ..configuration_base import SketchPromptPreTrainedConfig, strict


@strict
class FrozenClipConfig(SketchPromptPreTrainedConfig):
    """Configuration of `FrozenClipModel`. Only the base model can be chosen.

    Example:
        ```python
        config = FrozenClipConfig(base_model="openai/clip-vit-large-patch14")
        ```
    """

    model_type = "frozen-clip"
