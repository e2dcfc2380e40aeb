"""Configuration of the sketch lens."""

from typing import ClassVar

from ...vocabulary import TargetKind
from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class SketchLensConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SketchLensModel`.

    Example:
        ```python
        lens = SketchLensModel.from_base_model("openai/clip-vit-base-patch32", lens="both")
        ```

    Everything but `lens` concerns the trained lens, for which docs/sketch_lens.md has the measurements.

    Args:
        lens (`str`): what sketches are mapped to: "photos", "text", "both", "instances" or "none".
        train_tower (`bool`):
            Train prompts and LayerNorms of the tower that reads sketches before the lens is fitted. Photos are read by
            the frozen CLIP as always.
        n_prompts (`int`): number of prompt tokens.
        prompt_init_std (`float`): standard deviation of their normal initialisation.
        softmax_weight (`float`): weight of the softmax over all seen photos.
        temperature (`float`): its temperature.
        label_smoothing (`float`): share of the softmax's target that all photos have alike.
        pull_weight (`float`): kappa, the weight of the pull to the features of the frozen CLIP.
        ambiguity_margin (`float`):
            Margin of the softmax for a drawing of average clarity (`sketch_prompt.lens.clarity`): the clearer a
            drawing, the nearer its photos have to be. 0 for none.
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
        """Raise ValueError for a temperature that is not above 0, or a smoothing of 1 and more."""
        require(self.temperature > 0, "temperature", self.temperature, "above 0")
        require(self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "below 1")
