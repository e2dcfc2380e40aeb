"""Indexes behind one small interface: exact and approximate ones in memory, and Milvus."""

from typing import get_args

from sketch_prompt.hints import suggestion
from sketch_prompt.vocabulary import IndexKind

from .base import Neighbours, VectorIndex, Vectors

__all__ = ["KINDS", "Neighbours", "VectorIndex", "Vectors", "make_index"]

KINDS = get_args(IndexKind)
"""Every index by name."""


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
    from .automatic import AutomaticIndex

    return AutomaticIndex(kind)
