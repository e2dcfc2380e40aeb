"""Configuration of the frozen CLIP baseline."""

from ..configuration_base import SketchPromptPreTrainedConfig, strict


@strict
class FrozenClipConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `FrozenClipModel`, which has nothing to configure but its base model.

    Example:
        ```python
        config = FrozenClipConfig(base_model="openai/clip-vit-large-patch14")
        ```
    """

    model_type = "frozen-clip"
