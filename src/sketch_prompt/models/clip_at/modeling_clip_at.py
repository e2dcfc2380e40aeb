"""CLIP-AT: CLIP for All Things Zero-Shot Sketch-Based Image Retrieval (Sain et al., CVPR 2023).

Three prompt tokens adapt a frozen CLIP to sketches, and three others to photos (section 4.1). They are appended to the
patches of the image at the input. Besides them, only LayerNorms are trained, with one set for sketches and one for
photos. The triplet loss pulls a sketch towards a photo of its class and pushes it away from a photo of another class.
The classification loss pulls both towards the text of their class. At instance level (section 4.2), sketches and
photos share prompts and LayerNorms. A sketch is pulled towards its own photo and pushed away from another photo of its
class. Two further losses make distances comparable between classes (f-divergence), and make a sketch with shuffled
tiles find its photo with the same permutation (patch shuffling). Where the paper and the reference code differ,
`ClipAtConfig` offers both. It also has fields for the baselines of the paper.
"""

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel

from ... import losses
from ...processing import Domain, SketchPromptProcessor
from ..modeling_base import SketchPromptPreTrainedModel
from ..outputs import TripletBatch
from ..prompted_clip import (
    VISION_LAYER_NORMS,
    TowerOutput,
    encode_text,
    encode_vision,
    patch_keys,
    project_image,
    project_text,
)
from .configuration_clip_at import ClipAtConfig
from .prompting import ClipAtAdapter, Prompts

_TUNED = {
    "paper": VISION_LAYER_NORMS,
    "prompts": None,
    "vision": r"vision_model|visual_projection",
}
_LEFT_TRAINABLE_BY_REFERENCE = (
    r"(vision|text)_model\.encoder\.layers\.\d+\.(layer_norm[12]|self_attn\.[qkv]_proj)"
    r"|vision_model\.(pre_layrnorm|post_layernorm)|text_model\.final_layer_norm"
    r"|(vision|text)_model\.embeddings\.position_embedding|visual_projection|text_projection"
)


