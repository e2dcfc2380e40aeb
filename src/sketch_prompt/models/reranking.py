"""What a method offers that scores pairs of a sketch and a photo by more than their embeddings."""

from typing import ClassVar

from torch import Tensor


class RerankingMixin:
    """Tokens, and scores of pairs of them; a method that has them says `has_reranker = True`."""

    has_reranker: ClassVar[bool] = False
    """Whether pairs of a sketch and a photo can be scored, by more than the inner product of their embeddings."""

    def encode_tokens(self, pixel_values: Tensor, domain: str) -> Tensor:
        """Tokens of images, from which pairs are scored: (B, 3, H, W) -> (B, N, d).

        Args:
            pixel_values: sketches or photos.
            domain: `"sketch"` or `"photo"`.
        """
        raise TypeError(f"{self.method} has no re-ranker: it compares embeddings only")

    def pool_tokens(self, tokens: Tensor, domain: str) -> Tensor:
        """The embedding of each image from its tokens, as `get_*_features` gives it: (B, N, d) -> (B, D)."""
        raise TypeError(f"{self.method} has no re-ranker: it compares embeddings only")

    def prepare_pairs(self, tokens: Tensor, domain: str) -> dict[str, Tensor]:
        """All that scoring computes of one image, whatever it is paired with: named tensors (B, ...)."""
        return {"tokens": tokens}

    def score_prepared(self, sketches: dict[str, Tensor], photos: dict[str, Tensor]) -> Tensor:
        """Scores (Ns, Np) of every pair, from what `prepare_pairs` gave; higher is more alike."""
        raise TypeError(f"{self.method} has no re-ranker: it compares embeddings only")

    def score_pairs(self, sketch_tokens: Tensor, photo_tokens: Tensor) -> Tensor:
        """Scores of every sketch with every photo; higher is more alike.

        Args:
            sketch_tokens: (Ns, N, d), from `encode_tokens(..., "sketch")`.
            photo_tokens: (Np, N, d), from `encode_tokens(..., "photo")`.

        Returns:
            (Ns, Np)
        """
        return self.score_prepared(
            self.prepare_pairs(sketch_tokens, "sketch"), self.prepare_pairs(photo_tokens, "photo")
        )
