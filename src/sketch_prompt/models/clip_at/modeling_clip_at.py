"""CLIP-AT: CLIP for All Things Zero-Shot Sketch-Based Image Retrieval (Sain et al., CVPR 2023).

Three prompt tokens teach a frozen CLIP what a sketch is, three more what a photo is (section 4.1). They are
appended to the image's patches once, at the input; besides them only LayerNorms train, one set of them for sketches
and one for photos. The triplet loss pulls a sketch towards a photo of its class and pushes it away from a photo of
another; the classification loss pulls both towards the text of their class. At instance level (section 4.2) sketches
and photos share prompts and LayerNorms, and a sketch is pulled towards its own photo and pushed away from another of
its class. Two more losses make the distances comparable between classes (f-divergence), and make a sketch with
shuffled tiles find its photo with the same permutation (patch shuffling). Where paper and reference code differ,
`ClipAtConfig` offers both by name.
"""

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from ... import losses
from ...processing import Domain
from ..modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from ..outputs import TripletBatch
from ..prompted_clip import VISION_LAYER_NORMS, TowerOutput, encode_vision, patch_keys, project_image
from .configuration_clip_at import ClipAtConfig

_LEFT_TRAINABLE_BY_REFERENCE = (
    r"(vision|text)_model\.encoder\.layers\.\d+\.(layer_norm[12]|self_attn\.[qkv]_proj)"
    r"|vision_model\.(pre_layrnorm|post_layernorm)|text_model\.final_layer_norm"
    r"|(vision|text)_model\.embeddings\.position_embedding|visual_projection|text_projection"
)


class ClipAtAdapter(MethodAdapter):
    """Prompts of each modality, (n, d_v), drawn from N(0, `prompt_init_std`^2); or common ones."""

    def __init__(self, config: ClipAtConfig):
        super().__init__()
        width = config.clip_config.vision_config.hidden_size
        self.sketch_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        self.photo_prompts = self.sketch_prompts
        if not config.common_prompts:
            self.photo_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)
        # Parameters of the CLIP that no module of their own holds: copies of modules do not cover them.
        self.class_embedding: nn.Parameter | None = None
        self.logit_scale: nn.Parameter | None = None