class ClipAtModel(SketchPromptPreTrainedModel):
    """CLIP-AT; see the docstring of the module, `ClipAtConfig` and the base class.

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

    def tuned_modules(self, config: ClipAtConfig) -> str | None:
        """LayerNorms of the vision tower, the whole tower, nothing, or everything that the reference code trains."""
        return _TUNED.get(config.trainable, _LEFT_TRAINABLE_BY_REFERENCE)

    def tunes_modalities_apart(self, config: ClipAtConfig) -> bool:
        """Whether sketches and photos have their own LayerNorms or whole encoders."""
        return config.layer_norms == "separate"

    def build_adapter(self, config: ClipAtConfig) -> ClipAtAdapter:
        """New prompts. With `trainable="reference"`, also copies of further parameters of the CLIP."""
        return ClipAtAdapter(config, self.clip)

    @torch.no_grad()
    def set_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> None:
        """Set the training classes; see the base class. Multimodal prompts also store their sentences."""
        super().set_classes(class_names, processor)
        if self.config.prompt_kind == "multimodal":
            sentences = [self.config.class_prompt.format(name) for name in class_names]
            ids = processor(text=sentences, return_tensors="pt")["input_ids"]
            self.adapter.class_ids = ids.to(self.device)

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, domain: Domain = "photo"
    ) -> Tensor:
        """Embed texts, with multimodal prompts of a domain: (B, T) -> (B, D), L2-normalised."""
        if self.adapter.sketch_coupled is None:
            return super().get_text_features(input_ids, attention_mask)
        return self._prompted_texts(input_ids, domain == "sketch")

    def _prompted_texts(self, input_ids: Tensor, is_sketch: bool) -> Tensor:
        adapter, text = self.adapter, self.adapter.clip.text_model
        learned = list((adapter.sketch_coupled if is_sketch else adapter.photo_coupled).text)
        layers = len(text.encoder.layers)
        prompts = learned[0] if len(learned) == 1 else [*learned[:layers], *[None] * (layers - len(learned))]
        return project_text(adapter.clip, encode_text(text, input_ids, prompts).pooled)

    def _prompts(self, pixel_values: Tensor, is_sketch: bool) -> Prompts:
        """The visual prompts of images. Conditional ones depend on the features of the frozen CLIP."""
        features = None
        if self.adapter.meta_net is not None:
            with torch.no_grad():
                pooled = encode_vision(self.clip.vision_model, pixel_values).pooled
                features = project_image(self.clip, pooled)
        return self.adapter.visual_prompts(is_sketch, features)

    def _encode(self, clip: CLIPModel, pixel_values: Tensor, prompts: Prompts) -> TowerOutput:
        layers = len(clip.vision_model.encoder.layers)
        deep = [*prompts, *[None] * (layers - len(prompts))] if len(prompts) > 1 else None
        return encode_vision(
            clip.vision_model,
            pixel_values,
            deep or next(iter(prompts), None),
            class_embedding=self.adapter.class_embedding,
        )

    def _embed(self, clip: CLIPModel, pixel_values: Tensor, prompts: Prompts) -> Tensor:
        features = project_image(clip, self._encode(clip, pixel_values, prompts).pooled)
        return features if self.adapter.probe is None else normalize(self.adapter.probe(features), dim=-1)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches with the sketch prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        prompts = self._prompts(pixel_values, is_sketch=True)
        return self.through_lens(self._embed(self.adapter.clip, pixel_values, prompts))

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos with the photo prompts: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(
            self.adapter.photo_clip, pixel_values, self._prompts(pixel_values, is_sketch=False)
        )

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer with the prompts of the domain, (B, P, d)."""
        is_sketch = domain == "sketch"
        clip = self.adapter.clip if is_sketch else self.adapter.photo_clip
        prompts = self._prompts(pixel_values, is_sketch)
        return patch_keys(clip.vision_model, self._encode(clip, pixel_values, prompts))

    def embed_triplets(self, images: list[Tensor]) -> list[Tensor]:
        """Sketches and one or two sets of photos, each row with the prompts of its modality.

        This takes one pass of the tower, or two if the modalities have their own LayerNorms.
        """
        adapter, sizes = self.adapter, [len(part) for part in images]
        if self.config.layer_norms == "separate":
            sketches, photos = images[0], torch.cat(images[1:])
            of_sketches = self._embed(adapter.clip, sketches, self._prompts(sketches, is_sketch=True))
            of_photos = self._embed(adapter.photo_clip, photos, self._prompts(photos, is_sketch=False))
            return [of_sketches, *of_photos.split(sizes[1:])]
        prompts = [self._prompts(part, is_sketch=i == 0) for i, part in enumerate(images)]
        rows = [
            torch.cat([part.expand(count, -1, -1) for part, count in zip(layer, sizes)])
            for layer in zip(*prompts)
        ]
        return list(self._embed(adapter.clip, torch.cat(images), rows).split(sizes))

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["ClipAtModel", set[str]]:
        """Convert a checkpoint of the reference code; see the base class."""
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
        """The f-divergence, if it has a weight."""
        return ["the f-divergence compares classes"] if self.config.f_divergence_weight else []

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed aligned triplets and compute the losses `terms`; see the base class.

        Raises:
            ValueError: In training, the f-divergence cannot compare any two classes of the batch.
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
                if self.adapter.sketch_coupled is not None:
                    classes = self._prompted_texts(self.adapter.class_ids, name == "classification_sketch")
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
    """Raise a ValueError if the f-divergence of a batch is 0 for any embeddings."""
    classes, counts = labels.unique(return_counts=True)
    if len(classes) < 2 or int(counts.min()) < 2:
        raise ValueError(
            "the f_divergence loss compares classes by their triplets and needs two classes with two triplets each, "
            f"at least; here are {len(classes)}, one of them with {int(counts.min())}: train with data.batches=pk, in "
            "fewer gradient accumulation steps, or with an f_divergence_weight of 0"
        )
