"""The shape of mini-clip and how its vision tower starts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from mini_clip.captions import CONTEXT_LENGTH

IMAGE_SIZE = 64
PATCH_SIZE = 8


def make_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A CLIPModel of 1.8 million parameters: vision 128 x 6 on 8 x 8 patches, text 128 x 2, embedding 128."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)
    model = CLIPModel(config)
    start_with_positions(model)
    start_attention_near_identity(model)
    return model


def make_image_processor() -> CLIPImageProcessor:
    """CLIP's preprocessing at mini-clip's size."""
    return CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    )


def encode_patches(
    model: CLIPModel, pixel_values: Tensor, keep: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Last hidden states (B, 1 + n, width) of the class token and a random share `keep` of the patches.

    Leaving out patches while training makes it faster in proportion (Li et al., *FLIP*, 2023).
    """
    tower = model.vision_model
    tokens = tower.embeddings(pixel_values)
    if keep < 1:
        batch, count, width = tokens.shape
        order = torch.rand(batch, count - 1, generator=generator).argsort(dim=1)
        chosen = order[:, : int((count - 1) * keep)] + 1
        chosen = torch.cat([torch.zeros(batch, 1, dtype=torch.long), chosen], dim=1)
        tokens = tokens.gather(1, chosen[..., None].expand(-1, -1, width))
    return tower.encoder(inputs_embeds=tower.pre_layrnorm(tokens)).last_hidden_state


def embed(model: CLIPModel, hidden: Tensor) -> Tensor:
    """L2-normalised image embeddings (B, D) from the class token of `encode_patches`."""
    pooled = model.vision_model.post_layernorm(hidden[:, 0])
    return torch.nn.functional.normalize(model.visual_projection(pooled), dim=-1)


@torch.no_grad()
def start_with_positions(model: CLIPModel) -> None:
    """Sine and cosine position embeddings of the patch grid, zero for the class token."""
    weight = model.vision_model.embeddings.position_embedding.weight
    side = IMAGE_SIZE // PATCH_SIZE
    quarter = weight.shape[1] // 4
    frequency = 1 / 100 ** (np.arange(quarter) / quarter)
    rows, columns = (axis.reshape(-1, 1) * frequency for axis in np.mgrid[0:side, 0:side])
    waves = np.concatenate([np.sin(rows), np.cos(rows), np.sin(columns), np.cos(columns)], axis=1)
    weight.zero_()
    weight[1:] = torch.from_numpy(waves) * 0.25


@torch.no_grad()
def start_attention_near_identity(model: CLIPModel) -> None:
    """Queries start by meeting their like (Trockman and Kolter, *Mimetic initialization*, 2023)."""
    for layer in model.vision_model.encoder.layers:
        attention = layer.self_attn
        width, heads = attention.embed_dim, attention.num_heads
        size = width // heads
        identity = torch.eye(width)
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            query, key = _factors(0.7 * identity + 0.7 * torch.randn(width, width) / width**0.5, size)
            attention.q_proj.weight[rows], attention.k_proj.weight[rows] = query.mT, key
        output, value = _factors(0.4 * torch.randn(width, width) / width**0.5 - 0.4 * identity, width)
        attention.out_proj.weight.copy_(output)
        attention.v_proj.weight.copy_(value)


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    u, s, v = torch.linalg.svd(matrix)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * v[:rank]
