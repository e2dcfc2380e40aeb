"""Score pairs of a sketch and a photo with a model that has a re-ranker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
    from sketch_prompt.processing import Domain

Prepared = dict[str, Tensor]
"""What `model.prepare_pairs` computed for images: named tensors (B, ...)."""


def prepare_pairs(
    model: SketchPromptPreTrainedModel, pixel_values: Tensor, domain: Domain, **options
) -> tuple[Tensor, Prepared]:
    """Features (B, D) of images and the tensors for scoring pairs, in one forward pass."""
    tokens = model.encode_tokens(pixel_values, domain, **options)
    return model.pool_tokens(tokens, domain), model.prepare_pairs(tokens, domain)


@torch.inference_mode()
def score_pairs(
    model: SketchPromptPreTrainedModel, sketches: Prepared, photos: Prepared | Iterable[Prepared]
) -> np.ndarray:
    """Scores of sketches with photos. Higher scores are more similar. The model is in eval mode meanwhile.

    Args:
        model: A model with `has_reranker`.
        sketches: S sketches.
        photos: P photos to pair with every sketch, or k photos for each sketch.

    Returns:
        (S, P) or (S, k), float32.
    """
    training = model.training
    model.eval()
    try:
        if isinstance(photos, dict):
            scores = model.score_prepared(sketches, photos)
        else:
            rows = (
                model.score_prepared({name: value[[number]] for name, value in sketches.items()}, own)
                for number, own in enumerate(photos)
            )
            scores = torch.cat(list(rows))
    finally:
        model.train(training)
    return scores.float().cpu().numpy()
