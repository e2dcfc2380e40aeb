"""Random changes to a batch of photos that leave its classes as they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def normalize(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 with CLIP's mean and standard deviation."""
    return (pixels.permute(0, 3, 1, 2).float() / 255 - _MEAN) / _STD


def augment(pixels: Tensor, strength: float = 1.0) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32: moved, flipped, recoloured, sometimes grey or inverted.

    `strength` from 0 to 1 scales how much and how often, but for the mirror image.
    """
    images = _move(pixels.permute(0, 3, 1, 2).float() / 255, strength)
    batch = len(images)
    grey = images.mean(dim=1, keepdim=True).expand_as(images)
    images = torch.where(_sometimes(batch, 0.25 * strength), grey, images)
    images = torch.where(_sometimes(batch, 0.25 * strength), images[:, torch.randperm(3)], images)
    images = torch.where(_sometimes(batch, 0.15 * strength), 1 - images, images)
    gain = 1 + strength * 0.5 * (torch.rand(batch, 3, 1, 1) - 0.5)
    images = (images - 0.5) * gain + 0.5 + strength * 0.3 * (torch.rand(batch, 3, 1, 1) - 0.5)
    return (images.clamp(0, 1) - _MEAN) / _STD


def _move(images: Tensor, strength: float) -> Tensor:
    batch = len(images)
    angle = (torch.rand(batch) - 0.5) * 0.5 * strength
    scale = 1 + strength * (0.35 * torch.rand(batch) - 0.2)
    mirror = torch.where(torch.rand(batch) < 0.5, -1.0, 1.0)
    c, s = angle.cos() * scale, angle.sin() * scale
    shift = (torch.rand(batch, 2) - 0.5) * 0.3 * strength
    theta = torch.stack(
        [torch.stack([c * mirror, -s, shift[:, 0]], 1), torch.stack([s * mirror, c, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _sometimes(batch: int, probability: float) -> Tensor:
    return torch.rand(batch, 1, 1, 1) < probability
