"""Configuration of CLIP-AT."""

from huggingface_hub.dataclasses import strict

from ..configuration_base import SketchPromptPreTrainedConfig, require


@strict
class ClipAtConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `ClipAtModel`: CLIP for All Things Zero-Shot SBIR (Sain et al., CVPR 2023).

    At category level the paper trains separate prompts for sketches and photos; at instance level common ones, with
    negatives of the same class (`data.level: instance` in a recipe), f-divergence and patch shuffling.

    Args:
        n_prompts (`int`): prompt tokens for sketches, and as many for photos; 3 in paper and reference code.
        common_prompts (`bool`):
            One set of prompts for sketches and photos alike: the paper's choice at instance level.
        prompt_init_std (`float`): standard deviation of their normal initialisation; 1 in the reference code.
        trainable (`str`):
            `"paper"`: prompts and the vision tower's LayerNorms. `"reference"`: also what the published code's
            freezing leaves trainable, in both towers: query, key and value projections, class and position
            embeddings, the output projections, every LayerNorm and `logit_scale`.
        triplet_margin (`float`): 0.3 in the paper, 0.2 in the reference code.
        triplet_weight (`float`): weight of the triplet loss; 1 in the paper.
        classification_weight (`float`):
            Weight of the sketch's and of the photo's classification loss; 0.5 in the paper, 0 (no such loss) in
            the reference code.
        f_divergence_weight (`float`):
            Weight of the f-divergence between classes; 0.1 in the paper at instance level, where batches need
            several triplets a class (`data.batches: pk`).
        patch_shuffling_weight (`float`): weight of the patch shuffling loss; 1 in the paper at instance level.
        patch_shuffling_tiles (`int`): n of the n x n tiles that are shuffled; 2 in the paper.
        patch_shuffling_margin (`float`): its margin, which the paper does not print: that of the triplet.
        temperature (`float`, *optional*): of the classification loss; None takes the CLIP's own.
    """

    model_type = "clip-at"

    n_prompts: int = 3
    common_prompts: bool = False
    prompt_init_std: float | int = 1.0
    trainable: str = "paper"
    triplet_margin: float | int = 0.3
    triplet_weight: float | int = 1.0
    classification_weight: float | int = 0.5
    f_divergence_weight: float | int = 0.0
    patch_shuffling_weight: float | int = 0.0
    patch_shuffling_tiles: int = 2
    patch_shuffling_margin: float | int = 0.3
    temperature: float | int | None = None

    def check_values(self) -> None:
        """Raise ValueError for a value no CLIP-AT can have."""
        require(self.n_prompts >= 1, "n_prompts", self.n_prompts, "at least 1")
        require(self.prompt_init_std >= 0, "prompt_init_std", self.prompt_init_std, "0 or more")
        require(
            self.trainable in ("paper", "reference"), "trainable", self.trainable, "'paper' or 'reference'"
        )
        tiles = self.patch_shuffling_tiles
        require(tiles >= 2, "patch_shuffling_tiles", tiles, "at least 2: one tile cannot be shuffled")
        for field in (
            "triplet_margin",
            "triplet_weight",
            "classification_weight",
            "f_divergence_weight",
            "patch_shuffling_weight",
            "patch_shuffling_margin",
        ):
            require(getattr(self, field) >= 0, field, getattr(self, field), "0 or more")
        require(
            self.temperature is None or self.temperature > 0,
            "temperature",
            self.temperature,
            "above 0 or None",
        )