class ClipAtModel(SketchPromptPreTrainedModel):
    """CLIP-AT; see the module's docstring, `ClipAtConfig` and the contract in the base class.

    Example:
        ```python
        model = ClipAtModel.from_pretrained("mini-clip-at")
        fresh = ClipAtModel.from_base_model("openai/clip-vit-base-patch32", n_prompts=4)
        ```
    """

    config_class = ClipAtConfig
    paper_text = (
        "CLIP-AT: prompts for sketches and for photos on a frozen CLIP whose LayerNorms are tuned. Sain et al., "
        "[*CLIP for All Things Zero-Shot Sketch-Based Image Retrieval, Fine-Grained or Not*]"
        "(https://arxiv.org/abs/2303.13440), CVPR 2023."
    )
    bibtex = """\
@inproceedings{sain2023clip,
  title = {{CLIP} for All Things Zero-Shot Sketch-Based Image Retrieval, Fine-Grained or Not},
  author = {Sain, Aneeshan and Bhunia, Ayan Kumar and Chowdhury, Pinaki Nath and Koley, Subhadeep and
            Xiang, Tao and Song, Yi-Zhe},
  booktitle = {CVPR},
  year = {2023}
}"""
    backbone_weights = ("adapter.class_embedding", "adapter.logit_scale")
    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {
        "triplet": ("negatives",),
        "f_divergence": ("negatives", "labels"),
        "classification_sketch": ("labels", "classes"),
        "classification_photo": ("labels", "classes"),
    }

    def tuned_modules(self, config: ClipAtConfig) -> str:
        """LayerNorms of the vision tower, or everything the reference code leaves trainable."""
        return VISION_LAYER_NORMS if config.trainable == "paper" else _LEFT_TRAINABLE_BY_REFERENCE

    def tunes_modalities_apart(self, config: ClipAtConfig) -> bool:
        """Whether sketches and photos have LayerNorms of their own."""
        return config.layer_norms == "separate"

    def build_adapter(self, config: ClipAtConfig) -> ClipAtAdapter:
        """New prompts; with `trainable="reference"` also copies of the CLIP's bare trainable parameters."""
        adapter = ClipAtAdapter(config)
        if config.trainable == "reference":
            adapter.class_embedding = nn.Parameter(
                self.clip.vision_model.embeddings.class_embedding.detach().clone()
            )
            adapter.logit_scale = nn.Parameter(self.clip.logit_scale.detach().clone())
        return adapter

    def _encode(self, clip: CLIPModel, pixel_values: Tensor, prompts: Tensor) -> TowerOutput:
        return encode_vision(
            clip.vision_model, pixel_values, prompts, class_embedding=self.adapter.class_embedding
        )

    def _embed(self, clip: CLIPModel, pixel_values: Tensor, prompts: Tensor) -> Tensor:
        return project_image(clip, self._encode(clip, pixel_values, prompts).pooled)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches with the sketch prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.through_lens(self._embed(self.adapter.clip, pixel_values, self.adapter.sketch_prompts))

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos with the photo prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(self.adapter.photo_clip, pixel_values, self.adapter.photo_prompts)

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer under the prompts of the domain, (B, P, d)."""
        adapter = self.adapter
        clip, prompts = adapter.clip, adapter.sketch_prompts
        if domain == "photo":
            clip, prompts = adapter.photo_clip, adapter.photo_prompts
        return patch_keys(clip.vision_model, self._encode(clip, pixel_values, prompts))

    def embed_triplets(self, images: list[Tensor]) -> list[Tensor]:
        """Sketches and one or two sets of photos, each row with its modality's prompts.

        In one pass of the tower, or with LayerNorms of either modality in two.
        """
        if self.config.layer_norms == "separate":
            adapter, (sketches, *photos) = self.adapter, images
            of_sketches = self._embed(adapter.clip, sketches, adapter.sketch_prompts)
            of_photos = self._embed(adapter.photo_clip, torch.cat(photos), adapter.photo_prompts)
            return [of_sketches, *of_photos.split([len(part) for part in photos])]
        prompts = [
            prompt.expand(part.shape[0], -1, -1)
            for part, prompt in zip(images, [self.adapter.sketch_prompts] + 2 * [self.adapter.photo_prompts])
        ]
        embeds = self._embed(self.adapter.clip, torch.cat(images), torch.cat(prompts))
        return list(embeds.split([len(part) for part in images]))

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["ClipAtModel", set[str]]:
        """The model in a checkpoint of the reference code; see the base class."""
        from .conversion_clip_at import convert

        return convert(state_dict)

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weights of eq. 5 at category level and of eq. 10 at instance level."""
        config = self.config
        return {
            "triplet": config.triplet_weight,
            "f_divergence": config.f_divergence_weight,
            "classification_sketch": config.classification_weight,
            "classification_photo": config.classification_weight,
            "patch_shuffling": config.patch_shuffling_weight,
        }

    def whole_batch_needs(self) -> list[str]:
        """The f-divergence, if it counts."""
        return ["the f-divergence compares classes"] if self.config.f_divergence_weight else []

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed aligned triplets and compute the losses `terms`; see the base class.

        Raises:
            ValueError: in training, if no two classes of the batch can be compared by the f-divergence.
        """
        config, values = self.config, {}
        embeds = self.embed_triplets(batch.images)
        if "triplet" in terms:
            values["triplet"] = losses.triplet_loss(*embeds, config.triplet_margin)
        if "f_divergence" in terms:
            *rows, labels = map(self.of_whole_batch, [*embeds, batch.labels])
            if self.training:
                _require_comparable_classes(labels)
            values["f_divergence"] = losses.f_divergence_loss(*rows, labels)
        for name, part in zip(("classification_sketch", "classification_photo"), embeds):
            if name in terms:
                temperature = config.temperature or torch.exp(-self.clip.logit_scale)
                classes = self.adapter.class_embeddings
                values[name] = losses.classification_loss(part, classes, batch.labels, temperature)
        if "patch_shuffling" in terms:
            values["patch_shuffling"] = self._patch_shuffling(batch.sketches, batch.photos)
        return embeds, values

    def _patch_shuffling(self, sketches: Tensor, photos: Tensor) -> Tensor:
        """The loss (eq. 9) with new permutations, two different ones for each row."""
        from ..tiles import shuffle_tiles, two_orders

        first, second = two_orders(len(sketches), self.config.patch_shuffling_tiles**2)
        images = (sketches, first), (photos, first), (photos, second)
        shuffled = [shuffle_tiles(part, permutations) for part, permutations in images]
        return losses.patch_shuffling_loss(*self.embed_triplets(shuffled), self.config.patch_shuffling_margin)


def _require_comparable_classes(labels: Tensor) -> None:
    """Raise ValueError for a batch whose f-divergence would be 0 whatever the embeddings are."""
    classes, counts = labels.unique(return_counts=True)
    if len(classes) < 2 or int(counts.min()) < 2:
        raise ValueError(
            "the f_divergence loss compares classes by their triplets and needs two classes with two triplets each, "
            f"at least; here are {len(classes)}, one of them with {int(counts.min())}: train with data.batches=pk, in "
            "fewer gradient accumulation steps, or with an f_divergence_weight of 0"
        )
