"""Indexes behind one small interface: exact and approximate ones in memory, and Milvus."""

from sketch_prompt.hints import suggestion

from .base import Neighbours, VectorIndex, Vectors
from .exact import ExactIndex

__all__ = ["INDEXES", "ExactIndex", "Neighbours", "VectorIndex", "Vectors", "make_index"]

INDEXES = {"auto": ExactIndex, "exact": ExactIndex}
"""Every index by name."""


def make_index(name: str) -> VectorIndex:
    """An empty index.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in INDEXES:
        raise ValueError(f"there is no index {name!r}; {suggestion(name, INDEXES)}")
    return INDEXES[name]()
