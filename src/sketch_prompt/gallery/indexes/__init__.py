"""Indexes with a common interface: exact and approximate ones in memory, Lance and Milvus."""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from sketch_prompt.hints import suggestion
from sketch_prompt.vocabulary import IndexKind, Precision

from .base import OWN_PRECISION, Neighbours, VectorIndex, Vectors
from .exact import ExactIndex

__all__ = ["KINDS", "PRECISIONS", "Neighbours", "VectorIndex", "Vectors", "make_index"]

KINDS = get_args(IndexKind)
"""All kinds of indexes."""

PRECISIONS = get_args(Precision)
"""All precisions."""

FEW = 256  # so few vectors are always searched exactly, as they are too few to train an index
EXACT_UP_TO = 100_000  # still less than 30 ms for a query on two cores
HNSW_UP_TO = 300_000  # a graph needs more memory than lists, and takes longer and longer to build
SQ8_UP_TO = 10_000_000
_FIXED = ("ivf-sq8", "ivf-pq")  # whose names say how many bits they have


def make_index(kind: str, precision: str = "auto", **options) -> VectorIndex:
    """Create an empty index.

    Args:
        kind: "auto" chooses an index in memory by the number of vectors. "lance" is a table on the disk, "milvus" a
            database.
        precision: Precision of the numbers in memory; see `FaissIndex`. "auto" is the default of the kind of index.
        options: Options of the database; see `MilvusIndex`.

    Raises:
        ValueError: There is no such index, or not in this precision.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no index {kind!r}; {suggestion(kind, KINDS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}; {suggestion(precision, PRECISIONS)}")
    if kind in ("lance", "milvus") and precision != "auto":
        raise ValueError(f"{kind} chooses the precision itself: leave out precision")
    if kind == "lance":
        from .lance import LanceIndex

        return LanceIndex()
    if kind == "milvus":
        from .milvus import MilvusIndex

        return MilvusIndex(**options)
    if kind in _FIXED and precision not in ("auto", OWN_PRECISION[kind]):
        raise ValueError(f"the index {kind!r} is in {OWN_PRECISION[kind]}; for {precision} use index='ivf'")
    if (kind, precision) == ("hnsw", "binary"):
        raise ValueError(
            "a graph (hnsw) does not support one bit for each number; for binary use index='ivf' or 'exact'"
        )
    return AutomaticIndex(kind, precision)


class AutomaticIndex(VectorIndex):
    """Exact search as long as it is fast, then a graph, then compressed lists.

    Args:
        kind: "auto", or the kind to use for all but a few vectors.
        precision: "auto", or the precision of the numbers in memory.
    """

    backend = "faiss"

    def __init__(self, kind: str = "auto", precision: str = "auto"):
        self.kind = kind
        self.precision = precision
        self._index: VectorIndex = ExactIndex()

    def __len__(self) -> int:
        return len(self._index)

    def describe(self) -> dict[str, Any]:
        """The description of the index in use."""
        return self._index.describe()

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Choose an index by the number of vectors and build it."""
        self._index = self._make(kind_for(len(ids), self.kind, self.precision), len(ids))
        self._index.build(ids, vectors)

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Update the index, or build another one if the number of vectors requires it."""
        fits = self._make(kind_for(len(ids), self.kind, self.precision), len(ids)).describe()
        if any(fits[name] != self.describe()[name] for name in ("kind", "precision")):
            self.build(ids, vectors)
        else:
            self._index.update(removed, added, ids, vectors)

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors."""
        return self._index.search(queries, top_k, allowed)

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Save the index in use."""
        return self._index.save(directory, name)

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Load the saved index. Choose one if none is named."""
        kind = saved.get("kind")
        other = self.precision not in ("auto", saved.get("precision"))
        if kind not in OWN_PRECISION or other or len(ids) <= FEW:  # features may have been lost
            kind = kind_for(len(ids), self.kind, self.precision)
        self._index = self._make(kind, len(ids))
        self._index.load(directory, saved, ids, vectors)

    def _make(self, kind: str, size: int) -> VectorIndex:
        if kind == "exact" and (size <= FEW or self.precision in ("auto", "float32")):
            return ExactIndex()
        from .approximate import FaissIndex  # faiss is slow to import, and most galleries do not need it

        index = FaissIndex(kind, self.precision)
        index.drawings = self.drawings
        return index


def kind_for(size: int, wanted: str = "auto", precision: str = "auto") -> str:
    """The kind of index for this number of vectors."""
    if size <= FEW:
        return "exact"
    if wanted != "auto":
        return wanted
    if size <= EXACT_UP_TO:
        return "exact"
    if size <= HNSW_UP_TO and precision != "binary":
        return "hnsw"
    if precision != "auto":
        return "ivf"
    return "ivf-sq8" if size <= SQ8_UP_TO else "ivf-pq"
