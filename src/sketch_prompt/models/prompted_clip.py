"""CLIP towers that accept prompt tokens, shared by all methods.

The functions here run the layers of a `transformers` CLIP tower one after the other. They support what the methods
need and `CLIPVisionModel.forward` does not offer:

- Prompt tokens after the patches (vision) or after the start token (text), either once (*shallow*) or new ones before
  each layer (*deep*).
- A batch whose rows have different prompts, so that sketches, photos and negatives share one pass.
- Low-rank branches beside the frozen layers, whose inner channels can be scaled for each row.
- Less work: the last layer computes only the class token (keys and values still come from all tokens), and texts are
  cut after the last end-of-text token, which changes nothing under a causal mask.
- An MLP for frozen weights that keeps one activation for the backward pass instead of three.

The modules of the tower are used as they are, including an adapter's tuned copies of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import (
    CLIPMLP,
    CLIPAttention,
    CLIPEncoderLayer,
    CLIPModel,
    CLIPTextModel,
    CLIPVisionModel,
    eager_attention_forward,
)

from .inputs import check_input_ids, check_pixel_values

if TYPE_CHECKING:
    from .low_rank import LowRankBranches

Prompts = Tensor | Sequence[Tensor | None]
"""Shallow prompts, a tensor (n, d) or (B, n, d); or deep prompts, a sequence of such tensors with one for each layer.
None for a layer keeps the prompts of the previous layer.
"""

QUICK_GELU_SLOPE = 1.702

VISION_LAYER_NORMS = r"vision_model\.(pre_layrnorm|post_layernorm|encoder\.layers\.\d+\.layer_norm[12])"
TEXT_LAYER_NORMS = r"text_model\.encoder\.layers\.\d+\.layer_norm[12]"
"""Names of the LayerNorms of both towers in `CLIPModel`, for `tuned_modules`. The final norm of texts is left out."""


@dataclass
class TowerOutput:
    """Output of a tower.

    `pooled` (B, d): the class token after `post_layernorm`, or the end-of-text token after `final_layer_norm`.
    `last_hidden_state` (B, T, d): all tokens after the last layer, or None if only the class token was computed.
    `hidden_states`: the input of each layer and the output of the last one, if asked for.
    `attentions`: (B, heads, T, T) for each layer, if asked for.
    `kept`: (B, K) indices of the patches that token selection kept, ascending, or None without token selection.
    `last_input`: (B, 1 + P, d), class token and patches before the last layer of the vision tower.
    """

    pooled: Tensor
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    kept: Tensor | None = None
    last_input: Tensor | None = None


Branches = Sequence["tuple[LowRankBranches, Tensor | None]"]
"""For every layer the paths beside it and their scales, (2, r) or (B, 2, r)."""


class _FrozenQuickGeluMlp(torch.autograd.Function):
    """fc2(quick_gelu(fc1(x))) for frozen weights, with fewer passes over the wide activation.

    quick_gelu(h) = h * sigmoid(1.702 h) = silu(1.702 h) / 1.702. Both factors are folded into the matrix products
    (`alpha`, `beta` of addmm). This leaves one in-place pass over the wide activation in each direction, and only the
    pre-activation is kept for the backward pass. On a CPU, the plain module spends a sixth of a forward pass of
    ViT-B/32 in such element-wise passes.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, fc1_weight: Tensor, fc1_bias: Tensor, fc2_weight: Tensor, fc2_bias: Tensor
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        scaled = torch.addmm(fc1_bias, rows, fc1_weight.t(), beta=QUICK_GELU_SLOPE, alpha=QUICK_GELU_SLOPE)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(scaled, fc1_weight, fc2_weight)
            activated = nn.functional.silu(scaled)
        else:
            activated = nn.functional.silu(scaled, inplace=True)
        out = torch.addmm(fc2_bias, activated, fc2_weight.t(), alpha=1 / QUICK_GELU_SLOPE)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad: Tensor):
        scaled, fc1_weight, fc2_weight = ctx.saved_tensors
        # d out / d h = 1.702 * silu'(1.702 h) / 1.702: the two factors cancel.
        wide = grad.reshape(-1, grad.shape[-1]) @ fc2_weight
        torch.ops.aten.silu_backward.grad_input(wide, scaled, grad_input=wide)
        return (wide @ fc1_weight).view(*grad.shape[:-1], -1), None, None, None, None


