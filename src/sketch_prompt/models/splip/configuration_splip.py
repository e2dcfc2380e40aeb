"""Configuration of SpLIP."""

from typing import Any, ClassVar, Literal

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict
from .jigsaw import MAX_PERMUTATIONS


@strict
class SplipConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SplipModel`: Elevating All Zero-Shot SBIR Through Multimodal Prompt Learning (ECCV 2024).

    A value of 0 (or False) removes a module, and a weight of 0 removes a loss. Modules that would then have no effect
    are not built. The code of the paper is not published. "Ours" marks what the paper does not specify. `choices`
    lists these fields in the model card.

    Args:
        sketch_prompt (`str`): the sentence for the class of a sketch, "sketch of a {}" in the paper.
        photo_prompt (`str`): the sentence for the class of a photo, "photo of a {}" in the paper.
        class_prompt (`str`): ours: the sentence for class texts in the adaptive margin.
        n_text_prompts (`int`): m = 4 tokens that B_t computes from patches for each text layer. 0 removes B_t.
        text_prompt_placement (`str`):
            Ours: the tokens of B_t are between the start token and the words (`"precede"`), or `"replace"` the same
            number of words before the class, of which there must be enough. In other texts they always precede.
        prompt_depth (`int`, *optional*):
            Number of layers of each tower with their own prompts, from the first. Later layers get the outputs of the
            last prompts. None for all layers, as in the paper.
        text_prompt_source (`str`):
            The input of B_t. `"mean"`: the mean patches, so that prompts are computed once (ours). `"image"`: the
            patches of the image itself, as in the figure of the paper. Each image then has its own V^ms, which costs a
            pass of the text tower over `image_prompt_classes` sentences. Class texts use the mean patches in any case.
        image_prompt_classes (`int`):
            Ours: number of seen classes, at equal distances in their list, for the V^ms of an image.
        prompt_init (`str`):
            Ours: `"mappings"`: visual prompts are the outputs of the mappings. `"mean_token"`: a learned vector is
            added to those of each layer. It starts as the mean token of the layer, since the class token hardly
            attends to the prompts of middle layers otherwise.
        text_guided_prompts (`bool`): whether B_v computes V^tg from the words before the class.
        n_semantic_prompts (`int`):
            n = 2 tokens V^ms_l that B_vt computes from the layers of the text tower. 0 removes B_vt.
        layer_norms (`str`): ours: the LayerNorms to train: of `"both"` towers, of the `"vision"` tower, or `"none"`.
        patch_mean_momentum (`float`, *optional*):
            Ours: B_t sees the mean patches of the batch in training and their running mean afterwards, so that
            embeddings do not depend on the batch. None weighs all images equally. A number is the minimum weight of a
            batch.
        mapping_hidden_size (`int`): ours: hidden width of B_t and of the B_vt of each layer.
        text_readout (`str`):
            Ours: the input of B_vt from a sentence in each text layer: its `"end"`-of-text token, which attends to all
            others, or the `"mean"` of its tokens.
        class_aggregation (`str`): ours: B_vt uses the `"mean"` of the classes, or the `"max"` of each feature.
        triplet_weight (`float`): weight of the triplet loss; 1 in the paper.
        adaptive_margin (`bool`): the margin is the cosine of the texts of the two classes; otherwise `fixed_margin`.
        margin_text (`str`):
            Ours: the class texts for the margin: those of the `"frozen"` CLIP, which do not change, or the
            `"prompted"` ones of photos in the current step.
        least_margin (`float`, *optional*):
            Ours: minimum of the adaptive margin. None uses the cosines without a minimum. With some CLIPs they are
            around 0 or negative. The log has statistics of the margins.
        fixed_margin (`float`):
            The margin without `adaptive_margin`, 0.2 in the comparison of the paper. Ours: also used if the class of
            the negative is not given.
        same_class_margin (`float`):
            Ours: the adaptive margin if both photos are of the same class (fine-grained). The cosine of a text with
            itself is 1.
        classification_weight (`float`): alpha, weight of the two classification losses, of sketches and of photos.
        classify_negatives (`bool`):
            Whether the negative photo also has a classification loss, as in the figure of the paper. Checkpoints of
            versions without this field were trained without it.
        temperature (`float`, *optional*): temperature of the classification losses; None for that of the CLIP.
        jigsaw_weight (`float`): beta, weight of the conditional cross-modal jigsaw.
        n_permutations (`int`): ours: number of permutations, up to 72.
        solver_heads (`int`): ours: number of attention heads in the two layers of the jigsaw solver.
        solver_feedforward (`int`): ours: feed-forward width of these layers.
        patch_shuffling_weight (`float`):
            Weight of the patch shuffling loss of CLIP-AT, which the paper compares with the jigsaw. 0 for SpLIP.
        patch_shuffling_tiles, patch_shuffling_margin (`int`, `float`): fields of this loss; see `ClipAtConfig`.

    Example:
        ```python
        config = SplipConfig(n_text_prompts=2, jigsaw_weight=0.5)
        model = SplipModel.from_base_model("openai/clip-vit-base-patch32", n_text_prompts=2, jigsaw_weight=0.5)
        ```
    """

    model_type = "splip"
    at_least: ClassVar[dict[str, float]] = {
        "n_text_prompts": 0,
        "n_semantic_prompts": 0,
        "fixed_margin": 0,
        "same_class_margin": 0,
        "triplet_weight": 0,
        "classification_weight": 0,
        "jigsaw_weight": 0,
        "mapping_hidden_size": 1,
        "n_permutations": 2,
        "solver_heads": 1,
        "solver_feedforward": 1,
        "image_prompt_classes": 1,
        "patch_shuffling_weight": 0,
        "patch_shuffling_tiles": 2,
        "patch_shuffling_margin": 0,
    }
    before_there_was_a_choice: ClassVar[dict[str, Any]] = {"classify_negatives": False}
    choices: ClassVar[dict[str, str]] = {
        "classification_weight": "alpha, which the paper finds by grid search but does not report",
        "jigsaw_weight": "beta, which the paper finds by grid search but does not report",
        "patch_mean_momentum": "B_t sees the mean patches of the batch in training and their running mean afterwards "
        "(null: the mean of all training images), so that embeddings do not depend on the batch",
        "mapping_hidden_size": "hidden width of B_t (three linear layers) and of B_vt (two for each text layer)",
        "text_readout": "the token of a class's sentence that B_vt reads in each text layer",
        "class_aggregation": "how B_vt combines the classes",
        "text_prompt_placement": "whether the tokens of B_t precede the words or replace some of them",
        "least_margin": "minimum of the adaptive margin (null: no minimum)",
        "layer_norms": "the towers whose LayerNorms are trained",
        "margin_text": "the class texts that the adaptive margin compares",
        "class_prompt": "the sentence for these class texts",
        "same_class_margin": "the margin between photos of one class (fine-grained), whose texts have the cosine 1",
        "temperature": "temperature of the classification losses (null: that of the CLIP)",
        "n_permutations": "number of 3 x 3 permutations; at most 72 differ pairwise in at least 8 of 9 tiles",
        "text_prompt_source": "whether B_t sees mean patches, or those of each image as in the paper's figure",
        "prompt_init": "whether visual prompts start at the mean token of each layer",
        "solver_heads": "attention heads of the jigsaw solver",
        "solver_feedforward": "feed-forward width of the jigsaw solver",
    }

    sketch_prompt: str = "sketch of a {}"
    photo_prompt: str = "photo of a {}"
    n_text_prompts: int = 4
    text_prompt_placement: Literal["precede", "replace"] = "precede"
    prompt_depth: int | None = None
    text_guided_prompts: bool = True
    n_semantic_prompts: int = 2
    layer_norms: Literal["both", "vision", "none"] = "both"
    patch_mean_momentum: float | int | None = None
    mapping_hidden_size: int = 64
    text_readout: Literal["end", "mean"] = "end"
    class_aggregation: Literal["mean", "max"] = "mean"
    triplet_weight: float | int = 1.0
    adaptive_margin: bool = True
    margin_text: Literal["frozen", "prompted"] = "frozen"
    least_margin: float | int | None = None
    fixed_margin: float | int = 0.2
    same_class_margin: float | int = 1.0
    classification_weight: float | int = 1.0
    classify_negatives: bool = True
    temperature: float | int | None = None
    jigsaw_weight: float | int = 1.0
    n_permutations: int = MAX_PERMUTATIONS
    solver_heads: int = 4
    solver_feedforward: int = 512
    text_prompt_source: Literal["mean", "image"] = "mean"
    image_prompt_classes: int = 16
    prompt_init: Literal["mappings", "mean_token"] = "mappings"
    patch_shuffling_weight: float | int = 0.0
    patch_shuffling_tiles: int = 2
    patch_shuffling_margin: float | int = 0.3

    @property
    def uses_text_tower(self) -> bool:
        """Whether anything uses the output of the prompted text tower; otherwise B_t is not built."""
        return self.n_semantic_prompts > 0 or self.classification_weight > 0

    def check_values(self) -> None:
        """Raise ValueError for values that do not fit together."""
        for field in ("sketch_prompt", "photo_prompt"):
            value = getattr(self, field)
            sentence = value.count("{}") == 1 and not value.startswith("{}")
            require(sentence, field, value, "words followed by '{}' where the class name goes")
        size = self.n_permutations
        require(size <= MAX_PERMUTATIONS, "n_permutations", size, f"at most {MAX_PERMUTATIONS}")
        if self.margin_text == "prompted":
            require(
                self.uses_text_tower,
                "margin_text",
                "prompted",
                "'frozen' where nothing prompts the text tower",
            )
        if self.text_prompt_source == "image":
            both = min(self.n_text_prompts, self.n_semantic_prompts) > 0
            require(both, "text_prompt_source", "image", "'mean' without both B_t and B_vt")
        if self.prompt_init == "mean_token":
            visual = self.text_guided_prompts or self.n_semantic_prompts > 0
            require(visual, "prompt_init", "mean_token", "'mappings' without visual prompts")
        depth = self.prompt_depth
        require(depth is None or depth >= 1, "prompt_depth", depth, "at least 1 or None")
        momentum, temperature = self.patch_mean_momentum, self.temperature
        allowed = momentum is None or 0 < momentum <= 1
        require(allowed, "patch_mean_momentum", momentum, "above 0 and at most 1, or None")
        require(temperature is None or temperature > 0, "temperature", temperature, "above 0 or None")
