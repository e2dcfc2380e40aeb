"""The modules of DP-CLIP: prompts from a support set, scales from a text, and matching of windows."""

import math
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ..low_rank import LowRankBranches
from ..prompted_clip import TEXT_LAYER_NORMS, VISION_LAYER_NORMS, attend, run_block, run_mlp

# Windows are 5 x 5 patches of ViT-B/32's grid of 7 x 7; other grids keep the proportion.
_WINDOW, _GRID = 5, 7

LEFT_TRAINABLE_BY_REFERENCE = (
    rf"{VISION_LAYER_NORMS}|(vision|text)_model\.embeddings\.position_embedding|visual_projection"
    rf"|{TEXT_LAYER_NORMS}|text_model\.encoder\.layers\.\d+\.self_attn\.[qkv]_proj"
    r"|text_model\.final_layer_norm|text_projection"
)


class PromptGenerator(nn.Module):
    """Deep visual prompts for a category, from the patches of its support set (section 3.2 of the paper).

    The learned embeddings of each layer are projected, appended to the tokens of the support images, and passed with
    them through one transformer block that all layers share. Its outputs at their positions are the prompts.

    Args:
        vision: Architecture of the vision tower.
        n_prompts: n, number of prompts in each layer.
        dropout: Dropout of the projected embeddings in training.
        with_block: Without it, the projected embeddings are the prompts, for all categories.
    """

    def __init__(self, vision: CLIPVisionConfig, n_prompts: int, dropout: float, with_block: bool = True):
        super().__init__()
        width = vision.hidden_size
        bound = math.sqrt(6 / (3 * vision.patch_size**2 + width))
        self.embeddings = nn.Parameter(
            torch.empty(vision.num_hidden_layers, n_prompts, width).uniform_(-bound, bound)
        )
        self.projection = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.projection.weight, mode="fan_out")
        self.dropout = nn.Dropout(dropout)
        self.block = CLIPEncoderLayer(vision) if with_block else None
        if self.block is not None:
            _initialise_block(self.block)

    def forward(self, support: Tensor) -> Tensor:
        """Prompts (K, L, n, d) of K categories.

        Args:
            support: (K, T, d), the tokens of the support images of each category in sequence: class token and patches
                with their positions, before `pre_layrnorm`. T may be 0.
        """
        embeddings = self.embeddings.expand(len(support), -1, -1, -1)
        prompts = self.dropout(self.projection(embeddings))
        if self.block is None:
            return prompts
        n_layers, n_prompts = prompts.shape[1:3]
        tokens = support[:, None].expand(-1, n_layers, -1, -1).to(prompts.dtype)
        hidden = torch.cat([tokens, prompts], dim=2).flatten(0, 1)
        hidden, _ = run_block(self.block, hidden, slice(-n_prompts, None), False, False)
        return hidden.unflatten(0, (-1, n_layers))


def _initialise_block(block: CLIPEncoderLayer) -> None:
    """As in the reference code: the outputs of the MLP and the attention are almost zero at first."""
    attn = block.self_attn
    for module in (attn.q_proj, attn.k_proj, attn.v_proj):
        # Xavier's bound for the three as one matrix.
        bound = math.sqrt(6 / (4 * module.in_features))
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)
    for module in (attn.out_proj, block.mlp.fc1, block.mlp.fc2):
        nn.init.trunc_normal_(module.weight, std=0.002)
    nn.init.zeros_(attn.out_proj.bias)


def channel_scaler(text_dim: int, hidden: int, rank: int) -> nn.Sequential:
    """Computes the scales of a layer's two branches (..., 2 * rank) from text features (..., text_dim)."""
    scaler = nn.Sequential(nn.Linear(text_dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * rank))
    for module in (scaler[0], scaler[2]):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    return scaler


@lru_cache
def window_masks(grid: int) -> Tensor:
    """The tokens of four overlapping corner windows of a patch grid. The class token belongs to all windows.

    Args:
        grid: g, number of patches in a row.

    Returns:
        (4, 1 + g * g) bool: upper left, upper right, lower left, lower right.
    """
    side = max(1, round(grid * _WINDOW / _GRID))
    masks = torch.zeros(4, grid, grid, dtype=torch.bool)
    for number, (top, left) in enumerate(
        (top, left) for top in (0, grid - side) for left in (0, grid - side)
    ):
        masks[number, top : top + side, left : left + side] = True
    return torch.cat([torch.ones(4, 1, dtype=torch.bool), masks.flatten(1)], dim=1)


