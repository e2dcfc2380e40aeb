"""DP-CLIP: Dual-Modal Prompting for Sketch-Based Image Retrieval (Gao et al., 2024).

The frozen CLIP is adapted to a category before its images are embedded. A support set (a sketch and two photos) is
turned into deep visual prompts, and the name of the category scales the channels of low-rank branches beside each
layer. Four overlapping windows of the patch grid are matched in addition to the whole image. The loss pulls a sketch
towards its own photo and pushes it away from another photo of its category. In the course of training, random
negatives are replaced by the hardest ones of the batch. At category level, negatives are from other categories.

`DpClipModel.condition_on` computes the condition of a category in one pass over its support set, without training.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ... import losses
from ...imaging import ImageLike
from ...processing import Domain, SketchPromptProcessor
from ..inputs import check_pixel_values
from ..low_rank import LowRankBranches
from ..modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from ..outputs import TripletBatch
from ..prompted_clip import (
    VISION_LAYER_NORMS,
    TowerOutput,
    embed_patches,
    encode_vision,
    patch_keys,
)
from ..whole_batch import own_rows
from .category_register import BUFFERS, CategoryRegister, DpClipCondition, draw_support, read_support
from .category_text import category_sentences
from .configuration_dp_clip import DpClipConfig
from .negatives import identities, require_negatives
from .prompting import LEFT_TRAINABLE_BY_REFERENCE, PromptGenerator, WindowMatcher, channel_scaler


class DpClipAdapter(MethodAdapter):
    """The modules of the method, and the conditions of its K categories.

    `class_embeddings` (C, D_t) are the text features of the training classes.
    """

    data_buffers: ClassVar[tuple[str, ...]] = (*MethodAdapter.data_buffers, *BUFFERS)

    def __init__(self, config: DpClipConfig, weights: dict[str, Tensor]):
        super().__init__()
        vision = config.clip_config.vision_config
        depth, text_dim = vision.num_hidden_layers, config.text_dim or config.clip_config.projection_dim
        self.prompts = self.branches = self.scalers = self.matcher = None
        if config.visual_prompts != "none":
            from_support = config.visual_prompts == "support"
            self.prompts = PromptGenerator(vision, config.n_prompts, config.prompt_dropout, from_support)
        if config.rank:
            self.branches = nn.ModuleList(
                LowRankBranches(vision.hidden_size, config.rank) for _ in range(depth)
            )
            if config.text_scaling:
                hidden = config.scale_hidden or text_dim
                self.scalers = nn.ModuleList(
                    channel_scaler(text_dim, hidden, config.rank) for _ in range(depth)
                )
        if config.local_parts:
            self.matcher = WindowMatcher(vision, weights, config.rank, config.own_local_block)
        # Trainable parameters of the CLIP outside of the copied modules.
        self.class_embedding: nn.Parameter | None = None
        self.logit_scale: nn.Parameter | None = None
        if config.trainable == "reference":
            self.class_embedding = nn.Parameter(
                weights["vision_model.embeddings.class_embedding"].detach().clone()
            )
            self.logit_scale = nn.Parameter(weights["logit_scale"].detach().clone())
        self.register = CategoryRegister(self, config)


class DpClipModel(SketchPromptPreTrainedModel):
    """DP-CLIP; see the docstring of the module, `DpClipConfig` and the base class.

    `get_sketch_features` and `get_photo_features` take a `condition` from `condition_on`, or a `category` from
    `add_category` (one name, or one for each row). Without these, images are embedded with the mean condition of the
    training classes or, if there is none, with prompts without a support set and no scaling.

    Example:
        ```python
        model = DpClipModel.from_pretrained("mini-dp-clip")
        model.add_category("teapot", sketches=["drawing.png"], photos=["1.jpg", "2.jpg"])
        model.get_sketch_features(pixel_values, category="teapot")
        ```
    """

    config_class = DpClipConfig
    paper_text = "Gao et al., [*Dual-Modal Prompting for SBIR*](https://arxiv.org/abs/2404.18695), 2024."
    bibtex = """\
