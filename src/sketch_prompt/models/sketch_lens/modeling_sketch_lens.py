"""The sketch lens changes the query, and never the gallery. See docs/sketch_lens.md."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ... import losses
from ...vocabulary import Domain, TargetKind
from ..adapters import MethodAdapter
from ..frozen_clip import FrozenClipModel
from ..outputs import SeenFeatures, TripletBatch
from ..prompted_clip import VISION_LAYER_NORMS, encode_vision, patch_keys, project_image
from .configuration_sketch_lens import SketchLensConfig

if TYPE_CHECKING:
    import datasets


class SketchLensAdapter(MethodAdapter):
    """The lens and, with `train_tower`, prompts (n, d_v) of the tower for sketches."""

    def __init__(self, config: SketchLensConfig):
        super().__init__()
        self.sketch_prompts: nn.Parameter | None = None
        if config.train_tower:
            width = config.clip_config.vision_config.hidden_size
            self.sketch_prompts = nn.Parameter(torch.randn(config.n_prompts, width) * config.prompt_init_std)


class SketchLensModel(FrozenClipModel):
    """A frozen CLIP with a lens on the sketch features: q' = normalise((q - m) W).

    Photo features are exactly those of `FrozenClipModel`, so any gallery of that CLIP can be searched. Before the lens
    is fitted, the model is the frozen CLIP.

    Example:
        ```python
        from sketch_prompt import Gallery, SketchLensModel

        lens = SketchLensModel.from_base_model("openai/clip-vit-base-patch32")
        lens.fit()  # to the bundled doodles and the texts of their classes
        lens.save_pretrained("my-lens")
        Gallery.load("gallery-of-frozen-clip", "my-lens").search("drawing.png")
        ```
    """

    config_class = SketchLensConfig
    paper_text = (
        "A frozen CLIP whose sketch features go through a lens, a linear map fitted in closed form. Photo features "
        "are the frozen CLIP's own, so galleries of that CLIP are searched as they are."
    )

    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {"photo_softmax": ("labels",)}
    _seen: SeenFeatures | None = None

    def tuned_modules(self, config: SketchLensConfig) -> str | None:
        """With `train_tower`, the LayerNorms of the vision tower, only for sketches."""
        return VISION_LAYER_NORMS if config.train_tower else None

    def build_adapter(self, config: SketchLensConfig) -> SketchLensAdapter:
        """With `train_tower`, new prompts."""
        return SketchLensAdapter(config)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.through_lens(self._embed_sketches(pixel_values))

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer, (B, P, d)."""
        if domain == "photo":
            return super().get_patch_features(pixel_values, domain)
        vision = self.adapter.clip.vision_model
        return patch_keys(vision, encode_vision(vision, pixel_values, self.adapter.sketch_prompts))

    def _embed_sketches(self, pixel_values: Tensor) -> Tensor:
        clip = self.adapter.clip
        return project_image(
            clip, encode_vision(clip.vision_model, pixel_values, self.adapter.sketch_prompts).pooled
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the trained lens: the softmax over all seen photos, and kappa."""
        config = self.config
        if not config.train_tower:
            return {}
        return {"photo_softmax": config.softmax_weight, "pull": config.pull_weight}

    @property
    def trains_on_seen_features(self) -> bool:
        """True, as photos are embedded with the frozen CLIP."""
        return self.config.train_tower

    def begin_training(self, seen: SeenFeatures) -> None:
        """Store the features of the training data from the frozen CLIP. A step then reads only sketches, in one pass.

        Otherwise the photos of the batch are used as all seen photos, and are embedded in each step.
        """
        self._seen = seen.to(self.device)

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str], sketch_rows: Tensor | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed sketches and compute the losses `terms`; see the base class.

        Queries are centred like the lens does: normalise(q - m), where m is the mean of the frozen CLIP's sketch
        features.

        Args:
            batch: The triplets, without photos after `begin_training`.
            terms: Names of the losses.
            sketch_rows: (B,) rows of the sketches in the data of `begin_training`.
        """
        config, values = self.config, {}
        sketches = self._embed_sketches(batch.sketches)
        if self._seen is None or batch.photos is not None:
            seen, rows, embeds = self._batch_features(batch), torch.arange(len(sketches)), None
            embeds = [sketches, *seen.photos.split(len(sketches))]
        else:
            seen, rows, embeds = self._seen, sketch_rows, [sketches]
        if "photo_softmax" in terms:
            right = batch.labels[:, None] == seen.photo_labels
            margins = None
            if config.ambiguity_margin:
                self.require_inputs(batch, ("classes",), "an ambiguity_margin", "or a margin of 0")
                margins = config.ambiguity_margin * seen.clarity(self.adapter.class_embeddings)[rows]
            queries = normalize(sketches - seen.mean, dim=1)
            values["photo_softmax"] = losses.photo_softmax_loss(
                queries, seen.photos, right, config.temperature, config.label_smoothing, margins
            )
        if "pull" in terms:
            values["pull"] = losses.pull_loss(sketches, seen.sketches[rows])
        return embeds, values

    @torch.no_grad()
    def _batch_features(self, batch: TripletBatch) -> SeenFeatures:
        """The features of the batch from the frozen CLIP, as those of all seen data."""
        if batch.photos is None:
            raise ValueError("give photo_pixel_values, or call begin_training first")
        photos, labels = [self._embed(part) for part in batch.images[1:]], [batch.labels]
        if batch.negatives is not None and batch.labels is not None:
            if batch.negative_labels is None:
                photos.pop()
            else:
                labels.append(batch.negative_labels)
        photo_labels = None if batch.labels is None else torch.cat(labels)
        return SeenFeatures(self._embed(batch.sketches), batch.labels, torch.cat(photos), photo_labels)

    @property
    def photo_method(self) -> str:
        """Photos are embedded like in the frozen CLIP."""
        return FrozenClipModel.config_class.model_type

    def fit(
        self,
        sketches: "datasets.Dataset | Sequence[datasets.Dataset] | None" = None,
        photos: "datasets.Dataset | Sequence[datasets.Dataset]" = (),
        targets: TargetKind | None = None,
        *,
        exclude_classes: Collection[str] = (),
        **options,
    ) -> "SketchLensModel":
        """Fit the lens in closed form.

        Args:
            sketches: Tables of drawings with the columns image, label and instance_id, such as `train_sketch` of
                `load_benchmark` or `folder_table("drawings/", "sketch")`. None for the bundled doodles.
            photos: Tables of photos.
            targets: What sketches are mapped to; see `sketch_prompt.lens.LensFitter`. "text" without photos.
            exclude_classes: Classes to leave out, in any spelling, to test the lens on them.
            options: Further options of `sketch_prompt.lens.tables.fit_model_lens`, such as `batch_size`.

        Returns:
            The model.

        Raises:
            ValueError: There is too little data to fit a lens; see `fit_model_lens`.
        """
        import datasets

        from ...data.drawings import doodle_table
        from ...lens.tables import fit_model_lens
        from ...processing import SketchPromptProcessor

        if self.processor is None:
            self.processor = SketchPromptProcessor.from_base_model(self.config.base_model)
        if sketches is None:
            sketches = doodle_table()
        sketches, photos = (
            [tables] if isinstance(tables, datasets.Dataset) else list(tables)
            for tables in (sketches, photos)
        )
        fit_model_lens(
            self, self.processor, sketches, photos, targets, exclude_classes=exclude_classes, **options
        )
        return self
