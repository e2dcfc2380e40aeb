"""Vectors in files: Parquet tables, with or without NumPy arrays."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import ROWS_AT_ONCE, Batch
from .columns import Columns, names_of, vectors_of


class VectorFiles:
    """A Parquet file, or a folder of them, with or without `.npy` files of the vectors; see `read_embeddings`.

    Raises:
        FileNotFoundError, ValueError: As in `read_embeddings`.
    """

    def __init__(self, root: Path, columns: Columns):
        if not root.exists():
            raise FileNotFoundError(f"there are no embeddings in {root}: no such file or folder")
        tables = sorted(root.rglob("*.parquet"), key=_by_number) if root.is_dir() else [root]
        arrays = sorted(root.rglob("*.npy"), key=_by_number) if root.is_dir() else []
        texts = [array for array in arrays if "text" in array.parent.name or array.name.startswith("text")]
        arrays = [array for array in arrays if array not in texts]
        if not tables or tables[0].suffix != ".parquet":
            raise FileNotFoundError(
                f"{root} has no embeddings: give a folder of .npy files with .parquet files of their paths, as "
                "clip-retrieval writes them, or a .parquet file with a column of vectors"
            )
        if arrays and len(arrays) != len(tables):
            raise ValueError(
                f"{root} holds {len(arrays)} .npy files of vectors but {len(tables)} tables of paths"
            )
        self._parts: list[tuple[Path, str, str | np.ndarray]] = []
        for number, file in enumerate(tables):
            table = _open_table(file)
            path = columns.path_in(table.schema_arrow.names, file)
            if not arrays:
                self._parts.append((file, path, columns.vector_in(table.schema_arrow.names, file)))
                continue
            vectors, rows = _open_array(arrays[number]), table.metadata.num_rows
            if len(vectors) != rows:
                raise ValueError(f"{file} names {rows:,} photos, but there are {len(vectors):,} vectors")
            self._parts.append((file, path, vectors))

    def batches(self) -> Iterator[Batch]:
        """See `VectorSource`."""
        for file, path, vectors in self._parts:
            in_table = isinstance(vectors, str)
            start, wanted = 0, [path, vectors] if in_table else [path]
            for batch in _open_table(file).iter_batches(ROWS_AT_ONCE, columns=wanted):
                rows = slice(start, start + len(batch))
                start += len(batch)
                found = (
                    vectors_of(batch[vectors], file) if in_table else np.asarray(vectors[rows], np.float32)
                )
                yield names_of(batch[path]), found


def _by_number(path: Path) -> tuple:
    """`img_emb_10.npy` comes after `img_emb_9.npy`."""
    digits = "".join(c for c in path.stem if c.isdigit())
    return int(digits) if digits else -1, path.name


def _open_table(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no Parquet file: {error}") from error


def _open_array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is not an array of numbers: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"{file} must hold vectors (N, D) of floats, not {array.shape} of {array.dtype}")
    return array
