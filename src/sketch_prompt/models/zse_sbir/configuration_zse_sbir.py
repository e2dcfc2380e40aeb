"""Configuration of ZSE-SBIR."""

from typing import ClassVar, Literal

from transformers import CLIPConfig, CLIPVisionConfig

from ..configuration_base import SketchPromptPreTrainedConfig, require, strict


@strict
class ZseSbirConfig(SketchPromptPreTrainedConfig):
    r"""Configuration of `ZseSbirModel`: Zero-Shot Everything SBIR, and in Explainable Style (Lin et al., CVPR 2023).

    Args:
        backbone (`str`):
            The self attention. `"clip"`: the frozen CLIP's vision tower; the tokenizer, deep prompts, cross attention
            and relation network train. `"vit"`: the reference code's vision transformer, which trains completely;
            then there is no CLIP, and no text.
        vision_config (`CLIPVisionConfig`, *optional*): architecture of that transformer; ViT-B/16 by default.
        tokenizer_domains (`str`):
            Whose patches the learned tokenizer sees: `"sketch"` (paper), `"both"` (reference code) or `"none"`.
        tokenizer_channels (`list[int]`):
            Channels after each of its convolutions but the last, which has the tower's width. There is one convolution
            for each halving of the image on the way to the patch grid; a list that is too long is cut.
        tokenizer_fusion (`str`):
            `"average"` of patch embedding and tokenizer (paper, reference code); `"add"` adds a tokenizer that starts
            at zero, so that at first a frozen tower gets its usual tokens (ours, for `backbone="clip"`).
        n_prompts (`int`): number of deep prompts in each layer for sketches, and also for photos (`backbone="clip"`).
        prompt_init_std (`float`): standard deviation of their normal initialisation.
        tune_layer_norms (`bool`): also train copies of the CLIP's vision LayerNorms.
        keep_rates (`list[float]`, *optional*):
            Token selection: the share of the patches kept after each layer; the class token attends to them most.
            None keeps all.
        cross_heads (`int`), cross_ffn (`int`): heads and feed-forward width of the cross attention.
        relation_channels (`int`): width of the anchors that the relation network compares.
        relation_layout (`str`):
            `"grid"`: its convolution sees the tokens at the places of their patches. `"reference"`: the reference
            code reads the (P, d) token matrix as (d, g, g), which scrambles space and channels; converted checkpoints
            need it.
        relation_pairs (`str`):
            Which pairs the relation loss sees. `"triplets"`: each sketch with its photo and with its negative (paper).
            `"batch"`: also each sketch with every photo of the batch, those that match and those that do not counting
            half each (ours). Photos match by class, or by instance if negatives have the class of the sketch.
        mismatched_sketch (`str`):
            The sketch that is paired with the negative: the triplet's `"own"` (paper), or a `"second"` one of its
            class (reference code).
        pair_score (`str`):
            What a pair is scored by. `"relation"`: the relation score, rn. `"class"`: minus the distance of the two
            class tokens after the cross attention, which the triplet loss trains, at a small part of the cost (ours).
        dropout (`float`): in the cross attention and the relation network, while training; 0.1 in the reference code.
        vision_dropout (`float`):
            In the vision transformer of `backbone="vit"`, while training: of its tokens, after attention, and twice in
            each MLP. 0.1 in the reference code.
        cross_init (`str`):
            How the cross attention starts. `"zero"`: both residual branches add nothing at first, so that a new model
            compares the tower's own tokens (ours). `"clones"`: queries, keys, values and output share one draw, and
            both modalities start alike, as in the reference code.
        rerank_weight (`float`, *optional*):
            w of re-ranking: the first photos of a search are sorted by ret + w logit(rn), where ret is the similarity
            of the embeddings and rn the relation score (ours), or with `pair_score="class"` by ret + w times that
            score. Training chooses it on held-out seen classes. None sorts them by the pair's score alone.
        triplet_margin (`float`), triplet_weight (`float`): of the triplet loss on class tokens; paper: 1 and 2.
        relation_weight (`float`): of the relation scores' mean squared error; paper: 4.

    Example:
        ```python
        config = ZseSbirConfig(n_prompts=8, keep_rates=[1.0] * 11 + [0.7])
        model = ZseSbirModel.from_base_model("openai/clip-vit-base-patch32", n_prompts=8)
        ```
    """

    model_type = "zse-sbir"
    at_least: ClassVar[dict[str, float]] = {
        "n_prompts": 0,
        "prompt_init_std": 0,
        "cross_heads": 1,
        "cross_ffn": 1,
        "relation_channels": 1,
        "vision_dropout": 0,
        "rerank_weight": 0,
        "triplet_margin": 0,
        "triplet_weight": 0,
        "relation_weight": 0,
    }
    sub_configs_defaults: ClassVar[dict] = {"clip_config": CLIPConfig, "vision_config": CLIPVisionConfig}

    backbone: Literal["clip", "vit"] = "clip"
    vision_config: dict | CLIPVisionConfig | None = None
    tokenizer_domains: Literal["sketch", "both", "none"] = "sketch"
    tokenizer_channels: list[int] | None = None
    tokenizer_fusion: Literal["average", "add"] = "add"
    n_prompts: int = 4
    prompt_init_std: float | int = 0.02
    tune_layer_norms: bool = False
    keep_rates: list[float | int] | None = None
    cross_heads: int = 8
    cross_ffn: int = 1024
    relation_channels: int = 512
    relation_layout: Literal["grid", "reference"] = "grid"
    relation_pairs: Literal["triplets", "batch"] = "triplets"
    mismatched_sketch: Literal["own", "second"] = "own"
    pair_score: Literal["relation", "class"] = "relation"
    dropout: float | int = 0.0
    vision_dropout: float | int = 0.0
    cross_init: Literal["zero", "clones"] = "zero"
    rerank_weight: float | int | None = 0.02
    triplet_margin: float | int = 1.0
    triplet_weight: float | int = 2.0
    relation_weight: float | int = 4.0

    def __post_init__(self, **kwargs):
        if self.tokenizer_channels is None:
            self.tokenizer_channels = [64, 128, 256, 512]
        if self.backbone == "vit":
            fields = self.vision_config or {"patch_size": 16, "hidden_act": "gelu"}
            self.vision_config = (
                fields if isinstance(fields, CLIPVisionConfig) else CLIPVisionConfig(**fields)
            )
        super().__post_init__(**kwargs)

    @property
    def uses_clip(self) -> bool:
        """Whether there is a CLIP under the adapter."""
        return self.backbone == "clip"

    @property
    def tower_config(self) -> CLIPVisionConfig:
        """Architecture of the vision tower, of either backbone."""
        return self.clip_config.vision_config if self.uses_clip else self.vision_config

    def check_values(self) -> None:
        """Raise ValueError for a dropout or keep rate outside its range."""
        for name in ("dropout", "vision_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 or more, and below 1")
        require(
            not (self.vision_dropout and self.uses_clip),
            "vision_dropout",
            self.vision_dropout,
            'given with backbone="vit" only: a frozen CLIP drops nothing',
        )
        rates = self.keep_rates or []
        require(all(0 < rate <= 1 for rate in rates), "keep_rates", rates, "shares above 0, up to 1")
