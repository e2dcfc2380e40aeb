"""CLIP towers that accept prompt tokens, shared by every method.

The functions here run the layers of a `transformers` CLIP tower one after the other. They add what the methods
need and `CLIPVisionModel.forward` does not offer:

- prompt tokens after the patches (vision) or after the start token (text), once (*shallow*) or anew in front of
  every layer (*deep*);
- one batch whose rows carry different prompts, so that sketches, photos and negatives share one pass;
- low-rank branches beside the frozen layers, whose inner channels can be scaled row by row;
- only the work that the output needs: the last layer computes the class token alone (keys and values still come
  from every token), and texts are cut after the last end-of-text token, which changes nothing under a causal mask;
- an MLP for frozen weights that keeps one activation instead of three for the backward pass.

The modules themselves are used as they are, so whatever stands in for one of them (an adapter's tuned copy) takes
part.
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
"""Shallow prompts, a tensor (n, d) or (B, n, d), or deep ones: a sequence of such tensors, one for every layer; None
for a layer that takes the prompts as the previous one left them."""

QUICK_GELU_SLOPE = 1.702

VISION_LAYER_NORMS = r"vision_model\.(pre_layrnorm|post_layernorm|encoder\.layers\.\d+\.layer_norm[12])"
TEXT_LAYER_NORMS = r"text_model\.encoder\.layers\.\d+\.layer_norm[12]"
"""Names of the towers' LayerNorms in `CLIPModel`, for `tuned_modules`; text without its `final_layer_norm`."""


@dataclass
class TowerOutput:
    """What a tower returns.

    `pooled` (B, d): the class token after `post_layernorm`, or the end-of-text token after `final_layer_norm`.
    `last_hidden_state` (B, T, d): every token after the last layer, or None if only the class token was computed.
    `hidden_states`: the input of every layer and the output of the last, if asked for.
    `attentions`: (B, heads, T, T) for every layer, if asked for.
    `kept`: (B, K) indices of the patches that token selection kept, ascending, or None without token selection.
    `last_input`: (B, 1 + P, d), class token and patches as they enter the last layer of the vision tower.
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
    """fc2(quick_gelu(fc1(x))) for weights that do not train, without needless passes over the wide activation.

    quick_gelu(h) = h * sigmoid(1.702 h) = silu(1.702 h) / 1.702. Both factors are folded into the matrix products
    (`alpha`, `beta` of addmm). That leaves one in-place pass over the wide activation in each direction, and only
    the pre-activation is kept for the backward pass. On a CPU the plain module spends a sixth of a forward pass
    of ViT-B/32 in such element-wise passes.
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
    """A layer's MLP, (..., d) -> (..., d); the faster `_FrozenQuickGeluMlp` where its weights are frozen."""
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
    """Attention of projected tokens through transformers' interface, and the output projection.

    Args:
        attn: a layer's attention module.
        queries: (B, Q, d)
        keys, values: (B, T, d)
        mask: (Q, T), added to the scores.
        causal: apply a causal mask.
        need_weights: also return the attention weights; this uses eager attention.

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
    """One pre-norm transformer layer, (B, T, d) -> (B, len(read_out), d): queries come from these tokens alone."""
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
    """Run a layer, with gradient checkpointing if it is on: the output of `_block`, which takes the same arguments."""
    # transformers checkpoints only in training mode, and the towers stay in eval mode.
    if layer.gradient_checkpointing and torch.is_grad_enabled():
        return layer._gradient_checkpointing_func(_block, layer, hidden, *args)
    return _block(layer, hidden, *args)


ALL_TOKENS = slice(None)
CLASS_TOKEN = slice(0, 1)


def _expand(prompts: Tensor, like: Tensor) -> Tensor:
    """Prompts as (B, n, d), with the dtype and device of `like` (B, T, d)."""
    if prompts.shape[-1] != like.shape[-1]:
        raise ValueError(f"prompts are {prompts.shape[-1]} wide, the tower's tokens {like.shape[-1]}")
    if prompts.dim() == 3 and prompts.shape[0] != like.shape[0]:
        raise ValueError(f"prompts for a batch of {prompts.shape[0]} do not fit a batch of {like.shape[0]}")
    return prompts.to(like).expand(like.shape[0], -1, -1)


def _by_layer(prompts: Prompts | None, n_layers: int) -> tuple[Tensor | None, Sequence[Tensor | None] | None]:
    """Split `prompts` into those of the input and, if deep, those of every layer."""
    if prompts is None or isinstance(prompts, Tensor):
        return prompts, None
    if len(prompts) != n_layers:
        raise ValueError(
            f"deep prompts need one tensor for each layer: got {len(prompts)} for {n_layers} layers"
        )
    return prompts[0], prompts


Tokenizer = Callable[[Tensor, Tensor], Tensor]
"""From images (B, 3, H, W) and the tower's own patch embeddings of them (B, d, g, g) to those it is to use."""


