"""The contract: everything that a method may define, in one place. What it must define fails loudly until it does."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .. import losses
from ..imaging import ImageLike
from ..processing import Domain, SketchPromptProcessor
from ..vocabulary import TargetKind
from .adapters import AdaptedClip, MethodAdapter
from .configuration_base import SketchPromptPreTrainedConfig
from .outputs import SeenFeatures, SketchRetrievalOutput, TripletBatch
from .prompted_clip import encode_text, project_text

if TYPE_CHECKING:
    from ..explain import Correspondence
    from ..lens import Lens

_NEEDED = {
    "negatives": "negative_pixel_values",
    "labels": "labels",
    "instance_ids": "instance_ids",
    "negative_labels": "negative_labels",
    "classes": "class texts: call model.set_classes(class_names, processor)",
}


class SketchPromptPreTrainedModel(AdaptedClip):
    """Base of every method: a frozen CLIP that named adapters turn into a sketch-based retrieval model.

    A method must define `config_class`, `get_sketch_features`, `get_photo_features` and `get_patch_features`; to be
    trained also `build_adapter` or `tuned_modules`, `loss_weights` and `process_triplets`. The rest has a default that
    works, or that raises because most methods do not offer it (categories, re-ranking).

    Adapters of one method live in one model (`load_adapter`, `set_adapter`); models of different methods share one
    CLIP in memory when the second is given the first one's.

    Example:
        ```python
        from sketch_prompt import SketchPromptModel

        model = SketchPromptModel.from_pretrained("mini-clip-at")
        other = SketchPromptModel.from_pretrained("mini-splip", backbone=model.clip)  # the same CLIP in memory
        scores = model.get_sketch_features(sketches) @ model.get_photo_features(photos).T
        ```
    """

    # What it is, in words: for model cards

    paper_text: ClassVar[str] = ""
    """What the method is: its paper, or a sentence where there is none."""
    bibtex: ClassVar[str] = ""
    """The paper, as BibTeX."""
    usage_text: ClassVar[str] = ""
    """Lines of Python that go on from the card's example and show what the method offers beyond embedding."""

    # Adapters

    backbone_weights: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of the adapter's own tensors that stand in for weights of the CLIP."""

    @property
    def method(self) -> str:
        """The method's public name, such as `"clip-at"`."""
        return self.config_class.model_type

    def tuned_modules(self, config: SketchPromptPreTrainedConfig) -> str | None:
        """Regular expression of the `CLIPModel` modules that the adapter tunes copies of, or None.

        Read the CLIP through `self.adapter.clip` to use the copies; `self.clip` is the frozen one.
        """
        return None

    def tunes_modalities_apart(self, config: SketchPromptPreTrainedConfig) -> bool:
        """Whether photos get tuned copies of their own: `self.adapter.photo_clip` beside `self.adapter.clip`."""
        return False

    def build_adapter(self, config: SketchPromptPreTrainedConfig) -> MethodAdapter:
        """New parameters of the method, initialised as the paper says."""
        return MethodAdapter()

    def check_loaded(self, source) -> None:
        """Called when an adapter has been read from the directory `source`; raise ValueError if it is unsound."""

    # Checkpoints of the paper's own code

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["SketchPromptPreTrainedModel", set[str]]:
        """The model that a checkpoint of the reference code holds, with its processor.

        `sketch_prompt.models.conversion.from_reference` calls it and reports the tensors that were not used.

        Args:
            state_dict: the reference's `state_dict()`.

        Returns:
            The model, and the names of the tensors that it was made of.

        Raises:
            ValueError: naming the tensors that are missing or misshapen; or if the method has no converter.
        """
        raise ValueError(f"no converter for {cls.config_class.model_type!r}")

    # Embedding

    @property
    def photo_method(self) -> str:
        """The method that embeds photos as this one does, whose galleries it searches: by default itself."""
        return self.method

    def get_sketch_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """Embed sketches: (B, 3, H, W) -> (B, D), L2-normalised."""
        raise self._undefined("get_sketch_features")

    def get_photo_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        raise self._undefined("get_photo_features")

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embed texts.

        Args:
            input_ids: (B, T)
            attention_mask: accepted for the tokenizer's sake; the text tower is causal and needs none.

        Returns:
            (B, D), L2-normalised.

        Raises:
            ValueError: if the method brings a vision tower of its own, and no text tower.
        """
        if self.clip is None:
            raise ValueError(f"this {self.method} model has no CLIP, and so no text features")
        clip = self.adapter.clip
        return project_text(clip, encode_text(clip.text_model, input_ids).pooled)

    # A lens on the sketch features, which any method can carry

    def through_lens(self, features: Tensor) -> Tensor:
        """The last step of `get_sketch_features`: normalise((q - m) W) of the adapter's lens, where it has one.

        Args:
            features: (B, D) of sketches, L2-normalised.

        Returns:
            (B, D), L2-normalised.
        """
        adapter = self.adapter
        if adapter.lens_mean is None:
            return features
        from ..lens.lens import apply_lens

        return apply_lens(features, adapter.lens_mean, adapter.lens_map)

    def set_lens(
        self, lens: "Lens | None", targets: TargetKind | None = None, class_names: Sequence[str] = ()
    ) -> None:
        """Give the active adapter a lens, in place of the one that it may have. Photo features stay as they are.

        Args:
            lens: from `sketch_prompt.lens`; None for none.
            targets: what it maps sketches to.
            class_names: the classes that it was fitted on.
        """
        adapter, config = self.adapter, self.config
        if lens is None:
            adapter.lens_mean = adapter.lens_map = None
            config.lens_classes = config.lens_fit = None
            return
        place = {"device": next(self.parameters()).device, "dtype": torch.float32}
        adapter.lens_mean = lens.mean.to(**place)
        adapter.lens_map = None if lens.map is None else lens.map.to(**place)
        config.lens = targets
        config.lens_classes = list(class_names)
        config.lens_fit = lens.describe()

    # Training

    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {}
    """What each loss needs beside sketches and photos, by the loss's name: "negatives", "labels", "instance_ids",
    "negative_labels" (see `TripletBatch`), "classes" (the class texts of `set_classes`)."""

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of every loss by its name; one of weight 0 is not computed."""
        return {}

    def whole_batch_needs(self) -> list[str]:
        """What of training is defined over a batch and not triplet by triplet, as clauses: "negatives are sought".

        Such a part asks for the rows of all processes (`of_whole_batch`). It cannot reach across the parts that
        gradient accumulation cuts a batch into, which the training loop then warns of.
        """
        return []

    @property
    def needs_second_sketch(self) -> bool:
        """Whether training gives `forward` another sketch of each class too, `mismatched_sketch_pixel_values`."""
        return False

    def of_whole_batch(self, rows: Tensor) -> Tensor:
        """In training, the rows of all processes in the order of the batch, with gradients: (B, ...) -> (N B, ...).

        Every process must call it; see `models.whole_batch`.
        """
        if not self.training:
            return rows
        from .whole_batch import gather_rows

        return gather_rows(rows)

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str], **inputs
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed a batch of triplets and compute losses. `forward` calls it, sums the losses and checks their inputs.

        Args:
            batch: the triplets.
            terms: names of the losses to compute: those of `loss_weights` whose weight is not 0; none if only the
                embeddings are wanted.
            inputs: further arguments of `forward`; methods that take any name them here.

        Returns:
            The embeddings (B, D) of each of the batch's `images`, and each of the losses () by name.
        """
        sketches, *photos = batch.images
        return [self.get_sketch_features(sketches), *map(self.get_photo_features, photos)], {}

    def forward(
        self,
        sketch_pixel_values: Tensor | None = None,
        photo_pixel_values: Tensor | None = None,
        negative_pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        instance_ids: Tensor | None = None,
        negative_labels: Tensor | None = None,
        return_loss: bool = True,
        pixel_values: Tensor | None = None,
        **inputs,
    ) -> SketchRetrievalOutput | BaseModelOutputWithPooling:
        """Embed aligned triplets and compute the method's loss, the weighted sum of its terms.

        With `pixel_values` alone, embed photos: what transformers' `image-feature-extraction` pipeline calls.

        Args:
            sketch_pixel_values: (B, 3, H, W), row i a sketch of `labels[i]`.
            photo_pixel_values: (B, 3, H, W), row i a photo that sketch i should find.
            negative_pixel_values: (B, 3, H, W), row i a photo it should not find.
            labels: (B,) indices into `config.class_names`.
            instance_ids: (B,) identity of the drawn photo, for fine-grained losses.
            negative_labels: (B,) classes of the negatives.
            return_loss: compute the loss too.
            pixel_values: (B, 3, H, W) photos, in place of all else; the answer's `pooler_output` is (B, D).
            inputs: what else a method takes, see its `process_triplets`.

        Raises:
            ValueError: if there are no pictures, there is no loss to compute, or one needs what is not there.
            KeyError: if the method computes other losses than it declares weights for.
        """
        if pixel_values is not None:
            return BaseModelOutputWithPooling(pooler_output=self.get_photo_features(pixel_values, **inputs))
        lacks_photos = photo_pixel_values is None and not self.trains_on_seen_features
        if sketch_pixel_values is None or lacks_photos:
            raise ValueError("forward needs sketch_pixel_values and photo_pixel_values, or pixel_values")
        images = sketch_pixel_values, photo_pixel_values, negative_pixel_values
        batch = TripletBatch(*images, labels, instance_ids, negative_labels)
        weights = self._checked_weights(batch) if return_loss else {}
        embeds, terms = self.process_triplets(batch, weights.keys(), **inputs)
        if not return_loss:
            return SketchRetrievalOutput(None, None, *embeds)
        if terms.keys() != weights.keys():
            raise KeyError(
                f"{self.method} computed the losses {sorted(terms)}, but its loss_weights that are not 0 are for "
                f"{sorted(weights)}"
            )
        loss, statistics = losses.weighted_sum(terms, weights), batch.statistics or None
        return SketchRetrievalOutput(loss, terms, *embeds, statistics=statistics)

    def _checked_weights(self, batch: TripletBatch) -> dict[str, float]:
        """Weights of the losses to compute, whose inputs are all there."""
        declared = self.loss_weights
        if not declared:
            raise ValueError(f"{self.method} has nothing to train")
        weights = {name: weight for name, weight in declared.items() if weight}
        if not weights:
            raise ValueError(f"the weights of all losses are 0: there is no loss ({', '.join(declared)})")
        for name in weights:
            needs = self.loss_needs.get(name, ())
            self.require_inputs(batch, needs, f"the {name} loss", "or a weight of 0 to go without")
        return weights

    def require_inputs(
        self, batch: TripletBatch, needs: Collection[str], purpose: str, otherwise: str
    ) -> None:
        """Raise ValueError if one of `needs` (see `loss_needs`) is not there: what needs it, what to give instead."""
        for need in needs:
            there = self.adapter.class_embeddings if need == "classes" else getattr(batch, need)
            if there is None:
                raise ValueError(f"{purpose} needs {_NEEDED[need]}, {otherwise}")

    trains_on_seen_features: bool = False
    """Whether a step needs sketches alone, as their rows `sketch_rows` (B,) in what `begin_training` was given."""

    def begin_training(self, seen: SeenFeatures) -> None:
        """Take what the frozen CLIP makes of the training data; the training loop calls it before the first step."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called by a training loop before each epoch, for what a method changes in the course of training.

        Args:
            epoch: number of the epoch, from 0.
            epochs: how many there will be.
        """

    @torch.no_grad()
    def set_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> None:
        """Make `class_names` the training classes: remember them and embed their texts (`embed_classes`).

        Args:
            class_names: C names; labels given to `forward` index this list.
            processor: a `SketchPromptProcessor` with the tokenizer of the base model.
        """
        self.config.class_names = list(class_names)
        if self.clip is not None:
            self.adapter.class_embeddings = self.embed_classes(class_names, processor)

    def embed_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> Tensor:
        """Text features (C, D) of classes, L2-normalised: of `config.class_prompt` with their names."""
        sentences = [self.config.class_prompt.format(name) for name in class_names]
        inputs = processor(text=sentences, return_tensors="pt").to(self.device)
        return torch.cat([self.get_text_features(ids) for ids in inputs["input_ids"].split(64)])

    # Explaining

    @torch.no_grad()
    def explain(
        self, sketch: ImageLike | Tensor, photo: ImageLike | Tensor, **conditions
    ) -> "Correspondence":
        """Which patches of a photo the model takes for which patches of a sketch.

        Args:
            sketch: a picture or its path, prepared by `processor`; or pixel values, a float tensor (3, H, W) or
                (1, 3, H, W) that a processor made.
            photo: likewise.
            conditions: as in `get_sketch_features`.

        Returns:
            `Correspondence`; `sketch_prompt.explain.figures` draws it.

        Raises:
            ValueError: a picture that cannot be read, or without a processor; pixel values of more than one image
                or of another size than the model's; a blank sketch.

        Example:
            ```python
            from sketch_prompt.explain.figures import plot_matches

            plot_matches(model.explain("drawing.png", "photo.jpg")).savefig("matches.png")
            ```
        """
        from ..explain import explain_pair  # what explains is imported when it is asked for

        return explain_pair(self, sketch, photo, **conditions)

    @property
    def patch_size(self) -> int:
        """Side in pixels of the patches that explanations connect."""
        return self.config.clip_config.vision_config.patch_size

    def get_patch_features(self, pixel_values: Tensor, domain: Domain, **conditions) -> Tensor:
        """What the method knows patches by: (B, 3, H, W) -> (B, P, d), row by row, comparable across domains."""
        raise self._undefined("get_patch_features")

    def relate_patches(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor, **conditions) -> Tensor:
        """How strongly the method connects every patch of a sketch with every patch of a photo.

        By default from the similarity of their features (`patch_similarity`); methods that compare patches themselves
        override it.

        Args:
            sketch_pixel_values: (1, 3, H, W)
            photo_pixel_values: (1, 3, H, W)
            conditions: as in `get_sketch_features`.

        Returns:
            (P_s, P_p) up to 1; what is not positive connects nothing.
        """
        from ..explain import patch_similarity

        sides = (sketch_pixel_values, "sketch"), (photo_pixel_values, "photo")
        features = [self.get_patch_features(pixels, domain, **conditions)[0] for pixels, domain in sides]
        grids = [tuple(side // self.patch_size for side in pixels.shape[-2:]) for pixels, _ in sides]
        return patch_similarity(*features, *grids)

    # Re-ranking, for methods that score a pair of images by more than their embeddings

    has_reranker: ClassVar[bool] = False
    """Whether pairs of a sketch and a photo can be scored by more than the inner product of their embeddings."""

    def encode_tokens(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Tokens of sketches or photos, from which pairs are scored: (B, 3, H, W) -> (B, N, d)."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def pool_tokens(self, tokens: Tensor, domain: Domain) -> Tensor:
        """The embedding of each image from its tokens, as `get_*_features` gives it: (B, N, d) -> (B, D)."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def prepare_pairs(self, tokens: Tensor, domain: Domain) -> dict[str, Tensor]:
        """The part of scoring that concerns one image, whatever it is paired with: named tensors (B, ...)."""
        return {"tokens": tokens}

    def score_prepared(self, sketches: dict[str, Tensor], photos: dict[str, Tensor]) -> Tensor:
        """Scores (Ns, Np) of every pair, from what `prepare_pairs` gave; higher is more alike."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def score_pairs(self, sketch_tokens: Tensor, photo_tokens: Tensor) -> Tensor:
        """Scores (Ns, Np) of every sketch with every photo, from their tokens (Ns, N, d) and (Np, N, d)."""
        return self.score_prepared(
            self.prepare_pairs(sketch_tokens, "sketch"), self.prepare_pairs(photo_tokens, "photo")
        )

    def fuse_scores(self, similarities: np.ndarray, pair_scores: np.ndarray) -> np.ndarray:
        """What `ranking="rerank"` sorts the first photos by; by default the scores of the pairs alone.

        Args:
            similarities: inner products of the pairs' embeddings, of any shape.
            pair_scores: what `score_prepared` gave for the same pairs.
        """
        return pair_scores

    # Categories, for methods whose embeddings depend on one

    @property
    def is_conditional(self) -> bool:
        """Whether embeddings depend on a category.

        Then `get_sketch_features` and `get_photo_features` take `category=`, one name or one for every row; without
        it they are category-agnostic. Before a category can be named, the model must have been shown a few pictures
        of it (`add_category`), which trains nothing. Categories are saved with the adapter.
        """
        return False

    @property
    def categories(self) -> list[str]:
        """Names of the categories that the model has been shown."""
        return []

    @property
    def support_size(self) -> tuple[int, int]:
        """How many sketches and photos of a category the method looks at."""
        return 0, 0

    def add_category(
        self,
        name: str,
        sketches: Sequence[ImageLike],
        photos: Sequence[ImageLike],
        processor: SketchPromptProcessor | None = None,
    ) -> None:
        """Show the model a category: a few sketches and photos of it, which need not be of the same things.

        Args:
            name: of the category, in words.
            sketches, photos: pictures or paths; one of the two may be empty.
            processor: by default the one that came with the model.

        Raises:
            TypeError: if the method embeds without categories.
        """
        raise self._unavailable("embeds without categories")

    def remove_category(self, name: str) -> None:
        """Forget a category; TypeError if the method embeds without categories."""
        raise self._unavailable("embeds without categories")

    def predict_categories(self, pixel_values: Tensor, candidates: Sequence[str] | None = None) -> list[str]:
        """The category of every image among `candidates`, by zero-shot text classification.

        Args:
            pixel_values: (B, 3, H, W) of sketches or photos.
            candidates: names out of `categories`; all of them by default.

        Raises:
            TypeError: if the method embeds without categories.
        """
        raise self._unavailable("embeds without categories")

    def _undefined(self, name: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} must define {name}")

    def _unavailable(self, reason: str) -> TypeError:
        return TypeError(f"{self.method} {reason}")