def _is_frozen_linear(module: nn.Module) -> bool:
    return (
        type(module) is nn.Linear
        and module.bias is not None
        and not module.weight.requires_grad
        and not module.bias.requires_grad
        and not module._forward_hooks
        and not module._forward_pre_hooks
    )


def run_mlp(mlp: CLIPMLP, hidden: Tensor) -> Tensor:
    """The MLP of a layer, (..., d) -> (..., d). Uses the faster `_FrozenQuickGeluMlp` if its weights are frozen."""
    if (
        mlp.config.hidden_act == "quick_gelu"
        and hidden.dtype == mlp.fc1.weight.dtype
        and not torch.is_autocast_enabled(hidden.device.type)
        and _is_frozen_linear(mlp.fc1)
        and _is_frozen_linear(mlp.fc2)
    ):
        return _FrozenQuickGeluMlp.apply(hidden, mlp.fc1.weight, mlp.fc1.bias, mlp.fc2.weight, mlp.fc2.bias)
    return mlp(hidden)


def attend(
    attn: CLIPAttention,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of projected tokens, through the attention interface of transformers, and the output projection.

    Args:
        attn: The attention module of a layer.
        queries: (B, Q, d)
        keys, values: (B, T, d)
        mask: (Q, T), added to the scores.
        causal: Apply a causal mask.
        need_weights: Also return the attention weights. This uses eager attention.

    Returns:
        (B, Q, d), and (B, heads, Q, T) or None.
    """
    heads = (queries.shape[0], -1, attn.num_heads, attn.head_dim)
    queries, keys, values = (part.view(heads).transpose(1, 2) for part in (queries, keys, values))
    implementation = "eager" if need_weights else attn.config._attn_implementation or "eager"
    attention = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
    if causal and implementation == "eager":
        n = keys.shape[2]
        mask = torch.full((n, n), float("-inf"), dtype=keys.dtype, device=keys.device).triu(1)
    out, weights = attention(
        attn, queries, keys, values, mask, scaling=attn.scale, dropout=0.0, is_causal=causal
    )
    return attn.out_proj(out.reshape(*out.shape[:2], -1)), weights


def _block(
    layer: CLIPEncoderLayer,
    hidden: Tensor,
    read_out: slice,
    causal: bool,
    need_weights: bool,
    branches: "LowRankBranches | None" = None,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """A pre-norm transformer layer, (B, T, d) -> (B, len(read_out), d). Only the tokens `read_out` are queries."""
    attn, normed = layer.self_attn, layer.layer_norm1(hidden)
    parts = [attn.q_proj(normed[:, read_out]), attn.k_proj(normed), attn.v_proj(normed)]
    if branches is not None:
        queries, keys, values = branches.attention(normed, scale)
        parts = [part + added for part, added in zip(parts, (queries[:, read_out], keys, values))]
    attended, weights = attend(attn, *parts, causal=causal, need_weights=need_weights)
    hidden = hidden[:, read_out] + attended
    output = hidden + run_mlp(layer.mlp, layer.layer_norm2(hidden))
    return output if branches is None else output + branches.mlp(hidden, scale), weights


def run_block(layer: CLIPEncoderLayer, hidden: Tensor, *args) -> tuple[Tensor, Tensor | None]:
    """Run a layer, with gradient checkpointing if it is on. Arguments and output are those of `_block`."""
    # transformers checkpoints only in training mode, and the towers stay in eval mode.
    if layer.gradient_checkpointing and torch.is_grad_enabled():
        return layer._gradient_checkpointing_func(_block, layer, hidden, *args)
    return _block(layer, hidden, *args)


ALL_TOKENS = slice(None)
CLASS_TOKEN = slice(0, 1)


def _expand(prompts: Tensor, like: Tensor) -> Tensor:
    """Prompts as (B, n, d), with the data type and device of `like` (B, T, d)."""
    if prompts.shape[-1] != like.shape[-1]:
        raise ValueError(f"prompts are {prompts.shape[-1]} wide, the tower's tokens {like.shape[-1]}")
    if prompts.dim() == 3 and prompts.shape[0] != like.shape[0]:
        raise ValueError(f"prompts for a batch of {prompts.shape[0]} do not fit a batch of {like.shape[0]}")
    return prompts.to(like).expand(like.shape[0], -1, -1)


def _by_layer(prompts: Prompts | None, n_layers: int) -> tuple[Tensor | None, Sequence[Tensor | None] | None]:
    """Split `prompts` into those of the input and, if deep, those of each layer."""
    if prompts is None or isinstance(prompts, Tensor):
        return prompts, None
    if len(prompts) != n_layers:
        raise ValueError(
            f"deep prompts need one tensor for each layer: got {len(prompts)} for {n_layers} layers"
        )
    return prompts[0], prompts


Tokenizer = Callable[[Tensor, Tensor], Tensor]
"""Changes patch embeddings: called with images (B, 3, H, W) and their patch embeddings (B, d, g, g)."""


def embed_patches(
    vision: CLIPVisionModel,
    pixel_values: Tensor,
    class_embedding: Tensor | None = None,
    tokenizer: Tokenizer | None = None,
) -> Tensor:
    """Token sequences before `pre_layrnorm`: class token and patches with their positions.

    Args:
        vision: The vision tower.
        pixel_values: (B, 3, H, W) of the image size of the tower.
        class_embedding: (d,), instead of the one of the tower (for adapters that train it).
        tokenizer: Changes the patch embeddings before positions are added.

    Returns:
        (B, 1 + P, d)

    Raises:
        ValueError: The images have another size.
    """
    embeddings = vision.embeddings
    check_pixel_values(pixel_values, embeddings.image_size)
    pixel_values = pixel_values.to(embeddings.patch_embedding.weight.dtype)
    patches = embeddings.patch_embedding(pixel_values)
    if tokenizer is not None:
        patches = tokenizer(pixel_values, patches)
    patches = patches.flatten(2).transpose(1, 2)
    cls = embeddings.class_embedding if class_embedding is None else class_embedding.to(patches.dtype)
    tokens = torch.cat([cls.expand(patches.shape[0], 1, -1), patches], dim=1)
    return tokens + embeddings.position_embedding(embeddings.position_ids)


def _select_patches(hidden: Tensor, weights: Tensor, kept: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Keep a share `rate` of the patches, those with the most attention of the class token.

    This is the token selection of EViT (Liang et al., ICLR 2022).

    Args:
        hidden: (B, T, d), tokens in the order [class, patches, prompts].
        weights: (B, heads, T, T), attention of the layer that computed them.
        kept: (B, K), numbers of the patches among them.

    Returns:
        The remaining tokens and the numbers of the patches among them, in order.
    """
    n = kept.shape[1]
    attention = weights[:, :, 0, 1 : 1 + n].mean(1)
    chosen = attention.topk(math.ceil(rate * n), dim=1).indices.sort(1).values
    patches = hidden[:, 1 : 1 + n].gather(1, chosen[..., None].expand(-1, -1, hidden.shape[-1]))
    return torch.cat([hidden[:, :1], patches, hidden[:, 1 + n :]], dim=1), kept.gather(1, chosen)


def encode_vision(
    vision: CLIPVisionModel,
    pixel_values: Tensor,
    prompts: Prompts | None = None,
    *,
    class_embedding: Tensor | None = None,
    tokenizer: Tokenizer | None = None,
    keep_rates: Sequence[float] | None = None,
    branches: Branches | None = None,
    output_tokens: bool = False,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> TowerOutput:
    """Run the vision tower. Prompts are appended after the patches, without positions, before `pre_layrnorm`.

    Args:
        vision: The vision tower (`CLIPModel.vision_model`).
        pixel_values: (B, 3, H, W)
        prompts: Shallow or deep prompts (see `Prompts`). Before each layer, deep prompts replace those of the previous
            layer.
        class_embedding: (d,), instead of the one of the tower.
        tokenizer: Changes the patch embeddings before positions are added.
        keep_rates: Share of the patches to keep after each layer. Those with the least attention of the class token
            are dropped.
        branches: Low-rank paths beside each layer.
        output_tokens: Also return all tokens of the last layer. Otherwise the last layer computes only the class
            token, which saves most of its work.
        output_hidden_states, output_attentions: Also return these, for all tokens and layers.

    Returns:
        A `TowerOutput` with tokens in the order [class, patches, prompts].
    """
    layers = vision.encoder.layers
    first, deep = _by_layer(prompts, len(layers))
    rates = [1.0] * len(layers) if keep_rates is None else keep_rates
    if len(rates) != len(layers):
        raise ValueError(
            f"keep_rates need one share for each layer: got {len(rates)} for {len(layers)} layers"
        )
    hidden = embed_patches(vision, pixel_values, class_embedding, tokenizer)
    n_image = hidden.shape[1]
    kept = torch.arange(n_image - 1, device=hidden.device).expand(hidden.shape[0], -1)
    if first is not None:
        hidden = torch.cat([hidden, _expand(first, hidden)], dim=1)
    hidden = vision.pre_layrnorm(hidden)

    all_tokens = output_tokens or output_hidden_states or output_attentions
    hidden_states, attentions = [], []
    for depth, layer in enumerate(layers):
        last_input = hidden[:, :n_image]
        if deep is not None and depth > 0 and deep[depth] is not None:
            hidden = torch.cat([hidden[:, :n_image], _expand(deep[depth], hidden)], dim=1)
        if output_hidden_states:
            hidden_states.append(hidden)
        last = depth == len(layers) - 1
        read_out = CLASS_TOKEN if last and not all_tokens else ALL_TOKENS
        beside = () if branches is None else branches[depth]
        selects = rates[depth] < 1 and read_out is ALL_TOKENS
        hidden, weights = run_block(layer, hidden, read_out, False, output_attentions or selects, *beside)
        attentions.append(weights)
        if selects:
            hidden, kept = _select_patches(hidden, weights, kept, rates[depth])
            n_image = 1 + kept.shape[1]
    if output_hidden_states:
        hidden_states.append(hidden)
    return TowerOutput(
        pooled=vision.post_layernorm(hidden[:, 0]),
        last_hidden_state=hidden if all_tokens else None,
        hidden_states=tuple(hidden_states) if output_hidden_states else None,
        attentions=tuple(attentions) if output_attentions else None,
        kept=None if keep_rates is None else kept,
        last_input=last_input,
    )


def coloured_blobs(size: int) -> Tensor:
    """Images of soft coloured blobs, coarse and fine, always the same: pixel values (12, 3, size, size)."""
    generator = torch.Generator().manual_seed(0)
    grids = [torch.randn(4, 3, side, side, generator=generator, device="cpu") for side in (4, 8, 16)]
    return torch.cat([nn.functional.interpolate(grid, size=(size, size), mode="bilinear") for grid in grids])


@torch.no_grad()
def mean_tokens(vision: CLIPVisionModel) -> Tensor:
    """The mean patch before each layer, (L, d). Prompts can start there, near the tokens that CLIP was trained on.

    It is computed from `coloured_blobs`, so no data are needed. From the second layer on, the cosine with the mean of
    photos is 0.94 or more. The first row is the mean before `pre_layrnorm`, which prompts of the first layer pass
    through, too.
    """
    weight = vision.embeddings.patch_embedding.weight
    if weight.is_meta:  # a skeleton, whose tensors have shapes alone
        return weight.new_empty(len(vision.encoder.layers), weight.shape[0])
    blobs = coloured_blobs(vision.embeddings.image_size).to(weight)
    entering = encode_vision(vision, blobs, output_hidden_states=True).hidden_states[1:-1]
    return torch.stack([tokens[:, 1:].mean((0, 1)) for tokens in (embed_patches(vision, blobs), *entering)])


def patch_keys(
    vision: CLIPVisionModel,
    tower: TowerOutput,
    branches: "LowRankBranches | None" = None,
    scale: Tensor | None = None,
) -> Tensor:
    """The keys of the patches in the attention of the last layer, (B, P, d).

    Of the local features of a tower, these match best across images. They describe what a patch shows, while CLIP
    never uses the output tokens of the patches in the last layer (Amir et al. 2021, *Deep ViT Features as Dense Visual
    Descriptors*).

    Args:
        vision: The vision tower.
        tower: The output of `encode_vision`.
        branches, scale: The low-rank path beside the last layer, if there was one.
    """
    layer = vision.encoder.layers[-1]
    normed = layer.layer_norm1(tower.last_input)
    keys = layer.self_attn.k_proj(normed)
    if branches is not None:
        keys = keys + branches.attention(normed, scale)[1]
    return keys[:, 1:]


def project_image(clip: CLIPModel, pooled: Tensor) -> Tensor:
    """Embeddings of images from the `pooled` output of the vision tower: (B, d_v) -> (B, D), L2-normalised."""
    return nn.functional.normalize(clip.visual_projection(pooled), dim=-1)


def project_text(clip: CLIPModel, pooled: Tensor) -> Tensor:
    """Embeddings of texts from the `pooled` output of the text tower: (B, d_t) -> (B, D), L2-normalised."""
    return nn.functional.normalize(clip.text_projection(pooled), dim=-1)


def end_of_text_positions(text: CLIPTextModel, input_ids: Tensor) -> Tensor:
    """Position (B,) of the end-of-text token in each row, as in `CLIPTextModel`.

    Configurations that were converted before transformers 4.31 have `eos_token_id` 2, which means "the highest id".
    """
    ids = input_ids.to(torch.int)
    return ids.argmax(-1) if text.eos_token_id == 2 else (ids == text.eos_token_id).int().argmax(-1)


def encode_text(
    text: CLIPTextModel,
    input_ids: Tensor,
    prompts: Prompts | None = None,
    *,
    placement: str = "precede",
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> TowerOutput:
    """Run the text tower, with prompts after the start token.

    The tower is causal, so tokens after the end-of-text token have no influence. Padding that all rows share is cut
    off, and no attention mask is needed.

    Args:
        text: The text tower (`CLIPModel.text_model`).
        input_ids: (B, T), each row with a start token at the beginning and an end-of-text token.
        prompts: Shallow or deep prompts (see `Prompts`) of n tokens.
        placement: `"precede"` inserts the prompts, so that the words move by n places. `"replace"` overwrites the n
            tokens after the start token.
        output_hidden_states, output_attentions: Also return these, for all layers.

    Returns:
        A `TowerOutput`. `pooled` is the end-of-text token after `final_layer_norm`.

    Raises:
        TypeError, ValueError: See `check_input_ids`; or text and prompts together exceed the context of the tower.
    """
    if placement not in ("precede", "replace"):
        raise ValueError(f"placement must be 'precede' or 'replace', not {placement!r}")
    check_input_ids(input_ids, text.embeddings.token_embedding.num_embeddings)
    layers = text.encoder.layers
    first, deep = _by_layer(prompts, len(layers))
    n_prompts = 0 if first is None else first.shape[-2]
    end = end_of_text_positions(text, input_ids)
    length = int(end.max()) + 1
    words = text.embeddings.token_embedding(input_ids[:, :length])
    rest = 1 if placement == "precede" else 1 + n_prompts
    if first is not None:
        words = torch.cat([words[:, :1], _expand(first, words), words[:, rest:]], dim=1)
        end = end + (n_prompts if placement == "precede" else 0)
    context = text.config.max_position_embeddings
    if words.shape[1] > context:
        raise ValueError(f"{words.shape[1]} text and prompt tokens do not fit the context of {context}")
    hidden = words + text.embeddings.position_embedding(text.embeddings.position_ids[:, : words.shape[1]])

    hidden_states, attentions = [], []
    for depth, layer in enumerate(layers):
        if deep is not None and depth > 0 and deep[depth] is not None:
            hidden = torch.cat(
                [hidden[:, :1], _expand(deep[depth], hidden), hidden[:, 1 + n_prompts :]], dim=1
            )
        if output_hidden_states:
            hidden_states.append(hidden)
        hidden, weights = run_block(layer, hidden, ALL_TOKENS, True, output_attentions)
        attentions.append(weights)
    if output_hidden_states:
        hidden_states.append(hidden)
    hidden = text.final_layer_norm(hidden)
    return TowerOutput(
        pooled=hidden[torch.arange(hidden.shape[0], device=hidden.device), end],
        last_hidden_state=hidden,
        hidden_states=tuple(hidden_states) if output_hidden_states else None,
        attentions=tuple(attentions) if output_attentions else None,
    )
