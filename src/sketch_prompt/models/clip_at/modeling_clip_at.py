"""CLIP-AT: CLIP for All Things Zero-Shot Sketch-Based Image Retrieval (Sain et al., CVPR 2023).

Three prompt tokens teach a frozen CLIP what a sketch is, three more what a photo is (section 4.1). They are
appended to the image's patches once, at the input; besides them only LayerNorms train. A sketch is pulled to a
photo of its class and pushed from one of another (triplet loss), and both are held to the text of their class
(classification loss). At instance level (section 4.2) sketches and photos share one set of prompts, and a sketch
is pulled to its own photo and pushed from another of its class; classes are to be ranked alike (f-divergence), and
a sketch whose tiles are shuffled is to find its photo shuffled alike (patch shuffling). Where paper and reference
code differ, `ClipAtConfig` offers both by name.
"""

import torch
from torch import Tensor, nn

from ... import losses
from ...processing import Domain
from ..modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from ..outputs import ProcessedTriplets, TripletBatch
from ..prompted_clip import TowerOutput, encode_vision, patch_keys
from ..tiles import shuffle_tiles
from .configuration_clip_at import ClipAtConfig

_VISION_LAYER_NORMS = r"vision_model\.(pre_layrnorm|post_layernorm|encoder\.layers\.\d+\.layer_norm[12])"
_LEFT_TRAINABLE_BY_REFERENCE = (
    r"(vision|text)_model\.encoder\.layers\.\d+\.(layer_norm[12]|self_attn\.[qkv]_proj)"
    r"|vision_model\.(pre_layrnorm|post_layernorm)|text_model\.final_layer_norm"
    r"|(vision|text)_model\.embeddings\.position_embedding|visual_projection|text_projection"
)


class ClipAtAdapter(MethodAdapter):
    """Prompts for either modality, (n, d_v) each, drawn from N(0, `prompt_init_std`^2); or common ones."""

    def __init__(self, config: ClipAtConfig):
        super().__init__()
        width = config.clip_config.vision_config.hidden_size
        self.sketch_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        self.photo_prompts = self.sketch_prompts
        if not config.common_prompts:
            self.photo_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        # Bare parameters of the CLIP, which peft cannot copy as it copies modules.
        self.class_embedding: nn.Parameter | None = None
        self.logit_scale: nn.Parameter | None = None


