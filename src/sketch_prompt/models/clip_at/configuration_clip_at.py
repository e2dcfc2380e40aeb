"""Configuration of CLIP-AT."""

from typing import Any, ClassVar, Literal

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class ClipAtConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `ClipAtModel`: CLIP for All Things Zero-Shot SBIR (Sain et al., CVPR 2023).

    At category level the paper trains prompts and LayerNorms of either modality; at instance level common ones, with
    negatives of the same class (`data.level: instance` in a recipe), f-divergence and patch shuffling.

    Args:
        n_prompts (`int`):
            Number of prompt tokens for sketches, and also for photos; 3 in paper and reference code. 0, no prompts,
            for the baselines that fine-tune the vision tower or probe its features.
        prompt_depth (`int`):
            Number of layers with their own prompts: 1 in paper and reference code, more in the baseline B-Deep.
        prompt_kind (`str`):
            `"learned"`: the paper's. Of its baselines: `"conditional"` (B-Cond), to which a small network adds what
            the frozen CLIP sees in the image (after CoCoOp); `"multimodal"` (B-MM), which enter the text tower and,
            through a linear layer, the vision tower (after MaPLe).
        prompt_init (`str`):
            `"normal"`: around 0, as in the reference code. `"mean_token"`: ours, around each layer's mean token.
        common_prompts (`bool`):
            Use the same prompts for sketches and photos, as the paper does at instance level.
        prompt_init_std (`float`): standard deviation of their normal initialisation; 1 in the reference code.
        trainable (`str`):
            `"paper"`: prompts and the vision tower's LayerNorms. `"reference"`: also everything that the published
            code does not freeze, in both towers: query, key and value projections, class and position embeddings,
            the output projections, every LayerNorm and `logit_scale`. `"prompts"`: prompts alone (the baseline B-IP).
            `"vision"`: the whole vision tower and its projection (B-FT).
        linear_probe (`bool`): a linear layer on the features, which starts as the identity (B-Lin).
        layer_norms (`str`, *optional*):
            `"separate"`: sketches and photos have their own LayerNorms, the paper's model at category level.
            `"shared"`: both have the same, as in the reference code and in the paper's model at instance level.
            None takes the paper's, and shared ones with another `trainable` than `"paper"`. With `"vision"` it is
            whole encoders that are shared or separate. A checkpoint that was saved before there was a choice has
            shared ones.
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
        "n_prompts": 0,
        "prompt_depth": 1,
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
    prompt_depth: int = 1
    prompt_kind: Literal["learned", "conditional", "multimodal"] = "learned"
    prompt_init: Literal["normal", "mean_token"] = "normal"
    common_prompts: bool = False
    prompt_init_std: float | int = 1.0
    trainable: Literal["paper", "reference", "prompts", "vision"] = "paper"
    linear_probe: bool = False
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
            alike = self.common_prompts or self.trainable != "paper"
            self.layer_norms = "shared" if alike else "separate"
        super().__post_init__(**kwargs)

    def check_values(self) -> None:
        """Raise ValueError for values that do not fit together, or a temperature that is not above 0."""
        temperature = self.temperature
        require(temperature is None or temperature > 0, "temperature", temperature, "above 0 or None")
        expected = "'shared' with trainable='reference'"
        fits = self.trainable != "reference" or self.layer_norms == "shared"
        require(fits, "layer_norms", self.layer_norms, expected)
        instead = self.trainable == "vision" or self.linear_probe
        require(
            self.n_prompts > 0 or (instead and self.prompt_kind == "learned"),
            "n_prompts",
            self.n_prompts,
            "at least 1, or 0 with trainable='vision' or linear_probe",
        )
        drawn = self.prompt_init == "normal" or self.prompt_kind != "multimodal"
        require(
            drawn,
            "prompt_init",
            self.prompt_init,
            "'normal' with multimodal prompts, which a linear layer makes",
        )
