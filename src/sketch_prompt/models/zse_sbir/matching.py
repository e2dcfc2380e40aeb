"""How ZSE-SBIR compares a sketch with a photo: cross attention, then a relation network.

All tensors have the batch as first dimension. What depends on one image alone (its queries, keys and values) is
computed by `PairMatcher.prepare`, what depends on a pair by `PairMatcher.score` (all pairs of two sets) and
`PairMatcher.forward` (aligned pairs, with class tokens, for training).
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .configuration_zse_sbir import ZseSbirConfig

# Memory for the activations of the pairs that are computed together; on a CPU they should fit its caches.
_CPU_BYTES, _DEVICE_BYTES = 2**24, 2**30
_NORM_EPS = 1e-6

Prepared = dict[str, Tensor]
"""One image's share of scoring: `residual` (B, T, d); `queries`, `keys`, `values` (B, heads, T', d / heads); with
token selection also `places` (B, K), the numbers of the patches that the tokens belong to."""


class PairFeatures(NamedTuple):
    """What `PairMatcher.forward` returns: class tokens (B, d) after the cross attention, relation scores (B,)."""

    sketch_class: Tensor
    photo_class: Tensor
    scores: Tensor


class UnbiasedLayerNorm(nn.Module):
    """a * (x - mean) / (std + 1e-6) + b with the unbiased standard deviation, as in the reference code."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)"""
        # torch.std_mean, which runs through every row one number at a time, takes three times as long on a CPU.
        wide = x.float()
        centred = wide - wide.mean(-1, keepdim=True)
        std = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (x.shape[-1] - 1) ** 0.5
        return torch.addcmul(self.bias, centred / (std + _NORM_EPS), self.weight).to(x.dtype)