class ClipAtModel(SketchPromptPreTrainedModel):
    """CLIP-AT; see the module's docstring, `ClipAtConfig` and the contract in the base class."""

    config_class = ClipAtConfig

    def tuned_modules(self, config: ClipAtConfig) -> str:
        """LayerNorms of the vision tower, or everything the reference code leaves trainable."""
        return _VISION_LAYER_NORMS if config.trainable == "paper" else _LEFT_TRAINABLE_BY_REFERENCE

    def build_adapter(self, config: ClipAtConfig) -> ClipAtAdapter:
        """New prompts; with `trainable="reference"` also copies of the CLIP's bare trainable parameters."""
        adapter = ClipAtAdapter(config)
        if config.trainable == "reference":
            adapter.class_embedding = nn.Parameter(
                self.clip.vision_model.embeddings.class_embedding.detach().clone()
            )
            adapter.logit_scale = nn.Parameter(self.clip.logit_scale.detach().clone())
        return adapter

    def is_backbone_weight(self, name: str) -> bool:
        """The class embedding and the logit scale are the CLIP's."""
        return name in ("adapter.class_embedding", "adapter.logit_scale")

    def _encode(self, pixel_values: Tensor, prompts: Tensor, **options) -> TowerOutput:
        self._activate()
        class_embedding = self.adapter.class_embedding
        return encode_vision(
            self.clip.vision_model, pixel_values, prompts, class_embedding=class_embedding, **options
        )

    def _embed(self, pixel_values: Tensor, prompts: Tensor) -> Tensor:
        tower = self._encode(pixel_values, prompts)
        return nn.functional.normalize(self.clip.visual_projection(tower.pooled), dim=-1)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches with the sketch prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(pixel_values, self.adapter.sketch_prompts)

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos with the photo prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(pixel_values, self.adapter.photo_prompts)

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer under the prompts of the domain, (B, P, d)."""
        prompts = self.adapter.sketch_prompts if domain == "sketch" else self.adapter.photo_prompts
        tower = self._encode(pixel_values, prompts)
        return patch_keys(self.clip.vision_model, tower)

    def embed_triplets(self, images: list[Tensor]) -> list[Tensor]:
        """Sketches and one or two sets of photos in one pass of the tower, each row with its modality's prompts."""
        prompts = [
            prompt.expand(len(part), -1, -1)
            for part, prompt in zip(images, [self.adapter.sketch_prompts] + 2 * [self.adapter.photo_prompts])
        ]
        return list(self._embed(torch.cat(images), torch.cat(prompts)).split([len(part) for part in images]))

    def process_triplets(self, batch: TripletBatch, return_loss: bool) -> ProcessedTriplets:
        """Embed aligned triplets and compute the loss, eq. 5 or eq. 10; see the base class.

        Raises:
            ValueError: if the weights ask for a loss whose inputs (negatives, labels, classes) are not there.
        """
        embeds = self.embed_triplets(batch.images)
        if not return_loss:
            return embeds, None, None
        terms = self._triplet_terms(embeds, batch.labels) | self._classification_terms(embeds, batch.labels)
        if self.config.patch_shuffling_weight:
            terms["patch_shuffling"] = self._patch_shuffling(batch.sketches, batch.photos)
        if not terms:
            raise ValueError("the weights of all losses are 0: there is no loss")
        return embeds, losses.weighted_sum(terms, self._weights), terms

    @property
    def _weights(self) -> dict[str, float]:
        config = self.config
        return {
            "triplet": config.triplet_weight,
            "f_divergence": config.f_divergence_weight,
            "classification_sketch": config.classification_weight,
            "classification_photo": config.classification_weight,
            "patch_shuffling": config.patch_shuffling_weight,
        }

    def _triplet_terms(self, embeds: list[Tensor], labels: Tensor | None) -> dict[str, Tensor]:
        config, terms = self.config, {}
        for name in ("triplet", "f_divergence"):
            if len(embeds) < 3 and getattr(config, f"{name}_weight"):
                raise ValueError(
                    f"the {name} loss needs negative_pixel_values; set {name}_weight=0 to train without"
                )
        if labels is None and config.f_divergence_weight:
            raise ValueError("the f_divergence loss needs labels; set f_divergence_weight=0 to go without")
        if config.triplet_weight:
            terms["triplet"] = losses.triplet_loss(*embeds, config.triplet_margin)
        if config.f_divergence_weight:
            terms["f_divergence"] = losses.f_divergence_loss(*embeds, labels)
        return terms

    def _classification_terms(self, embeds: list[Tensor], labels: Tensor | None) -> dict[str, Tensor]:
        if not self.config.classification_weight:
            return {}
        if missing := self._missing_for_classes(labels):
            raise ValueError(
                f"the classification loss needs {missing}; set classification_weight=0 to go without"
            )
        classes = self.adapter.class_embeddings
        temperature = self.config.temperature or torch.exp(-self.clip.logit_scale)
        return {
            f"classification_{name}": losses.classification_loss(part, classes, labels, temperature)
            for name, part in zip(("sketch", "photo"), embeds)
        }

    def _patch_shuffling(self, sketches: Tensor, photos: Tensor) -> Tensor:
        """The loss of fresh permutations, for every row two different ones (eq. 9)."""
        tiles = self.config.patch_shuffling_tiles**2
        first = torch.rand(len(sketches), tiles).argsort(1)
        # Places exchanged by anything but the identity give another permutation, each as likely.
        second = first.gather(1, _other_orders(len(sketches), tiles))
        images = (sketches, first), (photos, first), (photos, second)
        shuffled = [shuffle_tiles(part, permutations) for part, permutations in images]
        return losses.patch_shuffling_loss(*self.embed_triplets(shuffled), self.config.patch_shuffling_margin)


def _other_orders(rows: int, places: int) -> Tensor:
    """Permutations (rows, places), each drawn from all but the identity."""
    orders = torch.rand(rows, places).argsort(1)
    identity = torch.arange(places)
    while (same := (orders == identity).all(1)).any():
        orders[same] = torch.rand(int(same.sum()), places).argsort(1)
    return orders
