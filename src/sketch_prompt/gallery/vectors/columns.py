"""Find the columns of paths and vectors, and turn lists of Arrow into arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sketch_prompt.hints import suggestion

_PATHS = (
    "image_path",
    "path",
    "file_name",
    "filepath",
    "filename",
    "original_path",
    "url",
    "uri",
    "key",
    "id",
    "asset_id",
)
_VECTORS = ("embedding", "embeddings", "vector", "image_embedding", "features", "clip_embedding")


class Columns(NamedTuple):
    """The columns that a user named. None for the first one with a usual name.

    Attributes:
        path: Column of paths or ids.
        vector: Column of vectors.
    """

    path: str | None = None
    vector: str | None = None

    def path_in(self, names: Sequence[str], place: object) -> str:
        """The column of paths among `names`. Raises a ValueError with `place` if there is none."""
        return _column(names, self.path, _PATHS, "path", place)

    def vector_in(self, names: Sequence[str], place: object) -> str:
        """The column of vectors among `names`. Raises a ValueError with `place` if there is none."""
        return _column(names, self.vector, _VECTORS, "vector", place)


def _column(names: Sequence[str], asked: str | None, usual: Sequence[str], what: str, place: object) -> str:
    if asked is not None:
        if asked not in names:
            raise ValueError(f"{place} has no column {asked!r}; {suggestion(asked, names)}")
        return asked
    for name in usual:
        if name in names:
            return name
    raise ValueError(
        f"{place} has no column of {what}s under a usual name ({', '.join(usual)}) but "
        f"{', '.join(names) or 'no column at all'}: say which one it is ({what}_column, --{what}-column)"
    )


def names_of(column: pa.Array) -> list[str]:
    """n paths or ids."""
    return [str(name) for name in column.to_pylist()]


def vectors_of(column: pa.Array, place: object) -> np.ndarray:
    """float32 (n, D) of a column of lists of numbers. NaN for nulls, and D is 0 if all are null.

    Raises:
        ValueError: The lists have different lengths, or are not numbers.
    """
    try:
        lengths = pc.unique(pc.drop_null(pc.list_value_length(column))).to_pylist()
        if len(lengths) > 1:
            raise ValueError(f"vectors of {min(lengths)} and of {max(lengths)} numbers")
        values = pc.list_flatten(column).cast(pa.float32()).to_numpy(zero_copy_only=False)
    except (ValueError, TypeError, NotImplementedError) as error:  # Arrow's errors are these, too
        raise ValueError(
            f"{place}: the vectors differ in width, or are not numbers ({str(error).splitlines()[0]})"
        ) from None
    there = column.is_valid().to_numpy(zero_copy_only=False)
    vectors = np.full((len(column), lengths[0] if lengths else 0), np.nan, np.float32)
    vectors[there] = values.reshape(there.sum(), -1)
    return vectors
