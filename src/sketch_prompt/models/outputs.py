"""What the models are given to train on, and what they return."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class TripletBatch:
    """Aligned triplets: row i of every part belongs to sketch i.

    Attributes:
        sketches: (B, 3, H, W), row i a sketch of `labels[i]`.
        photos: (B, 3, H, W), row i a photo that sketch i should find; None for methods that need none in a step.
        negatives: (B, 3, H, W), row i a photo it should not find.
        labels: (B,) indices into `config.class_names`.
        instance_ids: (B,) identity of the drawn photo.
        negative_labels: (B,) classes of the negatives.
        statistics: filled by a method: numbers () by name that belong in a training log but in no loss.
    """

    sketches: Tensor
    photos: Tensor | None = None
    negatives: Tensor | None = None
    labels: Tensor | None = None
    instance_ids: Tensor | None = None
    negative_labels: Tensor | None = None
    statistics: dict[str, Tensor] = field(default_factory=dict)

    @property
    def images(self) -> list[Tensor]:
        """Sketches, photos and, where there are any, negatives."""
        return [part for part in (self.sketches, self.photos, self.negatives) if part is not None]


class SeenFeatures(NamedTuple):
    """What the frozen CLIP makes of the training data, for methods that need not embed it again in every step.

    Attributes:
        sketches: (M, D), L2-normalised; NaN where a sketch cannot be read.
        sketch_labels: (M,) indices into `config.class_names`.
        photos: (N, D), L2-normalised, of the photos that can be read.
        photo_labels: (N,)
    """

    sketches: Tensor
    sketch_labels: Tensor
    photos: Tensor
    photo_labels: Tensor

    def to(self, place: torch.device) -> "SeenFeatures":
        """The same on a device."""
        return SeenFeatures(*(part.to(place) for part in self))

    @property
    def mean(self) -> Tensor:
        """(D,) mean of the sketches."""
        return self.sketches.nanmean(0)

    def clarity(self, texts: Tensor) -> Tensor:
        """(M,) how clearly each sketch is of its class (`sketch_prompt.lens.clarity`), 1 on average.

        Args:
            texts: (C, D) text features of the classes.
        """
        from ..lens.ambiguity import clarity

        weights = clarity(self.sketches, texts, self.sketch_labels)
        return weights / weights.nanmean()


@dataclass
class SketchRetrievalOutput(ModelOutput):
    """Output of every method's `forward`.

    Attributes:
        loss: (), the weighted sum of the terms, when `return_loss=True`.
        loss_terms: each loss by name, before its weight, for logs.
        sketch_embeds: (B, D), L2-normalised.
        photo_embeds: (B, D), L2-normalised.
        negative_embeds: (B, D), L2-normalised, when negatives were given.
        statistics: numbers () that belong in a training log but in no loss, by name.
    """

    loss: Tensor | None = None
    loss_terms: dict[str, Tensor] | None = None
    sketch_embeds: Tensor | None = None
    photo_embeds: Tensor | None = None
    negative_embeds: Tensor | None = None
    statistics: dict[str, Tensor] | None = None