def embed_patches(
    vision: CLIPVisionModel,
    pixel_values: Tensor,
    class_embedding: Tensor | None = None,
    tokenizer: Tokenizer | None = None,
) -> Tensor:
    """Token sequences before `pre_layrnorm`: class token and patches with their positions.

    Args:
        vision: the vision tower.
        pixel_values: (B, 3, H, W); H and W must be the tower's image size.
        class_embedding: (d,), in place of the tower's own (for adapters that train it).
        tokenizer: changes the patch embeddings before they get their positions.

    Returns:
        (B, 1 + P, d)

    Raises:
        ValueError: if the images have another size than the tower's.
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
    """Keep the share `rate` of the patches, those the class token attends to most (EViT, Liang et al., ICLR 2022).

    Args:
        hidden: (B, T, d), tokens ordered [class, patches, prompts].
        weights: (B, heads, T, T), the attention of the layer they come from.
        kept: (B, K), the numbers of the patches among them.

    Returns:
        The tokens left and the numbers of the patches among them, in order.
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
    """Run the vision tower with prompts appended after the patches, without positions, before `pre_layrnorm`.

    Args:
        vision: the vision tower (`CLIPModel.vision_model`).
        pixel_values: (B, 3, H, W)
        prompts: shallow or deep (see `Prompts`); deep prompts replace the previous layer's before each layer.
        class_embedding: (d,), in place of the tower's own.
        tokenizer: changes the patch embeddings before they get their positions.
        keep_rates: share of the patches kept after each layer; those the class token attends to least are dropped.
        branches: low-rank paths beside every layer.
        output_tokens: also return every token of the last layer; otherwise the last layer computes the class
            token alone, which saves most of that layer.
        output_hidden_states, output_attentions: also return these, for every token and layer.

    Returns:
        `TowerOutput` with tokens ordered [class, patches, prompts].
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


def coloured_blobs(size: int, each: int = 4) -> Tensor:
    """Pictures of soft coloured blobs, coarse and fine, always the same: pixel values (3 * each, 3, size, size)."""
    generator = torch.Generator().manual_seed(0)
    grids = [torch.randn(each, 3, side, side, generator=generator, device="cpu") for side in (4, 8, 16)]
    return torch.cat([nn.functional.interpolate(grid, size=(size, size), mode="bilinear") for grid in grids])


@torch.no_grad()
def mean_tokens(vision: CLIPVisionModel) -> Tensor:
    """The mean patch as it enters each layer, (L, d): where prompts resemble what the class token attends to.

    Of `coloured_blobs`, so that no data are needed: from the second layer on their mean has a cosine of 0.94 or more
    with that of photos. The first row is the mean before `pre_layrnorm`, which prompts of the first layer pass too.
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
    """The keys of the patches in the last layer's attention, (B, P, d).

    Of a tower's local features these match best across images: they describe what a patch shows, while the output
    tokens of the patches in the last layer are never used by CLIP (Amir et al. 2021, *Deep ViT Features as Dense
    Visual Descriptors*).

    Args:
        vision: the vision tower.
        tower: the output of `encode_vision`.
        branches, scale: the low-rank path beside the last layer, if it ran with one.
    """
    layer = vision.encoder.layers[-1]
    normed = layer.layer_norm1(tower.last_input)
    keys = layer.self_attn.k_proj(normed)
    if branches is not None:
        keys = keys + branches.attention(normed, scale)[1]
    return keys[:, 1:]


def project_image(clip: CLIPModel, pooled: Tensor) -> Tensor:
    """The embedding of images from the vision tower's `pooled` output: (B, d_v) -> (B, D), L2-normalised."""
    return nn.functional.normalize(clip.visual_projection(pooled), dim=-1)


def project_text(clip: CLIPModel, pooled: Tensor) -> Tensor:
    """The embedding of texts from the text tower's `pooled` output: (B, d_t) -> (B, D), L2-normalised."""
    return nn.functional.normalize(clip.text_projection(pooled), dim=-1)


def end_of_text_positions(text: CLIPTextModel, input_ids: Tensor) -> Tensor:
    """Position of each row's end-of-text token, (B,), found as `CLIPTextModel` finds it.

    Configs converted before transformers 4.31 carry `eos_token_id` 2, which stands for "the highest id".
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

    Tokens after the end-of-text token cannot influence it, since the tower is causal. So the padding that all rows
    share is cut off, and no attention mask is needed.

    Args:
        text: the text tower (`CLIPModel.text_model`).
        input_ids: (B, T) with a start token first and an end-of-text token somewhere.
        prompts: shallow or deep (see `Prompts`), n tokens wide.
        placement: `"precede"` inserts the prompts, so that the words move by n places; `"replace"` overwrites the n
            tokens that follow the start token.
        output_hidden_states, output_attentions: also return these, for every layer.

    Returns:
        `TowerOutput`; `pooled` is the end-of-text token after `final_layer_norm`.

    Raises:
        TypeError, ValueError: see `check_input_ids`; or text and prompts together are longer than the tower's context.
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
