"""Configuration of SpLIP."""

from typing import Any, ClassVar, Literal

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict
from .jigsaw import MAX_PERMUTATIONS


@strict
class SplipConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `SplipModel`: Elevating All Zero-Shot SBIR Through Multimodal Prompt Learning (ECCV 2024).

    The value 0 (or False) leaves a module out, the weight 0 a loss; modules that would then have no effect are not
    built. There is no code of the paper. Where the paper is silent the docstring says "ours", and `choices` lists
    the choice in the model card.

    Args:
        sketch_prompt (`str`): the sentence of a sketch's class, "sketch of a {}" in the paper.
        photo_prompt (`str`): the sentence of a photo's class, "photo of a {}" in the paper.
        class_prompt (`str`): ours: the sentence in which the adaptive margin compares two classes.
        n_text_prompts (`int`): m = 4 tokens that B_t makes from patches for each text layer; 0 leaves B_t out.
        text_prompt_placement (`str`):
            Ours: B_t's tokens stand between the start token and the words (`"precede"`), or `"replace"` as many of
            the words before the class, of which there must be enough; texts other than the classes' are preceded.
        prompt_depth (`int`, *optional*):
            How many layers of each tower get prompts of their own, from the first; later layers go on with what has
            become of them. None for all, as in the paper.
        text_prompt_source (`str`):
            What B_t sees. `"mean"`: the mean patches, so that prompts are computed once (ours). `"image"`: the patches
            of the image itself, as in the paper's figure; V^ms then is of each image, and every image costs a pass of
            the text tower over `image_prompt_classes` sentences. Class texts are under the mean patches either way.
        image_prompt_classes (`int`):
            Ours: of how many seen classes, evenly spread over their list, an image's own V^ms is made.
        prompt_init (`str`):
            Ours: `"mappings"`: visual prompts are what the mappings give. `"mean_token"`: to those of each layer a
            learned vector is added that starts as the layer's mean token, without which the class token hardly
            attends to prompts of middle layers.
        text_guided_prompts (`bool`): whether B_v makes V^tg from the words before the class.
        n_semantic_prompts (`int`):
            n = 2 tokens V^ms_l that B_vt makes from the text tower's layers; 0 leaves B_vt out.
        layer_norms (`str`): ours: which LayerNorms train: of `"both"` towers, of the `"vision"` tower, or `"none"`.
        patch_mean_momentum (`float`, *optional*):
            Ours: B_t sees the mean patches of the batch in training and their running mean afterwards, so that no
            embedding depends on its batch. None weighs all images equally; a number is the minimal weight of a batch.
        mapping_hidden_size (`int`): ours: width of the hidden layer of B_t and of every layer's B_vt.
        text_readout (`str`):
            Ours: what B_vt reads of a sentence in each text layer: its `"end"`-of-text token, which attends to all
            others, or the `"mean"` of its tokens.
        class_aggregation (`str`): ours: how B_vt combines the classes: their `"mean"`, or the `"max"` of each feature.
        triplet_weight (`float`): weight of the triplet loss; 1 in the paper.
        adaptive_margin (`bool`): the margin is the cosine of the two classes' texts; otherwise `fixed_margin`.
        margin_text (`str`):
            Ours: which class texts the margin compares: those of the `"frozen"` CLIP, which do not change, or the
            `"prompted"` ones of photos at that step.
        least_margin (`float`, *optional*):
            Ours: an adaptive margin is at least this; None takes the cosines as they are, which with some CLIPs are
            around 0 or negative. The log has the margins' statistics.
        fixed_margin (`float`):
            The margin where it does not adapt, 0.2 in the paper's comparison. Ours: also where the negative's class
            is not given.
        same_class_margin (`float`):
            Ours: the adaptive margin if both photos are of the same class (fine-grained); 1 is the cosine of a text
            with itself.
        classification_weight (`float`): alpha, weight of the two classification losses, of sketches and of photos.
        classify_negatives (`bool`):
            Whether the negative photo has a classification loss too, as in the paper's figure. A checkpoint that was
            saved before there was a choice was trained without.
        temperature (`float`, *optional*): temperature of the classification losses; None for that of the CLIP.
        jigsaw_weight (`float`): beta, weight of the conditional cross-modal jigsaw.
        n_permutations (`int`): ours: size of the permutation bank, up to 72.
        solver_heads (`int`): ours: attention heads of the jigsaw solver's two layers.
        solver_feedforward (`int`): ours: their feed-forward width.
        patch_shuffling_weight (`float`):
            Weight of CLIP-AT's patch shuffling loss, which the paper compares the jigsaw with; not part of SpLIP.
        patch_shuffling_tiles, patch_shuffling_margin (`int`, `float`): of that loss, see `ClipAtConfig`.

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
