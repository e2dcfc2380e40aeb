"""What the models return."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class SketchRetrievalOutput(ModelOutput):
    """Output of every method's `forward`.

    Attributes:
        loss: (), the weighted sum of the terms, when `return_loss=True`.
        loss_terms: each loss by name, before its weight, for logs.
        sketch_embeds: (B, D), L2-normalised.
        photo_embeds: (B, D), L2-normalised.
        negative_embeds: (B, D), L2-normalised, when negatives were given.
    """

    loss: Tensor | None = None
    loss_terms: dict[str, Tensor] | None = None
    sketch_embeds: Tensor | None = None
    photo_embeds: Tensor | None = None
    negative_embeds: Tensor | None = None
