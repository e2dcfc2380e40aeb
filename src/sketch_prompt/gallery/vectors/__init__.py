"""Read existing vectors of photos from files, tables and databases."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .columns import Columns

ROWS_AT_ONCE = 4096
Batch = tuple[list[str], np.ndarray]


class VectorSource(Protocol):
    """Vectors with the names of their photos, some rows at a time."""

    def batches(self) -> Iterator[Batch]:
        """n names (paths or ids) with their float32 vectors (n, D). n is at most `ROWS_AT_ONCE`.

        A row without a vector is NaN. D is 0 if no row of the batch has one.
        """


@dataclass(frozen=True)
class VectorsInMemory:
    """Vectors (N, D) and the names of N photos."""

    vectors: np.ndarray
    names: list[str]

    def batches(self) -> Iterator[Batch]:
        """See `VectorSource`."""
        for first in range(0, len(self.names), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            yield self.names[rows], np.asarray(self.vectors[rows], np.float32)


def vectors_in_memory(vectors, names: Sequence) -> VectorsInMemory:
    """Vectors (N, D) in any form that NumPy accepts, such as a column of a `datasets.Dataset`, and their N names.

    Raises:
        ValueError: Their numbers differ, or the vectors have different widths.
    """
    try:
        array = vectors if isinstance(vectors, np.ndarray) else np.asarray(list(vectors), np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the vectors are not a table of numbers: {error}") from None
    names = [str(name) for name in names]
    if array.ndim != 2 or len(array) != len(names):
        raise ValueError(f"vectors must be (N, D) with N names, not {array.shape} with {len(names)} names")
    return VectorsInMemory(array, names)


def read_embeddings(
    source: str | os.PathLike,
    path_column: str | None = None,
    vector_column: str | None = None,
    *,
    table: str | None = None,
    path_prefix: str | None = None,
) -> VectorSource:
    """Read vectors of photos from files, a Lance table or a database. Rows are read when they are used.

    - A folder of `.npy` files and as many `.parquet` files with their paths, as clip-retrieval writes them
      (`img_emb/img_emb_0.npy` with `metadata/metadata_0.parquet`), or in the same folder.
    - A `.parquet` file, or a folder of them, with a column of vectors and one of paths.
    - A Lance table (`photos.lance`), a LanceDB folder of such tables, or the address of a table that Lance can read
      (`hf://...`, `s3://...`). Needs sketch-prompt[lance].
    - PostgreSQL with pgvector, `postgresql://user@host/database`, in a read-only transaction: by default the tables of
      immich, otherwise a table or view with a column of vectors and one of paths. Give the password to libpq
      (PGPASSWORD, ~/.pgpass). Needs sketch-prompt[postgres].

    Args:
        source: The folder, file or address.
        path_column: Column of the paths or ids. The default is the first known one, such as `image_path`.
        vector_column: Column of the vectors, such as `embedding`.
        table: Table of the database, if it has several.
        path_prefix: Start of the stored paths to remove, such as `/usr/src/app/upload` if the photos were indexed in a
            container.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ConnectionError: The database cannot be reached.
        ValueError: The files do not belong together, a table or column is missing, or a package is not installed.
    """
    address = os.fspath(source)
    columns = Columns(path_column, vector_column)
    found: VectorSource
    if address.startswith(("postgresql:", "postgres:")):
        from .postgres import PostgresTable

        found = PostgresTable(address, table, columns)
    elif is_lance(address):
        from .lance import LanceTable

        found = LanceTable(address, table, columns)
    else:
        from .files import VectorFiles

        if table is not None:
            raise ValueError(f"{address} is not a database, so table={table!r} is not used")
        found = VectorFiles(Path(source), columns)
    return found if path_prefix is None else WithoutPrefix(found, path_prefix)


def is_lance(address: str) -> bool:
    """Whether this is a Lance table, a LanceDB folder, or the address of one."""
    path = Path(address)
    return (
        "://" in address
        or path.suffix == ".lance"
        or any(path.glob("*.lance"))
        or (path / "_versions").is_dir()
    )


@dataclass(frozen=True)
class WithoutPrefix:
    """The same vectors with the prefix of their names removed: paths below the folder `prefix`."""

    source: VectorSource
    prefix: str

    def batches(self) -> Iterator[Batch]:
        """See `VectorSource`."""
        folder = self.prefix.rstrip("/") + "/"
        for names, vectors in self.source.batches():
            yield [name.removeprefix(folder) for name in names], vectors
