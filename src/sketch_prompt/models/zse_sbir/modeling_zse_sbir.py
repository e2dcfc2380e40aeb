"""ZSE-SBIR: Zero-Shot Everything Sketch-Based Image Retrieval, and in Explainable Style (Lin et al., CVPR 2023).

The strokes of a sketch cross the borders of patches, so its tokens come from a convolutional pyramid with overlapping
windows (learned tokenizer). The tokens of an image attend to each other in a vision transformer (self attention),
which may drop those with the least attention of the class token (token selection). Then the tokens of a sketch and of
a photo attend to each other (cross attention), and a relation network turns the cosines between their patches into a
single score. The class token after the self attention is an embedding that can be indexed (`ret` in the paper). The
relation score ranks pairs (`rn`). Here the self attention is a frozen CLIP with deep prompts, or the transformer of
the reference code.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionModel

from ... import losses
from ...explain import patch_similarity
from ..modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from ..outputs import TripletBatch
from ..prompted_clip import VISION_LAYER_NORMS, TowerOutput, encode_vision, project_image
from .configuration_zse_sbir import ZseSbirConfig
from .matching import PairMatcher, Prepared
from .vision_transformer import VisionTransformer

_DOMAINS = ("sketch", "photo")
_LEAST_SCORE = 1e-6


class LearnedTokenizer(nn.Module):
    """A pyramid of convolutions from the image to the patch grid: 7 x 7, then 3 x 3, with stride 2 and ReLU between.

    If the patch size is not a power of two, a last convolution has the remaining odd factor as its stride.

    Args:
        patch_size: Patch size of the tower.
        channels: Channels after each convolution but the last.
        width: Width of the tower's tokens, the channels after the last convolution.
        fusion: `"average"` or `"add"`, see `ZseSbirConfig`.

    Raises:
        ValueError: There are fewer channels than convolutions.
    """

    def __init__(self, patch_size: int, channels: list[int], width: int, fusion: str):
        super().__init__()
        self.patch_size = patch_size
        strides = []
        while patch_size % 2 == 0:
            strides.append(2)
            patch_size //= 2
        if patch_size > 1:
            strides.append(patch_size)
        if len(channels) < len(strides) - 1:
            raise ValueError(f"tokenizer_channels must have {len(strides) - 1} numbers, got {channels}")
        widths = [3, *channels[: len(strides) - 1], width]
        kernels = [max(7, 2 * strides[0] - 1), *(2 * stride - 1 for stride in strides[1:])]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
            for before, after, kernel, stride in zip(widths, widths[1:], kernels, strides)
        )
        self.fusion = fusion
        if fusion == "add":
            nn.init.zeros_(self.convolutions[-1].weight)

    def forward(self, pixel_values: Tensor, patches: Tensor) -> Tensor:
        """(B, 3, H, W) and their patch embeddings (B, d, g, g) -> (B, d, g, g)"""
        # The tower ignores a border narrower than a patch.
        height, width = (self.patch_size * count for count in patches.shape[-2:])
        hidden = self.convolutions[0](pixel_values[..., :height, :width])
        for convolution in self.convolutions[1:]:
            hidden = convolution(F.relu(hidden))
        return (patches + hidden) / 2 if self.fusion == "average" else patches + hidden


class ZseSbirAdapter(MethodAdapter):
    """Tokenizer, deep prompts or the vision transformer, and the matcher of pairs."""

    def __init__(self, config: ZseSbirConfig):
        super().__init__()
        tower = config.tower_config
        self.tokenizer: LearnedTokenizer | None = None
        if config.tokenizer_domains != "none":
            self.tokenizer = LearnedTokenizer(
                tower.patch_size, config.tokenizer_channels, tower.hidden_size, config.tokenizer_fusion
            )
        self.vision = None if config.uses_clip else VisionTransformer(tower, config.vision_dropout)
        self.prompts: nn.ParameterDict | None = None
        if config.uses_clip and config.n_prompts:
            shape = tower.num_hidden_layers, config.n_prompts, tower.hidden_size
            self.prompts = nn.ParameterDict(
                {name: nn.Parameter(torch.randn(shape) * config.prompt_init_std) for name in _DOMAINS}
            )
        self.matcher = PairMatcher(tower.hidden_size, tower.image_size // tower.patch_size, config)


@dataclass
class PairEvidence:
    """How a model compared a sketch with a photo, each with P = g x g patches, row by row.

    Attributes:
        score: The relation score, 0 to 1.
        sketch_tokens, photo_tokens: (P, d) the patches after the cross attention. Dropped patches are zero.
        sketch_kept, photo_kept: (P,) whether token selection kept the patch.
        sketch_attention: (P, P) attention of each sketch patch to each photo patch, the mean over heads.
        photo_attention: (P, P) attention of each photo patch to each sketch patch.
        cosines: (A, A) similarity of the anchors of sketch and photo, each for 2 x 2 patches.
        relation_weights: (A, A) contribution of each of these similarities to the logit of the score, to first order.
    """

    score: float
    sketch_tokens: Tensor
    photo_tokens: Tensor
    sketch_kept: Tensor
    photo_kept: Tensor
    sketch_attention: Tensor
    photo_attention: Tensor
    cosines: Tensor
    relation_weights: Tensor


class ZseSbirModel(SketchPromptPreTrainedModel):
    """ZSE-SBIR; see the docstring of the module, `ZseSbirConfig` and the base class.

    `get_*_features` are the class tokens of the self attention (`ret`), `score_pairs` the relation scores (`rn`).

    Example:
        ```python
        model = ZseSbirModel.from_pretrained("mini-zse-sbir")
        sketches, photos = model.encode_tokens(sketch, "sketch"), model.encode_tokens(photo, "photo")
        scores = model.score_pairs(sketches, photos)
        ```
    """

    config_class = ZseSbirConfig
    paper_text = (
        "ZSE-SBIR: the tokens of a sketch and of a photo attend to each other, and a network scores the pair. "
        "Lin et al., [*Zero-Shot Everything Sketch-Based Image Retrieval, and in Explainable Style*]"
        "(https://arxiv.org/abs/2303.14348), CVPR 2023."
    )
    bibtex = """\