class WindowMatcher(nn.Module):
    """Local features of four overlapping windows of the patch grid (section 3.4 of the paper).

    Each window passes, with the class token, through a copy of the tower's last block, and through its own LayerNorm
    and projection. Only the output of the class token is used, and its input is the same in all windows. So queries,
    keys and values are computed once, and a window is a mask.

    Args:
        vision: Architecture of the vision tower.
        weights: Weights of the tower by their names in `CLIPModel`. The LayerNorms and projections start as copies of
            them.
        rank: Rank of low-rank branches beside the block, which are not scaled by text. 0 for none.
        own_block: Use its own block, whose query, key and value projections are trained. Otherwise only its
            LayerNorms differ from those of the tower.
    """

    def __init__(self, vision: CLIPVisionConfig, weights: Mapping[str, Tensor], rank: int, own_block: bool):
        super().__init__()
        self.grid = vision.image_size // vision.patch_size
        block = CLIPEncoderLayer(vision)
        prefix = f"vision_model.encoder.layers.{vision.num_hidden_layers - 1}."
        block.load_state_dict(
            {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        )
        self.layer_norm1, self.layer_norm2 = block.layer_norm1, block.layer_norm2
        self.branches = LowRankBranches(vision.hidden_size, rank) if rank else None
        self.norms = nn.ModuleList()
        for _ in range(4):
            norm = nn.LayerNorm(vision.hidden_size, eps=vision.layer_norm_eps)
            last = {name: weights[f"vision_model.post_layernorm.{name}"] for name in ("weight", "bias")}
            norm.load_state_dict(last)
            self.norms.append(norm)
        self.projections = nn.Parameter(weights["visual_projection.weight"].T.float().repeat(4, 1, 1))
        self.self_attn, self.mlp = (block.self_attn, block.mlp) if own_block else (None, None)
        if own_block:
            for module in (self.self_attn.out_proj, self.mlp.fc1, self.mlp.fc2):
                _freeze(module)

    def forward(self, tokens: Tensor, last_block: nn.Module) -> Tensor:
        """Local features (B, 4, D) of image tokens (B, 1 + P, d) before `last_block`, the last block of the tower."""
        attn, mlp = self.self_attn or last_block.self_attn, self.mlp or last_block.mlp
        normed = self.layer_norm1(tokens)
        parts = [attn.q_proj(normed[:, :1]), attn.k_proj(normed), attn.v_proj(normed)]
        if self.branches is not None:
            queries, keys, values = self.branches.attention(normed, None)
            parts = [part + added for part, added in zip(parts, (queries[:, :1], keys, values))]
        unseen = ~window_masks(self.grid).to(tokens.device)
        queries = parts[0].expand(-1, len(unseen), -1)
        mask = torch.zeros(unseen.shape, dtype=queries.dtype, device=queries.device)
        mask = mask.masked_fill(unseen, float("-inf"))
        hidden = tokens[:, :1] + attend(attn, queries.contiguous(), *parts[1:], mask=mask)[0]
        output = hidden + run_mlp(mlp, self.layer_norm2(hidden))
        if self.branches is not None:
            output = output + self.branches.mlp(hidden, None)
        normed = torch.stack([norm(output[:, i]) for i, norm in enumerate(self.norms)])
        return (normed @ self.projections.to(normed.dtype)).transpose(0, 1)

    def patch_keys(self, tokens: Tensor, last_block: nn.Module) -> Tensor:
        """The keys of the patches in the attention of the windows, (B, P, d). Arguments are as in `forward`."""
        normed = self.layer_norm1(tokens)
        keys = (self.self_attn or last_block.self_attn).k_proj(normed)
        if self.branches is not None:
            keys = keys + self.branches.attention(normed, None)[1]
        return keys[:, 1:]


def _freeze(module: nn.Linear) -> None:
    """Turn parameters into buffers, which are part of the checkpoint but not trained."""
    for name in ("weight", "bias"):
        value = getattr(module, name).detach()
        delattr(module, name)
        module.register_buffer(name, value)
