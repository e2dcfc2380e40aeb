"""Configuration of the sketch lens."""

from ..configuration_base import SketchPromptPreTrainedConfig, strict


@strict
class SketchLensConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SketchLensModel`.

    Args:
        lens (`str`): what sketches are mapped to: "photos", "text", "both", "instances" or "none".
    """

    model_type = "sketch-lens"

    lens: str | None = "photos"
