"""Configuration of DP-CLIP."""

from typing import ClassVar, Literal

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class DpClipConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `DpClipModel`: Dual-Modal Prompting for Sketch-Based Image Retrieval (Gao et al., 2024).

    Args:
        visual_prompts (`str`):
            `"support"`: prompts made from a category's support set. `"common"`: the learned embeddings alone, the
            same for every category. `"none"`: no prompts.
        n_prompts (`int`): visual prompts in each layer; 3 in the reference code.
        prompt_dropout (`float`): dropout of the learned embeddings in training; 0.1 in the reference code.
        support_sketches, support_photos (`int`): size of a support set; 1 and 2 in paper and reference code.
        rank (`int`): r of the low-rank branches beside every vision layer; 16 in the paper's main results, 0 for none.
        text_scaling (`bool`): scale the branches' channels by the category's text.
        scale_hidden (`int`, *optional*):
            Hidden width of the MLPs from text to scales; None for the width of the text features (512 in the
            reference code).
        text_dim (`int`, *optional*): width of a category's text features; None for the CLIP's.
        text_templates (`str`):
            Sentences about a category whose features are averaged: `"ensemble"` (the reference code's 63) or
            `"class_prompt"` (that one alone).
        local_parts (`int`): windows that are matched beside the whole image: 4, or 0 for none.
        local_distance_weight (`float`): weight of each window in the distance; 0.2 in the reference code.
        trainable (`str`):
            `"paper"`: the method's own parameters and the vision tower's LayerNorms. `"reference"`: also
            everything that the published code does not freeze: the class and position embeddings, the projections,
            the packed query, key and value projections of the text tower and of the windows' block, the text tower's
            LayerNorms and `logit_scale`.
        own_local_block (`bool`):
            Whether the block for windows has its own weights, as in a converted checkpoint. Otherwise its frozen
            weights are those of the vision tower's last block, of which it is a copy.
        margin (`float`): of both triplet losses; 0.15 in the reference code.
        local_loss_weight (`float`): weight of each window in the losses; 0.1 in the reference code.
        hard_weight_step, hard_weight_every (`float`, `int`):
            Every `hard_weight_every` epochs the weight moves by `hard_weight_step` from random to hard negatives;
            10 and 0.25 in the reference code. A step of 0 keeps random negatives.

    Example:
        ```python
        config = DpClipConfig(rank=8, local_parts=0)
        model = DpClipModel.from_base_model("openai/clip-vit-base-patch32", rank=8, local_parts=0)
        ```
    """

    model_type = "dp-clip"
    at_least: ClassVar[dict[str, float]] = {
        "n_prompts": 1,
        "support_sketches": 0,
        "support_photos": 0,
        "rank": 0,
        "local_distance_weight": 0,
        "margin": 0,
        "local_loss_weight": 0,
        "hard_weight_step": 0,
        "hard_weight_every": 1,
    }

    visual_prompts: Literal["support", "common", "none"] = "support"
    n_prompts: int = 3
    prompt_dropout: float | int = 0.1
    support_sketches: int = 1
    support_photos: int = 2
    rank: int = 16
    text_scaling: bool = True
    scale_hidden: int | None = None
    text_dim: int | None = None
    text_templates: Literal["ensemble", "class_prompt"] = "ensemble"
    local_parts: Literal[0, 4] = 4
    local_distance_weight: float | int = 0.2
    trainable: Literal["paper", "reference"] = "paper"
    own_local_block: bool = False
    margin: float | int = 0.15
    local_loss_weight: float | int = 0.1
    hard_weight_step: float | int = 0.25
    hard_weight_every: int = 10

    def check_values(self) -> None:
        """Raise ValueError for values outside their range, or that do not fit together."""
        require(0 <= self.prompt_dropout < 1, "prompt_dropout", self.prompt_dropout, "0 or more and below 1")
        require(
            self.support_sketches + self.support_photos >= 1,
            "support_photos",
            self.support_photos,
            "at least 1 where support_sketches is 0",
        )
        for field in ("scale_hidden", "text_dim"):
            value = getattr(self, field)
            require(value is None or value >= 1, field, value, "at least 1 or None")
        require(
            self.trainable == "paper" or self.own_local_block or not self.local_parts,
            "own_local_block",
            self.own_local_block,
            "true where trainable='reference', which trains that block",
        )
