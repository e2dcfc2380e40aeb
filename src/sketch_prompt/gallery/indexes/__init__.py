"""Indexes behind one small interface: exact and approximate ones in memory, and Milvus."""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from sketch_prompt.hints import suggestion
from sketch_prompt.vocabulary import IndexKind

from .base import Neighbours, VectorIndex, Vectors
from .exact import ExactIndex

__all__ = ["KINDS", "Neighbours", "VectorIndex", "Vectors", "make_index"]

KINDS = get_args(IndexKind)
"""Every index by name."""

FEW = 256  # so few are searched exactly whatever is asked for: they do not suffice to train anything
EXACT_UP_TO = 100_000  # still under 30 ms a query on two cores
HNSW_UP_TO = 300_000  # a graph takes more memory than lists, and ever longer to build
SQ8_UP_TO = 10_000_000
_IN_MEMORY = ("exact", "hnsw", "ivf-sq8", "ivf-pq")


def make_index(kind: str, **options) -> VectorIndex:
    """An empty index.

    Args:
        kind: "auto" chooses among the next four, which are in memory, by the number of vectors; "milvus" is a
            database.
        options: of the database; see `MilvusIndex`.

    Raises:
        ValueError: there is no such index.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no index {kind!r}; {suggestion(kind, KINDS)}")
    if kind == "milvus":
        from .milvus import MilvusIndex

        return MilvusIndex(**options)
    return AutomaticIndex(kind)


class AutomaticIndex(VectorIndex):
    """Exact search as long as it is fast, then a graph, then compressed lists.

    Args:
        kind: "auto", or the kind to use for any but a few vectors.
    """

    backend = "faiss"

    def __init__(self, kind: str = "auto"):
        self.kind = kind
        self._index: VectorIndex = ExactIndex()

    def __len__(self) -> int:
        return len(self._index)

    def describe(self) -> dict[str, Any]:
        """What the index in use says."""
        return self._index.describe()

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Choose an index by the number of vectors and build it."""
        self._index = faiss_index(kind_for(len(ids), self.kind))
        self._index.build(ids, vectors)

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Follow a change; where the number of vectors asks for another index, build that."""
        if kind_for(len(ids), self.kind) != self.describe()["kind"]:
            self.build(ids, vectors)
        else:
            self._index.update(removed, added, ids, vectors)

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors."""
        return self._index.search(queries, top_k, allowed)

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """What the index in use saves."""
        return self._index.save(directory, name)

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Load the index that was in use; choose one if none is named."""
        kind = saved.get("kind")
        if kind not in _IN_MEMORY or len(ids) <= FEW:  # so few are left where features were lost
            kind = kind_for(len(ids), self.kind)
        self._index = faiss_index(kind)
        self._index.load(directory, saved, ids, vectors)


def kind_for(size: int, wanted: str = "auto") -> str:
    """The kind of index for so many vectors."""
    if size <= FEW:
        return "exact"
    if wanted != "auto":
        return wanted
    for kind, limit in (("exact", EXACT_UP_TO), ("hnsw", HNSW_UP_TO), ("ivf-sq8", SQ8_UP_TO)):
        if size <= limit:
            return kind
    return "ivf-pq"


def faiss_index(kind: str) -> VectorIndex:
    """An empty index in memory of one kind."""
    if kind == "exact":
        return ExactIndex()
    from .approximate import FaissIndex  # faiss takes a while to import, and most galleries need none

    return FaissIndex(kind)
