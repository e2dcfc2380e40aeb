"""Configuration of the sketch lens."""

from typing import ClassVar

from ...vocabulary import TargetKind
from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class SketchLensConfig(SketchPromptPreTrainedConfig):
    """Configuration of `SketchLensModel`.

    Example:
        ```python
        lens = SketchLensModel.from_base_model("openai/clip-vit-base-patch32", lens="both")
        ```

    All fields but `lens` are for the trained lens. docs/sketch_lens.md has measurements.

    Args:
        lens (`str`): Targets of the sketches: "photos", "text", "both", "instances" or "none".
        train_tower (`bool`):
            Train prompts and LayerNorms of the tower for sketches before the lens is fitted. Photos are always
            embedded with the frozen CLIP.
        n_prompts (`int`): Number of prompt tokens.
        prompt_init_std (`float`): Standard deviation of their normal initialisation.
        softmax_weight (`float`): Weight of the softmax over all seen photos.
        temperature (`float`): Temperature of the softmax.
        label_smoothing (`float`): Share of the softmax's target that is uniform over all photos.
        pull_weight (`float`): kappa, weight of the loss that pulls features towards those of the frozen CLIP.
        ambiguity_margin (`float`):
            Margin of the softmax for a drawing of average clarity (`sketch_prompt.lens.clarity`). The photos of
            clearer drawings must be nearer. 0 for none.
    """

    model_type = "sketch-lens"
    at_least: ClassVar[dict[str, float]] = {
        "n_prompts": 1,
        "prompt_init_std": 0,
        "softmax_weight": 0,
        "label_smoothing": 0,
        "pull_weight": 0,
        "ambiguity_margin": 0,
    }

    lens: TargetKind | None = "photos"
    train_tower: bool = False
    n_prompts: int = 3
    prompt_init_std: float | int = 0.02
    softmax_weight: float | int = 1.0
    temperature: float | int = 0.05
    label_smoothing: float | int = 0.1
    pull_weight: float | int = 1.0
    ambiguity_margin: float | int = 0.0

    def check_values(self) -> None:
        """Raise a ValueError for a temperature that is not above 0, or a smoothing of 1 or more."""
        require(self.temperature > 0, "temperature", self.temperature, "above 0")
        require(self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "below 1")
