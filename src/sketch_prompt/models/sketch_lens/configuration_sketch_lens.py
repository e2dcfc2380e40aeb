"""Configuration of the sketch lens."""

from ...vocabulary import TargetKind
from ..configuration_base import SketchPromptPreTrainedConfig, strict


@strict
class SketchLensConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SketchLensModel`.

    Args:
        lens (`str`): what sketches are mapped to: "photos", "text", "both", "instances" or "none".
    """

    model_type = "sketch-lens"

    lens: TargetKind | None = "photos"
