"""Explain a pair of a sketch and a photo with a model."""

from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from ..imaging import ImageLike, to_rgb
from ..processing import Domain, SketchPromptImageProcessor, SketchPromptProcessor
from .correspondence import Box, Correspondence
from .matching import Grid, ink_patches, match_one_to_one

SHOWN_SIDE = 448  # pixels; smaller inputs are enlarged by a whole number to at least this size


class ExplainableModel(Protocol):
    """The part of a model that an explanation needs; see `SketchPromptPreTrainedModel`."""

    method: str
    patch_size: int
    processor: SketchPromptProcessor | None
    device: torch.device

    def get_sketch_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""

    def get_photo_features(self, pixel_values: Tensor, **conditions) -> Tensor:
        """(B, 3, H, W) -> (B, D)"""

    def relate_patches(self, sketch_pixel_values: Tensor, photo_pixel_values: Tensor, **conditions) -> Tensor:
        """(1, 3, H, W) twice -> (P_s, P_p)"""


@dataclass(frozen=True)
class _Side:
    """A sketch or a photo: the model's input (1, 3, H, W), its colours (3, H, W), and the picture to show."""

    pixel_values: Tensor
    colours: Tensor
    grid: Grid
    shown: Image.Image
    view: Box | None


def explain_pair(
    model: ExplainableModel, sketch: ImageLike | Tensor, photo: ImageLike | Tensor, **conditions
) -> Correspondence:
    """The implementation of `model.explain`; see there."""
    # a method may compute gradients, which inference mode does not allow
    with torch.inference_mode(False), torch.no_grad():
        s, p = _side(model, sketch, "sketch"), _side(model, photo, "photo")
        ink = ink_patches(s.colours, s.grid)
        if not ink.any():
            raise ValueError("the sketch is blank: it has no ink to match")
        similarity = model.relate_patches(s.pixel_values, p.pixel_values, **conditions).float().cpu()
        embeddings = (
            model.get_sketch_features(s.pixel_values, **conditions),
            model.get_photo_features(p.pixel_values, **conditions),
        )
    matches, weights = match_one_to_one(similarity, ink)
    strength = similarity.clamp(0, 1) * ink[:, None]
    return Correspondence(
        method=model.method,
        score=float((embeddings[0].float() * embeddings[1].float()).sum()),
        sketch_grid=s.grid,
        photo_grid=p.grid,
        matches=matches,
        weights=weights,
        similarity=similarity.numpy(),
        ink=ink.numpy(),
        sketch_map=strength.amax(1).reshape(s.grid).numpy(),
        photo_map=strength.amax(0).reshape(p.grid).numpy(),
        sketch_image=s.shown,
        photo_image=p.shown,
        sketch_view=s.view,
        photo_view=p.view,
    )


def _side(model: ExplainableModel, image: ImageLike | Tensor, domain: Domain) -> _Side:
    processor = model.processor and model.processor.image_processor
    picture, view = None, None
    if _is_pixel_values(image):
        pixel_values = _one_image(image, domain)
    elif processor is None:
        raise ValueError(
            f"this {model.method} model came without a processor, which a {domain} that is a picture needs: set "
            "model.processor = SketchPromptProcessor.from_base_model(...), or give pixel values"
        )
    else:
        try:
            picture = to_rgb(image)
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"the {domain} cannot be used: {error}") from error
        pixel_values = processor.preprocess(picture, domain)[None]
    # If the side is not a multiple of the patch size, patches do not cover the right and bottom edges.
    height, width = pixel_values.shape[-2:]
    grid = (height // model.patch_size, width // model.patch_size)
    rows, columns = grid[0] * model.patch_size, grid[1] * model.patch_size
    colours = (processor or SketchPromptImageProcessor()).denormalize(
        pixel_values[0, :, :rows, :columns].cpu()
    )
    scale = -(-SHOWN_SIDE // max(height, width))
    if picture is None:
        shown = Image.fromarray((colours * 255).round().byte().permute(1, 2, 0).numpy())
        shown = shown.resize((columns * scale, rows * scale), Image.Resampling.NEAREST)
    else:
        shown = processor.to_square(picture, domain, scale).crop((0, 0, columns * scale, rows * scale))
        left, top, right, bottom = processor.field_of_view(picture, domain)
        view = (left, top, left + (right - left) * columns / width, top + (bottom - top) * rows / height)
    return _Side(pixel_values.to(model.device), colours, grid, shown, view)


def _is_pixel_values(image) -> bool:
    return isinstance(image, Tensor) and image.is_floating_point() and image.dim() in (3, 4)


def _one_image(pixel_values: Tensor, domain: Domain) -> Tensor:
    batch = pixel_values if pixel_values.dim() == 4 else pixel_values[None]
    if batch.shape[:2] != (1, 3):
        raise ValueError(
            f"explain takes one {domain}: pixel values (3, H, W) or (1, 3, H, W), not {tuple(pixel_values.shape)}"
        )
    return batch
