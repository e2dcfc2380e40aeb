"""The index that fits the number of photos."""

from pathlib import Path
from typing import Any

import numpy as np

from .base import Neighbours, VectorIndex, Vectors
from .exact import ExactIndex

FEW = 256  # so few are searched exactly whatever is asked for: they do not suffice to train anything
EXACT_UP_TO = 100_000  # still under 30 ms a query on two cores
HNSW_UP_TO = 300_000  # a graph takes more memory than lists, and ever longer to build
SQ8_UP_TO = 10_000_000
_KINDS = ("exact", "hnsw", "ivf-sq8", "ivf-pq")


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
        """Take up the index that was in use; where none is named, choose one."""
        kind = saved.get("kind")
        if kind not in _KINDS or len(ids) <= FEW:  # so few are left where features were lost
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
