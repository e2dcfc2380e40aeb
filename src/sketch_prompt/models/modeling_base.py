"""The contract: everything that a method may define. What it must define raises an error until it does."""

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
    """Base class of all methods: a frozen CLIP that named adapters turn into a sketch-based retrieval model.

    A method must define `config_class`, `get_sketch_features`, `get_photo_features` and `get_patch_features`. To be
    trained, it must also define `build_adapter` or `tuned_modules`, `loss_weights` and `process_triplets`. Everything
    else has a default. For what most methods do not offer (categories, re-ranking), the default raises an error.

    A model can hold several adapters of its method (`load_adapter`, `set_adapter`). Models of different methods can
    share one CLIP in memory (`backbone=`).

    Example:
        ```python
        from sketch_prompt import SketchPromptModel

        model = SketchPromptModel.from_pretrained("mini-clip-at")
        other = SketchPromptModel.from_pretrained("mini-splip", backbone=model.clip)  # the same CLIP in memory
        scores = model.get_sketch_features(sketches) @ model.get_photo_features(photos).T
        ```
    """

    # For model cards

    paper_text: ClassVar[str] = ""
    """The paper of the method, or a sentence if there is none."""
    bibtex: ClassVar[str] = ""
    """The paper, as BibTeX."""
    usage_text: ClassVar[str] = ""
    """Further lines of Python for the example in the model card, which show what is special about the method."""

    # Adapters

    backbone_weights: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the adapter's own tensors that replace weights of the CLIP."""

    @property
    def method(self) -> str:
        """The public name of the method, such as `"clip-at"`."""
        return self.config_class.model_type

    def tuned_modules(self, config: SketchPromptPreTrainedConfig) -> str | None:
        """Regular expression of the `CLIPModel` modules that the adapter tunes copies of, or None.

        Read the CLIP through `self.adapter.clip` to use the copies. `self.clip` is the frozen CLIP.
        """
        return None

    def tunes_modalities_apart(self, config: SketchPromptPreTrainedConfig) -> bool:
        """Whether photos have their own tuned copies, in `self.adapter.photo_clip`."""
        return False

    def build_adapter(self, config: SketchPromptPreTrainedConfig) -> MethodAdapter:
        """Create the parameters of the method, initialised as in the paper."""
        return MethodAdapter()

    def check_loaded(self, source) -> None:
        """Check an adapter that was read from the folder `source`. Raise a ValueError if it is not valid."""

    # Checkpoints of the paper's own code

    @classmethod
    def convert(cls, state_dict: Mapping[str, Tensor]) -> tuple["SketchPromptPreTrainedModel", set[str]]:
        """Create a model and its processor from a checkpoint of the paper's own code.

        `sketch_prompt.models.conversion.from_reference` calls it and reports the tensors that were not used.

        Args:
            state_dict: The `state_dict()` of the paper's code.

        Returns:
            The model, and the names of the tensors that were used.

        Raises:
            ValueError: Tensors are missing or have a wrong shape (the message names them), or the method has no
                converter.
        """
        raise ValueError(f"no converter for {cls.config_class.model_type!r}")

    # Embedding

    @property
    def photo_method(self) -> str:
        """The method that embeds photos in the same way, whose galleries this method can search. By default itself."""
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
            attention_mask: Ignored. The text tower is causal and needs no mask.

        Returns:
            (B, D), L2-normalised.

        Raises:
            ValueError: The method has its own vision tower, and no text tower.
        """
        if self.clip is None:
            raise ValueError(f"this {self.method} model has no CLIP, and so no text features")
        clip = self.adapter.clip
        return project_text(clip, encode_text(clip.text_model, input_ids).pooled)

    # A lens on the sketch features, which any method can carry

    def through_lens(self, features: Tensor) -> Tensor:
        """The last step of `get_sketch_features`: normalise((q - m) W) if the adapter has a lens.

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
        """Set or remove the lens of the active adapter. Photo features do not change.

        Args:
            lens: A lens of `sketch_prompt.lens`. None removes the lens.
            targets: The targets that sketches are mapped to.
            class_names: The classes that it was fitted to.
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
    """Inputs that each loss needs besides sketches and photos, by its name: "negatives", "labels", "instance_ids",
    "negative_labels" (see `TripletBatch`), "classes" (the class texts of `set_classes`).
    """

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each loss, by its name. A loss with weight 0 is not computed."""
        return {}

    def whole_batch_needs(self) -> list[str]:
        """Parts of training that depend on the whole batch, as clauses for a warning: "negatives are sought".

        Such a part uses the rows of all processes (`of_whole_batch`). With gradient accumulation it sees only a part
        of the batch, and the training loop warns about it.
        """
        return []

    @property
    def needs_second_sketch(self) -> bool:
        """Whether training also gives `forward` another sketch of each class, `mismatched_sketch_pixel_values`."""
        return False

    def of_whole_batch(self, rows: Tensor) -> Tensor:
        """In training, the rows of all processes in the order of the batch, with gradients: (B, ...) -> (N B, ...).

        All processes must call it; see `models.whole_batch`.
        """
        if not self.training:
            return rows
        from .whole_batch import gather_rows

        return gather_rows(rows)

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str], **inputs
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed a batch of triplets and compute the losses. `forward` calls it, checks the inputs and sums the losses.

        Args:
            batch: The triplets.
            terms: Names of the losses to compute: those of `loss_weights` with a weight other than 0, or none if only
                the embeddings are wanted.
            inputs: Further arguments of `forward`. Methods that take any name them here.

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
        """Embed aligned triplets and compute the loss of the method, the weighted sum of its terms.

        With only `pixel_values`, embed photos, for the `image-feature-extraction` pipeline of transformers.

        Args:
            sketch_pixel_values: (B, 3, H, W), row i is a sketch of class `labels[i]`.
            photo_pixel_values: (B, 3, H, W), row i is a photo that sketch i should find.
            negative_pixel_values: (B, 3, H, W), row i is a photo that sketch i should not find.
            labels: (B,) indices into `config.class_names`.
            instance_ids: (B,) ids of the drawn photos, for fine-grained losses.
            negative_labels: (B,) classes of the negatives.
            return_loss: Compute the loss too.
            pixel_values: (B, 3, H, W) photos, instead of all other inputs. The `pooler_output` of the output is (B,
                D).
            inputs: Further inputs of the method; see its `process_triplets`.

        Raises:
            ValueError: There are no images, there is no loss to compute, or an input of a loss is missing.
            KeyError: The method computed other losses than it declares weights for.
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
        """Weights of the losses to compute. Checks that their inputs are given."""
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
        """Raise a ValueError if an input in `needs` (see `loss_needs`) is missing. It says what to give instead."""
        for need in needs:
            there = self.adapter.class_embeddings if need == "classes" else getattr(batch, need)
            if there is None:
                raise ValueError(f"{purpose} needs {_NEEDED[need]}, {otherwise}")

    trains_on_seen_features: bool = False
    """Whether a step needs sketches alone, as their rows `sketch_rows` (B,) in what `begin_training` was given."""

    def begin_training(self, seen: SeenFeatures) -> None:
        """Receive the features of the training data from the frozen CLIP. Called before the first step."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called by the training loop before each epoch, for methods that change in the course of training.

        Args:
            epoch: Number of the epoch, from 0.
            epochs: Number of all epochs.
        """

    @torch.no_grad()
    def set_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> None:
        """Set the training classes and embed their texts (`embed_classes`).

        Args:
            class_names: C names. The labels for `forward` are indices into this list.
            processor: A `SketchPromptProcessor` with the tokenizer of the base model.
        """
        self.config.class_names = list(class_names)
        if self.clip is not None:
            self.adapter.class_embeddings = self.embed_classes(class_names, processor)

    def embed_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> Tensor:
        """Text features (C, D) of classes, L2-normalised: their names in the sentence `config.class_prompt`."""
        sentences = [self.config.class_prompt.format(name) for name in class_names]
        inputs = processor(text=sentences, return_tensors="pt").to(self.device)
        return torch.cat([self.get_text_features(ids) for ids in inputs["input_ids"].split(64)])

    # Explaining

    @torch.no_grad()
    def explain(
        self, sketch: ImageLike | Tensor, photo: ImageLike | Tensor, **conditions
    ) -> "Correspondence":
        """Find the patches of a photo that the model matches with the patches of a sketch.

        Args:
            sketch: An image or its path, which is preprocessed by `processor`; or pixel values, a float tensor (3, H,
                W) or (1, 3, H, W) from a processor.
            photo: Likewise.
            conditions: As in `get_sketch_features`.

        Returns:
            A `Correspondence`. `sketch_prompt.explain.figures` draws it.

        Raises:
            ValueError: An image cannot be read, the model has no processor, pixel values have another size than the
                model's input or more than one image, or the sketch is blank.

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
        """Side in pixels of the patches of an explanation."""
        return self.config.clip_config.vision_config.patch_size

    def get_patch_features(self, pixel_values: Tensor, domain: Domain, **conditions) -> Tensor:
        """Features of patches for explanations: (B, 3, H, W) -> (B, P, d), row by row, comparable across domains."""
        raise self._undefined("get_patch_features")

    def relate_patches(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor, **conditions) -> Tensor:
        """How strongly the method matches each patch of a sketch with each patch of a photo.

        The default is the similarity of their features (`patch_similarity`). Methods that compare patches override it.

        Args:
            sketch_pixel_values: (1, 3, H, W)
            photo_pixel_values: (1, 3, H, W)
            conditions: As in `get_sketch_features`.

        Returns:
            (P_s, P_p), at most 1. Pairs with values of 0 or less are not matched.
        """
        from ..explain import patch_similarity

        sides = (sketch_pixel_values, "sketch"), (photo_pixel_values, "photo")
        features = [self.get_patch_features(pixels, domain, **conditions)[0] for pixels, domain in sides]
        grids = [tuple(side // self.patch_size for side in pixels.shape[-2:]) for pixels, _ in sides]
        return patch_similarity(*features, *grids)

    # Re-ranking, for methods that score a pair of images by more than their embeddings

    has_reranker: ClassVar[bool] = False
    """Whether the method has a score for pairs of a sketch and a photo, besides the similarity of their embeddings."""

    def encode_tokens(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Tokens of sketches or photos, for scoring pairs: (B, 3, H, W) -> (B, N, d)."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def pool_tokens(self, tokens: Tensor, domain: Domain) -> Tensor:
        """Embeddings of images from their tokens, as in `get_*_features`: (B, N, d) -> (B, D)."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def prepare_pairs(self, tokens: Tensor, domain: Domain) -> dict[str, Tensor]:
        """The part of scoring that depends on one image only: named tensors (B, ...)."""
        return {"tokens": tokens}

    def score_prepared(self, sketches: dict[str, Tensor], photos: dict[str, Tensor]) -> Tensor:
        """Scores (Ns, Np) of all pairs, from the results of `prepare_pairs`. Higher is more similar."""
        raise self._unavailable("has no re-ranker: it compares embeddings only")

    def score_pairs(self, sketch_tokens: Tensor, photo_tokens: Tensor) -> Tensor:
        """Scores (Ns, Np) of each sketch with each photo, from their tokens (Ns, N, d) and (Np, N, d)."""
        return self.score_prepared(
            self.prepare_pairs(sketch_tokens, "sketch"), self.prepare_pairs(photo_tokens, "photo")
        )

    def fuse_scores(self, similarities: np.ndarray, pair_scores: np.ndarray) -> np.ndarray:
        """The score that `ranking="rerank"` sorts the first photos by. The default is the pair score alone.

        Args:
            similarities: Inner products of the embeddings of the pairs, of any shape.
            pair_scores: Results of `score_prepared` for the same pairs.
        """
        return pair_scores

    # Categories, for methods whose embeddings depend on one

    @property
    def is_conditional(self) -> bool:
        """Whether embeddings depend on a category.

        Then `get_sketch_features` and `get_photo_features` take `category=`, one name or one for each row. Without it,
        they embed without a category. A category must first be added with a few images of it (`add_category`), which
        needs no training. Categories are saved with the adapter.
        """
        return False

    @property
    def categories(self) -> list[str]:
        """Names of the categories that were added."""
        return []

    @property
    def support_size(self) -> tuple[int, int]:
        """Number of sketches and of photos of a category that the method uses."""
        return 0, 0

    def add_category(
        self,
        name: str,
        sketches: Sequence[ImageLike],
        photos: Sequence[ImageLike],
        processor: SketchPromptProcessor | None = None,
    ) -> None:
        """Add a category with a few sketches and photos of it. They need not show the same objects.

        Args:
            name: Name of the category.
            sketches, photos: Images or paths. One of the two may be empty.
            processor: By default the processor of the model.

        Raises:
            TypeError: The method does not use categories.
        """
        raise self._unavailable("embeds without categories")

    def remove_category(self, name: str) -> None:
        """Remove a category. Raises a TypeError if the method does not use categories."""
        raise self._unavailable("embeds without categories")

    def predict_categories(self, pixel_values: Tensor, candidates: Sequence[str] | None = None) -> list[str]:
        """Predict the category of each image among `candidates`, by zero-shot text classification.

        Args:
            pixel_values: (B, 3, H, W) of sketches or photos.
            candidates: Names from `categories`. The default is all of them.

        Raises:
            TypeError: The method does not use categories.
        """
        raise self._unavailable("embeds without categories")

    def _undefined(self, name: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} must define {name}")

    def _unavailable(self, reason: str) -> TypeError:
        return TypeError(f"{self.method} {reason}")
