"""Inputs of training and outputs of the models."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class TripletBatch:
    """Aligned triplets: row i of each part belongs to sketch i.

    Attributes:
        sketches: (B, 3, H, W), row i is a sketch of class `labels[i]`.
        photos: (B, 3, H, W), row i is a photo that sketch i should find. None for methods that do not need photos.
        negatives: (B, 3, H, W), row i is a photo that sketch i should not find.
        labels: (B,) indices into `config.class_names`.
        instance_ids: (B,) ids of the drawn photos.
        negative_labels: (B,) classes of the negatives.
        statistics: Numbers () by name for the training log, which a method can add.
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
        """Sketches, photos and, if given, negatives."""
        return [part for part in (self.sketches, self.photos, self.negatives) if part is not None]


class SeenFeatures(NamedTuple):
    """Features of the training data from the frozen CLIP, for methods that do not embed photos in each step.

    Attributes:
        sketches: (M, D), L2-normalised. NaN if a sketch cannot be read.
        sketch_labels: (M,) indices into `config.class_names`.
        photos: (N, D), L2-normalised, of the readable photos.
        photo_labels: (N,)
    """

    sketches: Tensor
    sketch_labels: Tensor
    photos: Tensor
    photo_labels: Tensor

    def to(self, place: torch.device) -> "SeenFeatures":
        """The features on a device."""
        return SeenFeatures(*(part.to(place) for part in self))

    @property
    def mean(self) -> Tensor:
        """(D,) mean of the sketches."""
        return self.sketches.nanmean(0)

    def clarity(self, texts: Tensor) -> Tensor:
        """(M,) how clearly each sketch shows its class (`sketch_prompt.lens.clarity`), 1 on average.

        Args:
            texts: (C, D) text features of the classes.
        """
        from ..lens.ambiguity import clarity

        weights = clarity(self.sketches, texts, self.sketch_labels)
        return weights / weights.nanmean()


@dataclass
class SketchRetrievalOutput(ModelOutput):
    """Output of the `forward` of all methods.

    Attributes:
        loss: (), the weighted sum of the terms, if `return_loss=True`.
        loss_terms: Each loss by name, without its weight, for logs.
        sketch_embeds: (B, D), L2-normalised.
        photo_embeds: (B, D), L2-normalised.
        negative_embeds: (B, D), L2-normalised, if negatives were given.
        statistics: Numbers () by name for the training log.
    """

    loss: Tensor | None = None
    loss_terms: dict[str, Tensor] | None = None
    sketch_embeds: Tensor | None = None
    photo_embeds: Tensor | None = None
    negative_embeds: Tensor | None = None
    statistics: dict[str, Tensor] | None = None