@article{gao2024dualmodal,
  title = {Dual-Modal Prompting for Sketch-Based Image Retrieval},
  author = {Gao, Liying and Jiao, Bingliang and Wang, Peng and Zhang, Shizhou and Zhang, Hanwang and Zhang, Yanning},
  journal = {arXiv preprint arXiv:2404.18695},
  year = {2024}
}"""
    usage_text = """\
# with a category, which is shown to the model once and needs no training
model.add_category("teapot", sketches=["drawing.png"], photos=["1.jpg", "2.jpg"], processor=processor)
sketch_features = model.get_sketch_features(inputs.sketch_pixel_values, category="teapot")
photo_features = model.get_photo_features(inputs.photo_pixel_values, category="teapot")
"""
    backbone_weights = ("adapter.class_embedding", "adapter.logit_scale")
    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {
        "triplet": ("negatives",),
        "hard_triplet": ("instance_ids",),
    }

    def __init__(self, config: DpClipConfig, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        self._hard_weight = 0.0

    def tuned_modules(self, config: DpClipConfig) -> str:
        """LayerNorms of the vision tower, or everything the reference code leaves trainable."""
        return VISION_LAYER_NORMS if config.trainable == "paper" else LEFT_TRAINABLE_BY_REFERENCE

    def build_adapter(self, config: DpClipConfig) -> DpClipAdapter:
        """New modules; the windows' LayerNorms and projections start as the tower's own."""
        return DpClipAdapter(config, self.clip.state_dict())

    def check_loaded(self, source) -> None:
        """Raise ValueError if the names and the conditions of a checkpoint have different categories."""
        adapter = self.adapter
        adapter.register.check(source, (adapter.prompts is not None, adapter.scalers is not None, True))

    # Conditions

    @property
    def is_conditional(self) -> bool:
        """Whether embeddings depend on a category; not without support prompts and text scaling."""
        return self.config.visual_prompts == "support" or self.adapter.scalers is not None

    @property
    def categories(self) -> list[str]:
        """Names of the categories that the model has been shown."""
        return self.adapter.register.names

    @property
    def support_size(self) -> tuple[int, int]:
        """Sketches and photos of a support set."""
        return self.config.support_sketches, self.config.support_photos

    def condition_on(
        self, support_sketches: Tensor | None, support_photos: Tensor | None, text_features: Tensor | None
    ) -> DpClipCondition:
        """The condition of a category, in one pass over its support set.

        Args:
            support_sketches: (S, 3, H, W) sketches of the category; None or S = 0 for none.
            support_photos: (P, 3, H, W) photos of the category, of any instances; None or P = 0 for none.
            text_features: (D_t,), from `category_text_features`, or (T, D_t), features of several sentences, whose
                mean is taken; None for no scaling.

        Returns:
            What `get_sketch_features` and `get_photo_features` take as `condition`.

        Raises:
            ValueError: if the support set is empty, its images are not of the model's size, or the text features
                are not of its width.
        """
        images = [part for part in (support_sketches, support_photos) if part is not None and len(part)]
        if not images:
            raise ValueError(
                "the support set is empty: DP-CLIP needs at least one sketch or photo of a category (the paper: "
                "a sketch and two photos)"
            )
        if text_features is not None:
            width = self.config.text_dim or self.config.clip_config.projection_dim
            if text_features.dim() not in (1, 2) or text_features.shape[-1] != width:
                raise ValueError(
                    f"text features must be ({width},) or (T, {width}), not {tuple(text_features.shape)}"
                )
            text_features = text_features.reshape(-1, width).mean(0)[None]
        return self._make_conditions(torch.cat(images)[None], text_features).rows(0)

    def _make_conditions(self, support: Tensor | None, text: Tensor | None) -> DpClipCondition:
        """Conditions of K categories from support images (K, S, 3, H, W) and text features (K, D_t)."""
        adapter, vision = self.adapter, self.adapter.clip.vision_model
        if self.training and torch.is_grad_enabled():
            adapter.register.outdate()
        like = self.clip.visual_projection.weight
        prompts = scales = None
        if adapter.prompts is not None:
            if support is None:
                tokens = like.new_zeros(1, 0, vision.config.hidden_size)
            else:
                tokens = embed_patches(vision, support.flatten(0, 1), adapter.class_embedding)
                tokens = tokens.unflatten(0, support.shape[:2]).flatten(1, 2)
            prompts = adapter.prompts(tokens)
        if text is not None:
            text = text.to(like)
            if adapter.scalers is not None:
                scales = torch.stack([scaler(text).unflatten(-1, (2, -1)) for scaler in adapter.scalers], 1)
        return DpClipCondition(prompts, scales, text)

    @torch.no_grad()
    def category_text_features(self, name: str, processor: SketchPromptProcessor | None = None) -> Tensor:
        """t of a category: the mean of the features (D,) of its sentences, not normalised again.

        Args:
            name: Name of the category.
            processor: A `SketchPromptProcessor` with the tokenizer of the base model. The default is the model's own.
        """
        if self.config.text_templates == "ensemble":
            sentences = category_sentences(name)
        else:
            sentences = [self.config.class_prompt.format(name)]
        inputs = self._require_processor(processor)(text=sentences, return_tensors="pt")
        return self.get_text_features(inputs["input_ids"].to(self.device)).mean(0)

    @torch.no_grad()
    def embed_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> Tensor:
        """The text features (C, D) of classes for their conditions."""
        return torch.stack([self.category_text_features(name, processor) for name in class_names])

    @torch.no_grad()
    def add_category(
        self,
        name: str,
        sketches: Sequence[ImageLike],
        photos: Sequence[ImageLike],
        processor: SketchPromptProcessor | None = None,
    ) -> None:
        """Add a category for `category=`, or replace it. It is saved with the adapter.

        A training step makes all categories out of date; add them again afterwards. Arguments are those of the base
        class.

        Raises:
            ValueError: Both lists are empty, an image cannot be read (the message says which), or there is no
                processor.
        """
        processor = self._require_processor(processor)
        pixels = [
            read_support(images, domain, name, processor).to(self.device, self.dtype) if images else None
            for images, domain in ((list(sketches), "sketch"), (list(photos), "photo"))
        ]
        names, classes = self.config.class_names or [], self.adapter.class_embeddings
        if classes is not None and name in names:
            text = classes[names.index(name)]
        else:
            text = self.category_text_features(name, processor)
        training = self.training
        try:
            self.eval()  # no dropout
            condition = self.condition_on(*pixels, text)
        finally:
            self.train(training)
        self.adapter.register.add(name, condition)

    def remove_category(self, name: str) -> None:
        """Remove a category, if there is one with this name."""
        self.adapter.register.remove(name)

    def _condition(
        self, count: int, condition: DpClipCondition | None, category: str | Sequence[str] | None
    ) -> DpClipCondition:
        """The condition of `count` images, from the arguments of `get_*_features`."""
        if condition is not None:
            if category is not None:
                raise ValueError("give a condition or a category, not both")
            return condition
        if category is None:
            return self._agnostic_condition()
        if not isinstance(category, str) and len(category) != count:
            raise ValueError(f"{len(category)} categories do not fit {count} images")
        register = self.adapter.register
        rows = register.rows([category] if isinstance(category, str) else category)
        return register.conditions.rows(
            rows[0] if len(set(rows)) == 1 else torch.tensor(rows, device=self.device)
        )

    def _agnostic_condition(self) -> DpClipCondition:
        trained = set(self.config.class_names or ())
        rows = [row for row, name in enumerate(self.categories) if name in trained]
        if not rows:
            return self._make_conditions(None, None).rows(0)
        known = self.adapter.register.conditions.rows(rows)
        return DpClipCondition(
            *(None if part is None else part.mean(0) for part in (known.prompts, known.scales))
        )

    @torch.no_grad()
    def predict_categories(self, pixel_values: Tensor, candidates: Sequence[str] | None = None) -> list[str]:
        """Predict the category of each image among `candidates`, with the frozen CLIP.

        Args:
            pixel_values: (B, 3, H, W) of sketches or photos.
            candidates: Some of `categories`. The default is all of them.

        Raises:
            ValueError: There is no such category, or no category at all.
        """
        names = list(self.categories if candidates is None else candidates)
        if not names:
            raise ValueError(
                "there is no category to choose from: model.add_category(name, sketches, photos)"
            )
        texts = self.adapter.register.conditions.text[self.adapter.register.rows(names)]
        images = self.clip.visual_projection(encode_vision(self.clip.vision_model, pixel_values).pooled)
        best = (images @ nn.functional.normalize(texts, dim=-1).T).argmax(-1)
        return [names[row] for row in best.tolist()]

    # Embedding

    def get_part_features(self, pixel_values: Tensor, condition: DpClipCondition) -> Tensor:
        """Features of the whole image and of its four windows, after the projections.

        Args:
            pixel_values: (B, 3, H, W)
            condition: Condition of a category, or of each row.

        Returns:
            (B, 1 + local_parts, D), not normalised.
        """
        tower = self._encode(pixel_values, condition)
        clip = self.adapter.clip
        whole = clip.visual_projection(tower.pooled)[:, None]
        if self.adapter.matcher is None:
            return whole
        last_block = clip.vision_model.encoder.layers[-1]
        windows = self.adapter.matcher(tower.last_input, last_block)
        return torch.cat([whole, windows.to(whole.dtype)], dim=1)

    def _encode(self, pixel_values: Tensor, condition: DpClipCondition) -> TowerOutput:
        adapter, branches = self.adapter, None
        # The layers are the third axis from the end, after that of the batch.
        prompts = None if condition.prompts is None else condition.prompts.unbind(-3)
        if adapter.branches is not None:
            scales = (
                [None] * len(adapter.branches) if condition.scales is None else condition.scales.unbind(-3)
            )
            branches = list(zip(adapter.branches, scales))
        return encode_vision(
            adapter.clip.vision_model,
            pixel_values,
            prompts,
            class_embedding=adapter.class_embedding,
            branches=branches,
        )

    def fuse(self, parts: Tensor) -> Tensor:
        """Unit vectors whose inner product gives the distance d_global + w * sum of d_local.

        The parts are normalised and joined, weighted by sqrt(1) and sqrt(w); with W windows the distance of two
        images is (1 + w * W) * (1 - their inner product).

        Args:
            parts: (B, 1 + W, D)

        Returns:
            (B, (1 + W) * D), L2-normalised.
        """
        weights = parts.new_full((parts.shape[1], 1), math.sqrt(self.config.local_distance_weight))
        weights[0] = 1
        weights = weights / weights.norm()
        return (nn.functional.normalize(parts, dim=-1) * weights).flatten(1)

    def _embed(self, pixel_values: Tensor, condition, category) -> Tensor:
        check_pixel_values(pixel_values, self.clip.config.vision_config.image_size)
        return self.fuse(
            self.get_part_features(pixel_values, self._condition(pixel_values.shape[0], condition, category))
        )

    def get_sketch_features(
        self,
        pixel_values: Tensor,
        condition: DpClipCondition | None = None,
        category: str | Sequence[str] | None = None,
    ) -> Tensor:
        """Embed sketches of a category: (B, 3, H, W) -> (B, (1 + local_parts) * D), L2-normalised.

        Raises:
            ValueError: There is no such category.
        """
        return self.through_lens(self._embed(pixel_values, condition, category))

    def get_photo_features(
        self,
        pixel_values: Tensor,
        condition: DpClipCondition | None = None,
        category: str | Sequence[str] | None = None,
    ) -> Tensor:
        """Embed photos of a category, as `get_sketch_features` does with sketches."""
        return self._embed(pixel_values, condition, category)

    def get_patch_features(
        self,
        pixel_values: Tensor,
        domain: Domain,
        condition: DpClipCondition | None = None,
        category: str | Sequence[str] | None = None,
    ) -> Tensor:
        """Keys of the last layer, (B, P, d). With windows, joined with the keys of their block, (B, P, 2 d)."""
        check_pixel_values(pixel_values, self.clip.config.vision_config.image_size)
        condition = self._condition(pixel_values.shape[0], condition, category)
        tower, vision = self._encode(pixel_values, condition), self.adapter.clip.vision_model
        beside = ()
        if self.adapter.branches is not None:
            scale = None if condition.scales is None else condition.scales.select(-3, -1)
            beside = self.adapter.branches[-1], scale
        keys = patch_keys(vision, tower, *beside)
        if self.adapter.matcher is None:
            return keys
        own = self.adapter.matcher.patch_keys(tower.last_input, vision.encoder.layers[-1])
        return torch.cat([keys, own], dim=-1)

    # Training

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Move the loss towards hard negatives: weight hard_weight_step * (epoch // hard_weight_every)."""
        self._hard_weight = self.config.hard_weight_step * (epoch // self.config.hard_weight_every)

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["DpClipModel", set[str]]:
        """Convert a checkpoint of the reference code; see the base class."""
        from .conversion_dp_clip import convert

        return convert(state_dict)

    @property
    def loss_weights(self) -> dict[str, float]:
        """(1 - w) for the triplet loss and w for the hardest negatives. w grows with the epochs and may exceed 1."""
        return {"triplet": max(0.0, 1 - self._hard_weight), "hard_triplet": self._hard_weight}

    def whole_batch_needs(self) -> list[str]:
        """The support sets and the hardest negatives."""
        parts = any(self.support_size), self.config.hard_weight_step
        return [part for part, used in zip(("support sets are drawn", "negatives are sought"), parts) if used]

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str], condition: DpClipCondition | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed aligned triplets and compute the losses `terms`; see the base class.

        Each sketch, photo and negative is embedded with the category of its row's label. In training, the support set
        of a category is drawn from the sketches and photos of the batch. Each loss is that of the whole image plus the
        weighted losses of the windows.

        Args:
            batch: The triplets.
            terms: Names of the losses to compute.
            condition: Condition of all rows, or of each row, instead of that of the labels.

        If there are negatives of other categories (`negative_labels`), it is category level: a photo of the sketch's
        own category is never its negative. The paper does not specify the condition there. We embed the random
        negative with the category of its row, like a photo in a search for that category, and the photos of other
        rows, among which the hardest is chosen, with their own.

        Raises:
            ValueError: In training, labels and class texts, or a condition, or hard negatives are missing.
        """
        if self.training and self.config.hard_weight_step:
            require_negatives(batch, self.of_whole_batch)
        if condition is None:
            condition = self._batch_condition(batch)
        images = batch.images
        if any(part is not None and part.dim() > 3 for part in (condition.prompts, condition.scales)):
            rows = torch.arange(len(batch.sketches), device=self.device)
            condition = condition.rows(rows.repeat(len(images)))
        parts = self.get_part_features(torch.cat(images), condition)
        parts = parts.split([len(part) for part in images])
        sketch, photo, *negative = (nn.functional.normalize(part, dim=-1).unbind(1) for part in parts)
        weights = [1.0] + [self.config.local_loss_weight] * (len(sketch) - 1)
        margin, values = self.config.margin, {}
        if "triplet" in terms:
            values["triplet"] = sum(
                weight * losses.triplet_loss(*features, margin)
                for weight, *features in zip(weights, sketch, photo, *negative)
            )
        if "hard_triplet" in terms:
            whole = self.of_whole_batch
            others = identities(batch, whole)
            values["hard_triplet"] = sum(
                weight * losses.hardest_triplet_loss(whole(s), whole(p), others, margin)
                for weight, s, p in zip(weights, sketch, photo)
            )
        return [self.fuse(part) for part in parts], values

    def _batch_condition(self, batch: TripletBatch) -> DpClipCondition:
        """The condition of each row, with a support set from rows with the same label."""
        if not self.training:
            return self._agnostic_condition()
        self.require_inputs(batch, ("labels", "classes"), "training under categories", "or a condition")
        classes, row_class = self.of_whole_batch(batch.labels).unique(return_inverse=True)
        support = draw_support(batch.sketches, batch.photos, row_class, self.support_size)
        made = self._make_conditions(support, self.adapter.class_embeddings[classes])
        return made.rows(0) if len(classes) == 1 else made.rows(own_rows(row_class))

    def _require_processor(self, processor: SketchPromptProcessor | None) -> SketchPromptProcessor:
        processor = processor if processor is not None else self.processor
        if processor is None:
            raise ValueError("this model came without a processor: pass processor=SketchPromptProcessor...")
        return processor
