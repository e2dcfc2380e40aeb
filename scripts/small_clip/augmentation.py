"""Random changes to photos and drawings, and photos as line drawings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_clip.augmentation import normalize


def augment_photos(pixels: Tensor, as_lines: Tensor, generator: torch.Generator) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised.

    Moved, mirrored, recoloured a little, sometimes grey; those of `as_lines` (B,) become line drawings.
    """
    images = _move(pixels.permute(0, 3, 1, 2).float() / 255, 0.12, 0.15, 0.1, "reflection", generator)
    batch = len(images)
    grey = images.mean(dim=1, keepdim=True).expand_as(images)
    images = torch.where(_rand(generator, batch, 1, 1, 1) < 0.15, grey, images)
    gain = 1 + 0.4 * (_rand(generator, batch, 1, 1, 1) - 0.5)
    shift = 0.15 * (_rand(generator, batch, 3, 1, 1) - 0.5)
    images = ((images - 0.5) * gain + 0.5 + shift).clamp(0, 1)
    if as_lines.any():
        images[as_lines] = line_drawing(images[as_lines])
    return _normalized(images)


def augment_drawings(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """(B, H, W) uint8, dark on white -> (B, 3, H, W) float32, normalised; moved and mirrored."""
    ink = 1 - pixels[:, None].float() / 255
    ink = _move(ink, 0.06, 0.1, 0.05, "zeros", generator)
    return _normalized((1 - ink).expand(-1, 3, -1, -1))


def line_drawing(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> the same as dark lines on white, where brightness changes most."""
    grey = F.avg_pool2d(images.mean(dim=1, keepdim=True), 3, 1, 1)
    sobel = images.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([sobel, sobel.mT])[:, None]
    edges = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels).norm(dim=1)
    strong = edges.flatten(1).quantile(0.93, dim=1)[:, None, None].clamp(min=1e-3)
    lines = 1 - ((edges / strong - 0.4) / 0.6).clamp(0, 1)
    return lines[:, None].expand_as(images)


def _normalized(images: Tensor) -> Tensor:
    return normalize((images * 255).permute(0, 2, 3, 1))


def _move(
    images: Tensor, shift: float, zoom: float, turn: float, padding: str, generator: torch.Generator
) -> Tensor:
    batch = len(images)
    angle = turn * 2 * (_rand(generator, batch) - 0.5)
    scale = 1 + zoom * 2 * (_rand(generator, batch) - 0.6)
    mirror = torch.where(_rand(generator, batch) < 0.5, -1.0, 1.0)
    c, s = angle.cos() * scale, angle.sin() * scale
    offset = 2 * shift * (_rand(generator, batch, 2) - 0.5)
    theta = torch.stack(
        [torch.stack([c * mirror, -s, offset[:, 0]], 1), torch.stack([s * mirror, c, offset[:, 1]], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator)
