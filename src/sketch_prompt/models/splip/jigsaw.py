"""The conditional cross-modal jigsaw of SpLIP: the bank of permutations, the shuffled sketch, the solver."""

from functools import lru_cache

import torch
from torch import Tensor, nn

from ..configuration_base import require

GRID = 3  # tiles in a row, as in the paper
MAX_PERMUTATIONS = 72


@lru_cache
def permutation_bank(size: int = MAX_PERMUTATIONS) -> Tensor:
    """Permutations of the nine tiles that differ from each other in as many places as possible.

    The tiles are identified with the elements a + bi of the field of nine elements (a, b modulo 3, i^2 = -1), and the
    permutations are the maps x -> m x + t with m not 0. Two of these maps agree in at most one place, and two with the
    same m in none. So up to nine permutations differ pairwise in all 9 places, and up to 72 in 8 places. Larger banks
    cannot, since at most 9! / (d - 1)! permutations differ pairwise in d places. Each map is followed by the same
    exchange of two tiles, which keeps all distances and excludes the identity.

    Args:
        size: number of permutations, up to 72; a smaller bank is a prefix of a larger one.

    Returns:
        (size, 9) int64: entry [y, k] is the tile that permutation y puts in place k.
    """
    tiles = [(a, b) for a in range(GRID) for b in range(GRID)]
    exchanged = [1, 0, *range(2, len(tiles))]
    bank = []
    for c, d in tiles[1:]:
        for e, f in tiles:
            images = [((a * c - b * d + e) % GRID, (a * d + b * c + f) % GRID) for a, b in tiles]
            bank.append([exchanged[tiles.index(image)] for image in images])
    return torch.tensor(bank[:size])


class JigsawSolver(nn.Module):
    """F_js, which predicts the permutation: two transformer layers over a pair of image features, and a classifier.

    Args:
        width: D, of an image feature.
        n_permutations: size of the bank.
        heads: attention heads.
        feedforward: width of the feed-forward networks.

    Raises:
        ValueError: if `heads` does not divide `width`.
    """

    def __init__(self, width: int, n_permutations: int, heads: int, feedforward: int):
        super().__init__()
        require(width % heads == 0, "solver_heads", heads, f"a divisor of {width}, the width of a feature")
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.classifier = nn.Linear(2 * width, n_permutations)

    def forward(self, clue: Tensor, shuffled: Tensor) -> Tensor:
        """Solve the puzzles of `shuffled` given `clue`, both (B, D); (B, n_permutations) logits."""
        return self.classifier(self.encoder(torch.stack([clue, shuffled], dim=1)).flatten(1))
