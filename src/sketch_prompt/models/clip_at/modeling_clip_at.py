"""CLIP-AT: CLIP for All Things Zero-Shot Sketch-Based Image Retrieval (Sain et al., CVPR 2023).

Three prompt tokens teach a frozen CLIP what a sketch is, three more what a photo is (section 4.1). They are
appended to the image's patches once, at the input; besides them only LayerNorms train. A sketch is pulled to a
photo of its class and pushed from one of another (triplet loss), and both are held to the text of their class
(classification loss). Where paper and reference code differ, `ClipAtConfig` offers both by name.
"""

import torch
from torch import Tensor, nn

from ... import losses
from ...processing import Domain
from ..modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from ..prompted_clip import TowerOutput, encode_vision, patch_keys
from .configuration_clip_at import ClipAtConfig

_VISION_LAYER_NORMS = r"vision_model\.(pre_layrnorm|post_layernorm|encoder\.layers\.\d+\.layer_norm[12])"
_LEFT_TRAINABLE_BY_REFERENCE = (
    r"(vision|text)_model\.encoder\.layers\.\d+\.(layer_norm[12]|self_attn\.[qkv]_proj)"
    r"|vision_model\.(pre_layrnorm|post_layernorm)|text_model\.final_layer_norm"
    r"|(vision|text)_model\.embeddings\.position_embedding|visual_projection|text_projection"
)


class ClipAtAdapter(MethodAdapter):
    """Prompts for either modality, (n, d_v) each, drawn from N(0, `prompt_init_std`^2)."""

    def __init__(self, config: ClipAtConfig):
        super().__init__()
        width = config.clip_config.vision_config.hidden_size
        self.sketch_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        self.photo_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        # Bare parameters of the CLIP, which peft cannot copy as it copies modules.
        self.class_embedding: nn.Parameter | None = None
        self.logit_scale: nn.Parameter | None = None


class ClipAtModel(SketchPromptPreTrainedModel):
    """CLIP-AT at category level; see the module's docstring, `ClipAtConfig` and the contract in the base class."""

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
        tower = self._encode(pixel_values, prompts, output_hidden_states=True)
        return patch_keys(self.clip.vision_model, tower)

    def embed_triplets(
        self, sketches: Tensor, photos: Tensor, negatives: Tensor | None
    ) -> list[Tensor | None]:
        """All parts in one pass of the tower, each row with the prompts of its modality."""
        images = [sketches, photos] if negatives is None else [sketches, photos, negatives]
        prompts = [
            prompt.expand(len(part), -1, -1)
            for part, prompt in zip(images, [self.adapter.sketch_prompts] + 2 * [self.adapter.photo_prompts])
        ]
        embeds = list(
            self._embed(torch.cat(images), torch.cat(prompts)).split([len(part) for part in images])
        )
        return embeds if negatives is not None else [*embeds, None]

    def compute_loss_terms(
        self,
        sketch_embeds: Tensor,
        photo_embeds: Tensor,
        negative_embeds: Tensor | None,
        labels: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Triplet + classification_weight * (classification of sketch + classification of photo), eq. 5.

        Raises:
            ValueError: if the weights ask for a loss whose inputs (negatives, labels, classes) are not there.
        """
        config, terms = self.config, {}
        if config.triplet_weight:
            if negative_embeds is None:
                raise ValueError(
                    "the triplet loss needs negative_pixel_values; set triplet_weight=0 to train without"
                )
            terms["triplet"] = losses.triplet_loss(
                sketch_embeds, photo_embeds, negative_embeds, config.triplet_margin
            )
        if config.classification_weight:
            classes = self.adapter.class_embeddings
            if labels is None or classes is None:
                missing = (
                    "labels"
                    if labels is None
                    else "class texts: call model.set_classes(class_names, processor)"
                )
                raise ValueError(
                    f"the classification loss needs {missing}; set classification_weight=0 to go without"
                )
            temperature = config.temperature or torch.exp(-self.clip.logit_scale)
            for name, embeds in (("sketch", sketch_embeds), ("photo", photo_embeds)):
                terms[f"classification_{name}"] = losses.classification_loss(
                    embeds, classes, labels, temperature
                )
        if not terms:
            raise ValueError("triplet_weight and classification_weight are both 0: there is no loss")
        weights = dict.fromkeys(terms, config.classification_weight) | {"triplet": config.triplet_weight}
        return losses.weighted_sum(terms, weights), terms
