"""Low-rank paths beside the layers of a frozen tower."""

import math

import torch
from torch import Tensor, nn

_ATTENTION_FACTOR = 1 / 16


class LowRankBranches(nn.Module):
    """Two low-rank paths beside a frozen layer, x -> f * B diag(1 + s) A x, with B initialised to zero.

    One is added to the queries, keys and values. Its input is the same as theirs, the normalised tokens, and its
    factor is 1/16. The other is added to the output of the MLP. Its input is the residual stream before the second
    norm, and its factor is 1/r. (These are the factors of DP-CLIP's reference code. At its rank of 16 they are the
    same.)

    Args:
        width: d, width of the tokens.
        rank: r.
    """

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.attention_in = nn.Parameter(torch.empty(rank, width))
        self.attention_out = nn.Parameter(torch.zeros(3 * width, rank))
        self.mlp_in = nn.Parameter(torch.empty(rank, width))
        self.mlp_out = nn.Parameter(torch.zeros(width, rank))
        for weight in (self.attention_in, self.mlp_in):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def attention(self, normed: Tensor, scale: Tensor | None) -> tuple[Tensor, ...]:
        """The addition to queries, keys and values: (B, T, d) -> three of (B, T, d).

        Args:
            normed: (B, T, d)
            scale: s of both paths, (2, r) or (B, 2, r). None for 0.
        """
        middle = normed @ (self.attention_in * _ATTENTION_FACTOR).t()
        return (_scaled(middle, scale, 0) @ self.attention_out.t()).chunk(3, -1)

    def mlp(self, hidden: Tensor, scale: Tensor | None) -> Tensor:
        """The addition to the output of the MLP: (B, T, d) -> (B, T, d). `scale` is as in `attention`."""
        middle = hidden @ (self.mlp_in / len(self.mlp_in)).t()
        return _scaled(middle, scale, 1) @ self.mlp_out.t()


def _scaled(middle: Tensor, scale: Tensor | None, path: int) -> Tensor:
    return middle if scale is None else middle * (1 + scale[..., path, :].unsqueeze(-2))