class CrossAttention(nn.Module):
    """The cross attention of one modality: tokens (T, d) of both images -> (T, d).

    Queries and values come from the image's own tokens, keys from the other's; the residual follows the values. That
    is the reference code's wiring; its comments and the paper speak of exchanging queries.

    It starts as `config.cross_init` says.
    """

    def __init__(self, width: int, config: ZseSbirConfig):
        super().__init__()
        self.heads = config.cross_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.attention_norm = UnbiasedLayerNorm(width)
        self.fc1 = nn.Linear(width, config.cross_ffn)
        self.fc2 = nn.Linear(config.cross_ffn, width)
        self.output_norm = UnbiasedLayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        if config.cross_init == "clones":
            for layer in (self.key, self.value, self.out):
                layer.load_state_dict(self.query.state_dict())
        else:
            for branch in (self.out, self.fc2):
                nn.init.zeros_(branch.weight)
                nn.init.zeros_(branch.bias)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, heads, T, d / heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, residual: Tensor, queries: Tensor, values: Tensor, keys: Tensor) -> Tensor:
        """The image's tokens after attention to the other image.

        Args:
            residual, queries, values: of B images, or of one that is paired with B others.
            keys: (B, heads, T, d / heads) of the other images, or of one.

        Returns:
            (B, T, d), a row for every query.
        """
        n = max(len(queries), len(keys))
        attended = F.scaled_dot_product_attention(
            queries.expand(n, -1, -1, -1),
            keys.expand(n, -1, -1, -1),
            values.expand(n, -1, -1, -1),
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        attended = self.out(attended.transpose(1, 2).flatten(2))
        hidden = self.attention_norm(residual + self.dropout(attended))
        wide = self.dropout(F.relu(self.fc1(hidden)))
        return self.output_norm(hidden + self.dropout(self.fc2(wide)))


class RelationNetwork(nn.Module):
    """Relation score of two images from the cosines between their anchors: A x A -> g^3 -> A -> 1, A = g x g."""

    def __init__(self, anchors: int, config: ZseSbirConfig):
        super().__init__()
        hidden = round(anchors**1.5)
        self.layers = nn.Sequential(
            nn.Linear(anchors**2, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, anchors),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(anchors, 1),
        )

    def forward(self, cosines: Tensor) -> Tensor:
        """(..., A, A), sketch anchors in rows -> (...)"""
        return torch.sigmoid(self.layers(cosines.flatten(-2))).squeeze(-1)


class PairMatcher(nn.Module):
    """Cross attention and relation network over the tokens of two images.

    Args:
        width: of the tokens.
        grid: patches in a row.
        config: the method's configuration.

    Raises:
        ValueError: if the heads do not divide the width, or the grid is smaller than 2 x 2.
    """

    def __init__(self, width: int, grid: int, config: ZseSbirConfig):
        super().__init__()
        if width % config.cross_heads or grid < 2:
            raise ValueError(
                f"cross_heads={config.cross_heads} must divide the tower's width {width}, and its patch grid "
                f"{grid} x {grid} be 2 x 2 at least"
            )
        self.grid, self.layout, self.selects = grid, config.relation_layout, config.keep_rates is not None
        self.sides = nn.ModuleDict({name: CrossAttention(width, config) for name in ("sketch", "photo")})
        if config.cross_init == "clones":
            self.sides["photo"].load_state_dict(self.sides["sketch"].state_dict())
        self.anchors = nn.Conv2d(width, config.relation_channels, 2, 2)
        self.relation = RelationNetwork((grid // 2) ** 2, config)

    def prepare(self, tokens: Tensor, domain: str, asking: str = "patches") -> Prepared:
        """The part of scoring that depends on one image alone.

        Args:
            tokens: (B, 1 + P, d), the class token first; the rows of patches that token selection left out are zero.
            domain: `"sketch"` or `"photo"`.
            asking: whose output is wanted: that of the `"patches"`, of the `"class"` token, or of `"all"` tokens.
        """
        places = None
        if self.selects:
            places = _kept_places(tokens)
            kept = tokens[:, 1:].gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
            tokens = torch.cat([tokens[:, :1], kept], dim=1)
        own, other = self.sides[domain], self.sides["photo" if domain == "sketch" else "sketch"]
        wanted = {"patches": tokens[:, 1:], "class": tokens[:, :1], "all": tokens}[asking]
        prepared = {
            "residual": wanted,
            "queries": own.split(own.query(wanted)),
            "values": own.split(own.value(tokens)),
            "keys": other.split(other.key(tokens)),
        }
        return prepared if places is None else prepared | {"places": places}

    def forward(self, sketch_tokens: Tensor, photo_tokens: Tensor) -> PairFeatures:
        """Compare B aligned pairs of tokens (B, 1 + P, d)."""
        sketch = self.prepare(sketch_tokens, "sketch", "all")
        photo = self.prepare(photo_tokens, "photo", "all")
        sketches, photos = self.look("sketch", sketch, photo), self.look("photo", photo, sketch)
        scores = self.relation(self.cosines(sketches[:, 1:], photos[:, 1:], sketch, photo))
        return PairFeatures(sketches[:, 0], photos[:, 0], scores)

    def score_matrix(self, sketch_tokens: Tensor, photo_tokens: Tensor) -> Tensor:
        """Relation scores (Ns, Np) of every pair, with gradients; activations are computed again for these."""
        sketches, photos = self.prepare(sketch_tokens, "sketch"), self.prepare(photo_tokens, "photo")
        rows = (
            checkpoint(self._score_row, _rows(sketches, i, i + 1), photos, use_reentrant=False)
            for i in range(len(sketches["keys"]))
        )
        return torch.stack(list(rows))

    def _score_row(self, sketch: Prepared, photos: Prepared) -> Tensor:
        """(Np,) scores of one sketch with every photo."""
        sketches = self.anchor(self.look("sketch", sketch, photos), sketch.get("places"))
        return self.relation(
            sketches @ self.anchor(self.look("photo", photos, sketch), photos.get("places")).mT
        )

    def look(self, domain: str, own: Prepared, others: Prepared) -> Tensor:
        """Tokens of `own` images (B, or one) after cross attention with B others."""
        return self.sides[domain](own["residual"], own["queries"], own["values"], others["keys"])

    def cosines(
        self, sketch_patches: Tensor, photo_patches: Tensor, sketch: Prepared, photo: Prepared
    ) -> Tensor:
        """Cosines (B, A, A) between the anchors of aligned pairs of patch tokens (B, K, d)."""
        ours = self.anchor(sketch_patches, sketch.get("places"))
        theirs = self.anchor(photo_patches, photo.get("places"))
        return ours @ theirs.mT

    def anchor(self, patches: Tensor, places: Tensor | None) -> Tensor:
        """Patch tokens (B, K, d) as L2-normalised anchors (B, A, c); patches left out count as zero."""
        patches = self.spread(patches, places)
        if self.layout == "grid":
            patches = patches.mT
        anchors = self.anchors(patches.reshape(patches.shape[0], -1, self.grid, self.grid))
        return F.normalize(anchors.flatten(2).mT, dim=-1)

    def spread(self, patches: Tensor, places: Tensor | None) -> Tensor:
        """Patch tokens (B, K, d) in their places, (B, P, d); those left out are zero."""
        if places is None:
            return patches
        full = patches.new_zeros(patches.shape[0], self.grid**2, patches.shape[-1])
        return full.scatter(1, places.expand(patches.shape[0], -1)[..., None].expand_as(patches), patches)

    def anchor_of_patches(self) -> Tensor:
        """(P,), number of the anchor that each patch belongs to; -1 in an odd grid's last row or column."""
        half = self.grid // 2
        along = torch.arange(self.grid, device=self.anchors.weight.device) // 2
        numbers = along[:, None] * half + along
        outside = along >= half
        return numbers.masked_fill(outside[:, None] | outside, -1).flatten()

    def attention_map(self, own: Prepared, other: Prepared) -> Tensor:
        """Attention of each patch of one image to each patch of another: (P, P), the mean over the heads.

        It is zero from and to patches that token selection left out. Attention to the other's class token is missing,
        so rows sum to less than 1.
        """
        scale = own["queries"].shape[-1] ** -0.5
        weights = (scale * own["queries"][0] @ other["keys"][0].mT).softmax(-1).mean(0)[:, 1:]
        if "places" not in own:
            return weights
        full = weights.new_zeros(self.grid**2, self.grid**2)
        full[own["places"][0][:, None], other["places"][0]] = weights
        return full

    @torch.no_grad()
    def score(self, sketches: Prepared, photos: Prepared, by: str = "relation") -> Tensor:
        """Scores (Ns, Np) of every pair, without gradients, block by block.

        They are relation scores, or with `by="class"` minus the distance of the class tokens, which the images must
        then have been prepared for (`asking`). A block fits a CPU's cache or a GPU's memory.

        Images prepared in bfloat16 are scored in bfloat16 if the device multiplies it in hardware, and otherwise in
        float32, which is faster than emulation.
        """
        weight = self.anchors.weight
        half = torch.bfloat16 in (weight.dtype, sketches["residual"].dtype)
        native = half and _multiplies_bfloat16(weight.device)
        if weight.dtype == torch.bfloat16 and not native:
            return copy.deepcopy(self).float().score(sketches, photos, by)
        n_sketches, n_photos = len(sketches["keys"]), len(photos["keys"])
        block = self._block(sketches["residual"])
        score_block = self._score_block if by == "relation" else self._distances
        dtype = torch.bfloat16 if native else weight.dtype
        scores = torch.empty(n_sketches, n_photos, device=weight.device)
        with torch.autocast(weight.device.type, torch.bfloat16, enabled=native):
            for i in range(0, n_sketches, block):
                some_sketches = _rows(sketches, i, i + block, dtype)
                for j in range(0, n_photos, block):
                    some_photos = _rows(photos, j, j + block, dtype)
                    scores[i : i + block, j : j + block] = score_block(some_sketches, some_photos)
        return scores

    def _score_block(self, sketches: Prepared, photos: Prepared) -> Tensor:
        n_sketches, n_photos = len(sketches["keys"]), len(photos["keys"])
        ours = [self._anchors_of("sketch", _rows(sketches, i, i + 1), photos) for i in range(n_sketches)]
        theirs = [self._anchors_of("photo", _rows(photos, j, j + 1), sketches) for j in range(n_photos)]
        cosines = torch.stack(ours) @ torch.stack(theirs, dim=1).mT
        return self.relation(cosines).float()

    def _distances(self, sketches: Prepared, photos: Prepared) -> Tensor:
        """Minus the distances (Ns, Np) of class tokens after the cross attention."""
        n_sketches, n_photos = len(sketches["keys"]), len(photos["keys"])
        ours = [self.look("sketch", _rows(sketches, i, i + 1), photos)[:, 0] for i in range(n_sketches)]
        theirs = [self.look("photo", _rows(photos, j, j + 1), sketches)[:, 0] for j in range(n_photos)]
        return -torch.linalg.vector_norm(
            torch.stack(ours).float() - torch.stack(theirs, dim=1).float(), dim=-1
        )

    def _anchors_of(self, domain: str, one: Prepared, others: Prepared) -> Tensor:
        return self.anchor(self.look(domain, one, others), one.get("places"))

    def _block(self, residual: Tensor) -> int:
        """Number of sketches, and of photos, in a block."""
        wide = self.sides["sketch"].fc1.out_features + 2 * residual.shape[-1]
        limit = _CPU_BYTES if residual.device.type == "cpu" else _DEVICE_BYTES
        return max(1, limit // (4 * residual.shape[1] * wide))


def _rows(prepared: Prepared, start: int, stop: int, dtype: torch.dtype | None = None) -> Prepared:
    return {
        name: value[start:stop].to(dtype)
        if dtype is not None and value.is_floating_point()
        else value[start:stop]
        for name, value in prepared.items()
    }


def _kept_places(tokens: Tensor) -> Tensor:
    """Numbers (B, K) of the patches whose tokens are not zero.

    Raises:
        ValueError: if the images kept different numbers of patches.
    """
    kept = (tokens[:, 1:] != 0).any(-1)
    counts = kept.sum(1)
    if len(counts) and int(counts.min()) != int(counts.max()):
        raise ValueError(
            "the images kept different numbers of tokens: they come from models of different keep_rates"
        )
    return kept.nonzero()[:, 1].view(tokens.shape[0], -1)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16 matrices; emulated ones are slower than float32."""
    if device.type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
