"""What the models are given to train on, and what they return."""

from dataclasses import dataclass, field

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class TripletBatch:
    """Aligned triplets: row i of every part belongs to sketch i.

    Attributes:
        sketches: (B, 3, H, W), row i a sketch of `labels[i]`.
        photos: (B, 3, H, W), row i a photo that sketch i should find.
        negatives: (B, 3, H, W), row i a photo it should not find.
        labels: (B,) indices into `config.class_names`.
        instance_ids: (B,) identity of the drawn photo.
        negative_labels: (B,) classes of the negatives.
        statistics: filled by a method: numbers () by name that belong in a training log but in no loss.
    """

    sketches: Tensor
    photos: Tensor
    negatives: Tensor | None = None
    labels: Tensor | None = None
    instance_ids: Tensor | None = None
    negative_labels: Tensor | None = None
    statistics: dict[str, Tensor] = field(default_factory=dict)

    @property
    def images(self) -> list[Tensor]:
        """Sketches, photos and, where there are any, negatives."""
        return [self.sketches, self.photos] + ([] if self.negatives is None else [self.negatives])


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