@inproceedings{lin2023zero,
  title = {Zero-Shot Everything Sketch-Based Image Retrieval, and in Explainable Style},
  author = {Lin, Fengyin and Li, Mingkang and Li, Da and Hospedales, Timothy and Song, Yi-Zhe and Qi, Yonggang},
  booktitle = {CVPR},
  year = {2023}
}"""
    usage_text = """\
# scores of pairs (rn)
sketch_tokens = model.encode_tokens(inputs.sketch_pixel_values, "sketch")
photo_tokens = model.encode_tokens(inputs.photo_pixel_values, "photo")
scores = model.score_pairs(sketch_tokens, photo_tokens)
"""
    has_reranker = True
    backbone_weights = ("adapter.vision.",)  # the vision transformer that replaces the CLIP
    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {"triplet": ("negatives",), "relation": ("negatives",)}

    def tuned_modules(self, config: ZseSbirConfig) -> str | None:
        """LayerNorms of the vision tower, if the configuration says so."""
        return VISION_LAYER_NORMS if config.uses_clip and config.tune_layer_norms else None

    def build_adapter(self, config: ZseSbirConfig) -> ZseSbirAdapter:
        """New tokenizer, prompts (or transformer), cross attention and relation network."""
        return ZseSbirAdapter(config)

    @classmethod
    def from_base_model(
        cls, base_model: str, *, config: ZseSbirConfig | None = None, **kwargs
    ) -> "ZseSbirModel":
        """Create a model on a pretrained tower, ready to train.

        Args:
            base_model: Hub id, folder or bundled name of a CLIP. With `backbone="vit"`, those of a ViT or a file with
                its weights, with which the transformer starts; see `vit_weights.read_vit`.
            config, kwargs: As in `SketchPromptPreTrainedModel.from_base_model`.
        """
        if (kwargs.get("backbone", "clip") if config is None else config.backbone) == "clip":
            return super().from_base_model(base_model, config=config, **kwargs)
        dtype, revision = kwargs.pop("dtype", torch.float32), kwargs.pop("revision", None)
        attn_implementation = kwargs.pop("attn_implementation", None)
        vision = VisionTransformer.from_vit(base_model, revision=revision)
        # The transformer trains, so nothing is read from here again.
        name = Path(base_model).name if Path(base_model).is_file() else str(base_model)
        config = cls._new_config(name, revision, config, kwargs)
        config.vision_config = vision.config
        model = cls(config)
        model.adapter.vision.load_state_dict(vision.state_dict())
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model.to(dtype)

    def _encode(self, pixel_values: Tensor, domain: str, output_attentions: bool = False) -> TowerOutput:
        if domain not in _DOMAINS:
            raise ValueError(f"domain must be 'sketch' or 'photo', not {domain!r}")
        adapter = self.adapter
        tokenized = self.config.tokenizer_domains in (domain, "both")
        prompts = None if adapter.prompts is None else list(adapter.prompts[domain])
        return encode_vision(
            self._tower,
            pixel_values,
            prompts,
            tokenizer=adapter.tokenizer if tokenized else None,
            keep_rates=self.config.keep_rates,
            output_tokens=True,
            output_attentions=output_attentions,
        )

    @property
    def _tower(self) -> CLIPVisionModel:
        return self.adapter.clip.vision_model if self.clip is not None else self.adapter.vision

    def encode_tokens(self, pixel_values: Tensor, domain: str) -> Tensor:
        """Tokens after the self attention, class token first.

        Args:
            pixel_values: (B, 3, H, W)
            domain: `"sketch"` or `"photo"`.

        Returns:
            (B, 1 + P, d). The rows of patches that token selection dropped are zero.
        """
        out = self._encode(pixel_values, domain)
        n = self._tower.embeddings.num_patches if out.kept is None else out.kept.shape[1]
        tokens = self._tower.post_layernorm(out.last_hidden_state[:, : 1 + n])
        if out.kept is None:
            return tokens
        full = tokens.new_zeros(tokens.shape[0], self._tower.embeddings.num_patches, tokens.shape[-1])
        full = full.scatter(1, out.kept[..., None].expand_as(tokens[:, 1:]), tokens[:, 1:])
        return torch.cat([tokens[:, :1], full], dim=1)

    def pool_tokens(self, tokens: Tensor, domain: str) -> Tensor:
        """The class token as an embedding (`ret`), projected as in CLIP if there is one: (B, D), L2-normalised."""
        pooled = tokens[:, 0]
        features = (
            F.normalize(pooled, dim=-1) if self.clip is None else project_image(self.adapter.clip, pooled)
        )
        return self.through_lens(features) if domain == "sketch" else features

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.pool_tokens(self.encode_tokens(pixel_values, "sketch"), "sketch")

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.pool_tokens(self.encode_tokens(pixel_values, "photo"), "photo")

    def prepare_pairs(self, tokens: Tensor, domain: str) -> Prepared:
        """Queries, keys and values of each image for the cross attention with other images."""
        asking = "class" if self.config.pair_score == "class" else "patches"
        return self.adapter.matcher.prepare(tokens, domain, asking)

    def score_prepared(self, sketches: Prepared, photos: Prepared) -> Tensor:
        """Relation scores (`rn`) of all pairs, (Ns, Np) in 0 to 1, block by block; or scores by `pair_score`."""
        return self.adapter.matcher.score(sketches, photos, self.config.pair_score)

    def fuse_scores(self, similarities: np.ndarray, pair_scores: np.ndarray) -> np.ndarray:
        """ret + w logit(rn), where w is `rerank_weight` of the configuration. Only rn if that is None."""
        weight = self.config.rerank_weight
        if weight is None:
            return pair_scores
        if self.config.pair_score == "class":
            return similarities + np.float32(weight) * pair_scores
        # A float32 sigmoid reaches 0 and 1, whose logits are infinite.
        certain = np.clip(np.asarray(pair_scores, np.float64), _LEAST_SCORE, 1 - _LEAST_SCORE)
        return (similarities + weight * np.log(certain / (1 - certain))).astype(np.float32)

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["ZseSbirModel", set[str]]:
        """Convert a checkpoint of the reference code; see the base class."""
        from .conversion_zse_sbir import convert

        return convert(state_dict)

    @property
    def loss_weights(self) -> dict[str, float]:
        """2 and 4 in the paper."""
        return {"triplet": self.config.triplet_weight, "relation": self.config.relation_weight}

    @property
    def needs_second_sketch(self) -> bool:
        """As in the training of the reference code, if the configuration says so."""
        return self.config.mismatched_sketch == "second"

    def whole_batch_needs(self) -> list[str]:
        """All pairs of a batch, if the relation loss uses them."""
        if self.config.relation_weight and self.config.relation_pairs == "batch":
            return ["the relation loss (relation_pairs='batch') pairs sketches and photos"]
        return []

    def process_triplets(
        self,
        batch: TripletBatch,
        terms: Collection[str],
        mismatched_sketch_pixel_values: Tensor | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed triplets and compute the losses `terms`; see the base class.

        Each sketch is compared with its photo and with its negative. Both losses are losses of pairs.

        Args:
            batch: The triplets. The losses need the negatives.
            terms: Names of the losses to compute.
            mismatched_sketch_pixel_values: (B, 3, H, W), sketches to compare with the negatives, of other classes than
                those, as in the reference code. The default is the sketches themselves.

        Raises:
            ValueError: The configuration needs such sketches, or labels, and they are missing.
        """
        if terms and self.needs_second_sketch and mismatched_sketch_pixel_values is None:
            raise ValueError("mismatched_sketch='second' needs mismatched_sketch_pixel_values")
        domains = ("sketch", "photo", "photo")
        tokens = [self.encode_tokens(part, domain) for part, domain in zip(batch.images, domains)]
        values = {}
        if terms:
            others = tokens[0]
            if mismatched_sketch_pixel_values is not None:
                others = self.encode_tokens(mismatched_sketch_pixel_values, "sketch")
            values = self.pair_losses(tokens[0], tokens[1], others, tokens[2])
            if "relation" in terms and self.config.relation_pairs == "batch":
                values["relation"] = self._relation_of_batch(
                    batch, tokens[0], tokens[1], values["mismatched"]
                )
        embeds = [self.pool_tokens(part, domain) for part, domain in zip(tokens, domains)]
        return embeds, {name: values[name] for name in terms}

    def pair_losses(
        self, sketches: Tensor, photos: Tensor, others: Tensor, negatives: Tensor
    ) -> dict[str, Tensor]:
        """Both losses, from tokens (B, 1 + P, d) of matching and mismatched pairs, and the mismatched scores.

        Args:
            sketches, photos: B pairs of the same class.
            others, negatives: B pairs of different classes.
        """
        n = len(sketches)
        pairs = self.adapter.matcher(torch.cat([sketches, others]), torch.cat([photos, negatives]))
        return {
            "triplet": losses.euclidean_triplet_loss(
                pairs.sketch_class[:n],
                pairs.photo_class[:n],
                pairs.photo_class[n:],
                self.config.triplet_margin,
            ),
            "relation": losses.relation_loss(pairs.scores[:n], pairs.scores[n:]),
            "mismatched": pairs.scores[n:],
        }

    def _relation_of_batch(
        self, batch: TripletBatch, sketches: Tensor, photos: Tensor, mismatched: Tensor
    ) -> Tensor:
        """The relation loss over this process's sketches and all photos, and the negatives' scores (B,)."""
        self.require_inputs(batch, ("labels",), "relation_pairs='batch'", "or relation_pairs='triplets'")
        names = batch.labels
        if batch.negative_labels is not None and bool((batch.negative_labels == batch.labels).all()):
            self.require_inputs(batch, ("instance_ids",), "relation_pairs='batch'", "or 'triplets'")
            names = batch.instance_ids
        everyone = self.of_whole_batch(names)
        scores = self.adapter.matcher.score_matrix(sketches, self.of_whole_batch(photos))
        scores = torch.cat([scores, mismatched[:, None]], dim=1)
        matches = F.pad(names[:, None] == everyone, (0, 1), value=False)
        n_matching = int((everyone[:, None] == everyone).sum())
        n_mismatched = len(everyone) * (len(everyone) + 1) - n_matching
        # The mean over the processes is the loss of the whole batch.
        share = len(everyone) // len(names)
        return share * losses.balanced_relation_loss(scores, matches, (n_matching, n_mismatched))

    @property
    def patch_size(self) -> int:
        """Side in pixels of the patches of an explanation."""
        return self.config.tower_config.patch_size

    def relate_patches(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor) -> Tensor:
        """How strongly the cross attention and the relation network connect the patches of a sketch and a photo.

        This is the similarity of two patches after the cross attention, times how much the similarity of their anchors
        adds to the relation score, relative to the strongest connection. The attention weights are not used: the
        values that a patch attends to are those of its own image (see `CrossAttention`), and on MiniSketch the
        patches with the highest weights show the same part hardly more often than chance. The reference code's
        layout scrambles the places of anchors, so with it only the similarity counts.

        Args:
            sketch_pixel_values, photo_pixel_values: (1, 3, H, W)

        Returns:
            (P, P) in 0 to 1.
        """
        evidence, matcher = self.pair_evidence(sketch_pixel_values, photo_pixel_values), self.adapter.matcher
        sides = (
            (evidence.sketch_tokens, evidence.sketch_kept),
            (evidence.photo_tokens, evidence.photo_kept),
        )
        # patches that were left out get the mean of the others, which makes them neutral
        tokens = [torch.where(kept[:, None], side, side[kept].mean(0)) for side, kept in sides]
        strength = patch_similarity(*tokens, *2 * [(matcher.grid, matcher.grid)]).relu()
        strength = strength * evidence.sketch_kept[:, None] * evidence.photo_kept
        if matcher.layout == "grid":
            anchors = matcher.anchor_of_patches()
            # a last row and column of patches that no anchor covers count nothing
            counts = F.pad(evidence.relation_weights.relu(), (0, 1, 0, 1))[anchors][:, anchors]
            strength = strength * counts
        return strength / strength.max().clamp_min(torch.finfo(strength.dtype).tiny)

    def pair_evidence(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor) -> PairEvidence:
        """The parts of the score of a sketch and a photo.

        Args:
            sketch_pixel_values, photo_pixel_values: (1, 3, H, W)
        """
        with torch.no_grad():
            sketch_tokens = self.encode_tokens(sketch_pixel_values, "sketch")
            photo_tokens = self.encode_tokens(photo_pixel_values, "photo")
            matcher = self.adapter.matcher
            sketch, photo = matcher.prepare(sketch_tokens, "sketch"), matcher.prepare(photo_tokens, "photo")
            looks = matcher.look("sketch", sketch, photo), matcher.look("photo", photo, sketch)
            cosines = matcher.cosines(*looks, sketch, photo)
        with torch.enable_grad():
            cosines.requires_grad_(True)
            score = matcher.relation(cosines)
            (slope,) = torch.autograd.grad(torch.logit(score).sum(), cosines)
        cosines = cosines.detach()[0]
        return PairEvidence(
            score=score.item(),
            sketch_tokens=matcher.spread(looks[0], sketch.get("places"))[0],
            photo_tokens=matcher.spread(looks[1], photo.get("places"))[0],
            sketch_kept=(sketch_tokens[0, 1:] != 0).any(-1),
            photo_kept=(photo_tokens[0, 1:] != 0).any(-1),
            sketch_attention=matcher.attention_map(sketch, photo),
            photo_attention=matcher.attention_map(photo, sketch),
            cosines=cosines,
            relation_weights=slope[0] * cosines,
        )
