"""Configuration of the sketch lens."""

from huggingface_hub.dataclasses import strict

from ..configuration_base import SketchPromptPreTrainedConfig


@strict
class SketchLensConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SketchLensModel`.

    Args:
        lens (`str`): what sketches are mapped to: "photos", "text", "both", "instances" or "none".
    """

    model_type = "sketch-lens"

    lens: str | None = "photos"
