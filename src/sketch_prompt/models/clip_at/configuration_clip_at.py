"""Configuration of CLIP-AT."""

from typing import Any, ClassVar, Literal

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class ClipAtConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `ClipAtModel`: CLIP for All Things Zero-Shot SBIR (Sain et al., CVPR 2023).

    At category level the paper trains prompts and LayerNorms of either modality; at instance level common ones, with
    negatives of the same class (`data.level: instance` in a recipe), f-divergence and patch shuffling.

    Args:
        n_prompts (`int`): number of prompt tokens for sketches, and also for photos; 3 in paper and reference code.
        common_prompts (`bool`):
            Use the same prompts for sketches and photos, as the paper does at instance level.
        prompt_init_std (`float`): standard deviation of their normal initialisation; 1 in the reference code.
        trainable (`str`):
            `"paper"`: prompts and the vision tower's LayerNorms. `"reference"`: also everything that the published
            code does not freeze, in both towers: query, key and value projections, class and position embeddings,
            the output projections, every LayerNorm and `logit_scale`.
        layer_norms (`str`, *optional*):
            `"separate"`: sketches and photos have LayerNorms of their own, the paper's model at category level.
            `"shared"`: both have the same, as in the reference code and in the paper's model at instance level.
            None takes the paper's, or the reference code's with `trainable="reference"`. A checkpoint that was saved
            before there was a choice has shared ones.
        triplet_margin (`float`): 0.3 in the paper, 0.2 in the reference code.
        triplet_weight (`float`): weight of the triplet loss; 1 in the paper.
        classification_weight (`float`):
            Weight of the two classification losses, of sketches and of photos; 0.5 in the paper, 0 in the reference
            code, which has none.
        f_divergence_weight (`float`):
            Weight of the f-divergence between classes; 0.1 in the paper at instance level, where batches need
            several triplets of each class (`data.batches: pk`).
        patch_shuffling_weight (`float`): weight of the patch shuffling loss; 1 in the paper at instance level.
        patch_shuffling_tiles (`int`): n of the n x n tiles that are shuffled; 2 in the paper.
        patch_shuffling_margin (`float`):
            Margin of that loss; the paper does not print it, so it is that of the triplet loss.
        temperature (`float`, *optional*): temperature of the classification losses; None for that of the CLIP.

    Example:
        ```python
        config = ClipAtConfig(n_prompts=4, common_prompts=True)
        model = ClipAtModel.from_base_model("openai/clip-vit-base-patch32", n_prompts=4, common_prompts=True)
        ```
    """

    model_type = "clip-at"
    at_least: ClassVar[dict[str, float]] = {
        "n_prompts": 1,
        "prompt_init_std": 0,
        "triplet_margin": 0,
        "triplet_weight": 0,
        "classification_weight": 0,
        "f_divergence_weight": 0,
        "patch_shuffling_weight": 0,
        "patch_shuffling_tiles": 2,  # one tile cannot be shuffled
        "patch_shuffling_margin": 0,
    }
    before_there_was_a_choice: ClassVar[dict[str, Any]] = {"layer_norms": "shared"}

    n_prompts: int = 3
    common_prompts: bool = False
    prompt_init_std: float | int = 1.0
    trainable: Literal["paper", "reference"] = "paper"
    layer_norms: Literal["separate", "shared"] | None = None
    triplet_margin: float | int = 0.3
    triplet_weight: float | int = 1.0
    classification_weight: float | int = 0.5
    f_divergence_weight: float | int = 0.0
    patch_shuffling_weight: float | int = 0.0
    patch_shuffling_tiles: int = 2
    patch_shuffling_margin: float | int = 0.3
    temperature: float | int | None = None

    def __post_init__(self, **kwargs):
        if self.layer_norms is None:
            alike = self.common_prompts or self.trainable == "reference"
            self.layer_norms = "shared" if alike else "separate"
        super().__post_init__(**kwargs)

    def check_values(self) -> None:
        """Raise ValueError for a temperature that is not above 0, or LayerNorms that the reference code has not."""
        temperature = self.temperature
        require(temperature is None or temperature > 0, "temperature", temperature, "above 0 or None")
        expected = "'shared' with trainable='reference'"
        fits = self.trainable == "paper" or self.layer_norms == "shared"
        require(fits, "layer_norms", self.layer_norms, expected)
