"""Scores of queries with photos, read block by block.

Scores may be inner products of features, a matrix from a pairwise model, or inner products of which a pairwise model
re-ranked the first photos. Rankings and metrics do not depend on the kind.
"""

from collections.abc import Iterator

import numpy as np

from .similarity import BLOCK_BYTES, as_feature_pair, similarity_blocks


class PairScores:
    """Scores of N queries with M photos. The highest score ranks first.

    Example:
        >>> scores: PairScores = FeatureScores([[1.0, 0.0]], [[0.6, 0.8], [1.0, 0.0]])
        >>> scores.take(np.array([0]), np.array([1])).shape
        (1, 1)

    Attributes:
        shape: (N, M)
    """

    shape: tuple[int, int]

    def blocks(
        self,
        rows: np.ndarray | None = None,
        columns: np.ndarray | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield `(indices, scores)`: queries (B,) and their scores (B, photos), a buffer that the next one overwrites.

        Args:
            rows: Indices of queries, in this order; all of them by default.
            columns: Indices of photos, in this order; all of them by default.
            block_bytes: Memory for one block.
        """
        raise NotImplementedError

    def take(self, rows: np.ndarray, columns: np.ndarray) -> "PairScores":
        """The scores of some of the queries and photos, renumbered in this order."""
        return _Taken(self, rows, columns)

    def __len__(self) -> int:
        return self.shape[0]


class FeatureScores(PairScores):
    """Inner products of features, which are never held as a matrix.

    Example:
        >>> scores = FeatureScores([[1.0, 0.0]], [[0.6, 0.8], [1.0, 0.0]])
        >>> for queries, block in scores.blocks():
        ...     print(queries.tolist(), block.tolist())
        [0] [[0.6, 1.0]]

    Args:
        query_features: (N, D) array or tensor.
        gallery_features: (M, D)

    Raises:
        ValueError: Either side is malformed, or their widths differ.
    """

    def __init__(self, query_features, gallery_features):
        self.query, self.gallery = as_feature_pair(query_features, gallery_features)
        self.shape = len(self.query), len(self.gallery)

    def blocks(self, rows=None, columns=None, block_bytes=BLOCK_BYTES):
        """See `PairScores.blocks`."""
        gallery = self.gallery if columns is None else self.gallery[columns]
        return similarity_blocks(self.query, gallery, rows, block_bytes)


class MatrixScores(PairScores):
    """Scores that are already computed.

    Example:
        >>> MatrixScores(np.array([[0.75, 0.5, 0.25]])).shape
        (1, 3)

    Args:
        matrix: (N, M) floats, in memory or mapped from a file.
    """

    def __init__(self, matrix: np.ndarray):
        self.matrix, self.shape = matrix, matrix.shape

    def blocks(self, rows=None, columns=None, block_bytes=BLOCK_BYTES):
        """See `PairScores.blocks`."""
        rows = np.arange(len(self)) if rows is None else rows
        height = max(1, block_bytes // (self.shape[1] * self.matrix.itemsize))
        for start in range(0, len(rows), height):
            indices = rows[start : start + height]
            block = np.array(self.matrix[indices])
            yield indices, block if columns is None else block[:, columns]


class RerankedScores(PairScores):
    """Scores whose first photos were scored again. These come first, ordered by their new scores.

    The other photos keep their order: their scores are moved below the lowest new score.

    Example:
        >>> first = MatrixScores(np.array([[0.75, 0.5, 0.25]]))
        >>> reranked = RerankedScores(first, shortlist=np.array([[0, 1]]), scores=np.array([[1.0, 2.0]]))
        >>> for queries, block in reranked.blocks():
        ...     print(queries.tolist(), block.tolist())
        [0] [[1.0, 2.0, -0.5]]

    Args:
        first: The scores of the first ranking.
        shortlist: (N, k) photos that were scored again.
        scores: (N, k) their new scores, all finite.
    """

    def __init__(self, first: PairScores, shortlist: np.ndarray, scores: np.ndarray):
        self.first, self.shortlist, self.scores = first, shortlist, scores
        self.shape = first.shape

    def blocks(self, rows=None, columns=None, block_bytes=BLOCK_BYTES):
        """See `PairScores.blocks`."""
        for indices, block in self.first.blocks(rows, None, block_bytes):
            shortlist, scores = self.shortlist[indices], self.scores[indices]
            block = block - block.max(axis=1, keepdims=True) + (scores.min(axis=1, keepdims=True) - 1)
            np.put_along_axis(block, shortlist, scores.astype(block.dtype), axis=1)
            yield indices, block if columns is None else block[:, columns]


class _Taken(PairScores):
    def __init__(self, scores: PairScores, rows: np.ndarray, columns: np.ndarray):
        self.scores, self.rows, self.columns = scores, rows, columns
        self.shape = len(rows), len(columns)

    def blocks(self, rows=None, columns=None, block_bytes=BLOCK_BYTES):
        rows = np.arange(len(self)) if rows is None else rows
        photos = self.columns if columns is None else self.columns[columns]
        done = 0
        for indices, block in self.scores.blocks(self.rows[rows], photos, block_bytes):
            yield rows[done : done + len(indices)], block
            done += len(indices)
