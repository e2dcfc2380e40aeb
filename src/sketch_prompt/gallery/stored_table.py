"""The table of a large gallery on the disk. A search reads only the parts that it needs.

The table is a Parquet file, and its parts are row groups. Each part has a checksum that is verified before the first
photo of the part is returned. Reads of a single column are verified by the checksums of Parquet's pages. The file
stays open, so the table stays valid until the gallery is closed, even if another process replaces the file.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sketch_prompt.atomic import atomic_write
from sketch_prompt.checksums import bytes_checksum

from .saving import DamagedGalleryError
from .table import SCHEMA, Photo, PhotoTable, as_array

PART_ROWS = 2048
"""Number of photos in a part. A table with only one part is read into memory."""

_PLACE = pa.field("place", pa.uint32())  # the place of the photo's features; see `FeatureStore.places`
_KEPT_PARTS = 16
_ROWS_AT_ONCE = 2**16
_NUMBERS = [field.name for field in [*SCHEMA, _PLACE] if pa.types.is_integer(field.type)]


def write_parts(photos: PhotoTable, path: Path, places: np.ndarray) -> list[str]:
    """Write a table. If this fails, an earlier file stays as it was.

    Args:
        photos: the table.
        path: the file.
        places: (N,) the places of the features.

    Returns:
        A checksum of each part, and one of the footer of the file.
    """
    schema = SCHEMA.append(_PLACE)
    encoding = dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED")
    options = {"use_dictionary": ["category"], "column_encoding": encoding, "write_statistics": False}
    with atomic_write(path, durable=True) as temporary:
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer:
            for start in range(0, len(photos), PART_ROWS):
                columns = photos.columns(start, start + PART_ROWS)
                columns[_PLACE.name] = places[start : start + PART_ROWS]
                arrays = [pa.array(columns[field.name], field.type) for field in schema]
                writer.write_table(pa.table(arrays, schema=schema), PART_ROWS)
        return part_checksums(temporary)


def part_checksums(path: Path) -> list[str]:
    """A checksum of each part of a file, and one of its footer."""
    with pa.OSFile(os.fspath(path)) as file:
        return [_checksum(file, *extent) for extent in _extents(pq.read_metadata(file), file.size())]


class IdRuns:
    """Ascending ids (N,) as runs of consecutive numbers, which take 16 bytes for each run.

    Args:
        parts: arrays that together are the ids.
    """

    def __init__(self, parts: Iterable[np.ndarray]):
        firsts, starts, self._size, last = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0, None
        for ids in parts:
            follows = np.diff(ids, prepend=ids[:1] if last is None else last) == 1
            begins = np.flatnonzero(~follows)
            firsts.append(ids[begins])
            starts.append(begins + self._size)
            self._size, last = self._size + len(ids), ids[-1]
        self._firsts, self._starts = np.concatenate(firsts), np.concatenate(starts)
        self._lengths = np.diff(self._starts, append=self._size)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n,) the ids of a slice, of row numbers, or of a boolean mask."""
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        run = np.searchsorted(self._starts, rows, "right") - 1
        return self._firsts[run] + (rows - self._starts[run])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def searchsorted(self, ids: np.ndarray | int) -> np.ndarray:
        """The rows of ids, with the same result as `numpy.searchsorted`."""
        run = np.searchsorted(self._firsts, ids, "right") - 1
        rows = self._starts[run] + np.minimum(ids - self._firsts[run], self._lengths[run])
        return np.where(run < 0, 0, rows)


class StoredColumn:
    """A column of a stored table with the interface of an array. Its values are read when they are used."""

    def __init__(self, table: "StoredTable", name: str):
        self._table, self._name = table, name

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator:
        return (value for part in self._table.parts(self._name) for value in part.tolist())

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            return self._table.columns(start, stop, [self._name])[self._name][::step]
        rows = np.asarray(rows)
        if rows.ndim == 0:
            return getattr(self._table[int(rows)], self._name)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        values = [getattr(self._table[int(row)], self._name) for row in rows]
        return np.array(values, np.int64 if self._name in _NUMBERS else object)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def tolist(self) -> list:
        """All values."""
        return list(self)


class StoredTable(PhotoTable):
    """A table in a file that `write_parts` has written. Its methods that change a table return a `PhotoTable`.

    Args:
        path: the file.
        checksums: the checksums that `write_parts` has returned.

    Raises:
        DamagedGalleryError: the footer of the file is damaged. Other methods raise it when they read a damaged part.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, path: Path, checksums: Sequence[str]):
        self._path, self._checksums, self._rows = path, list(checksums), None
        self._lock, self._kept = threading.Lock(), OrderedDict()
        self._source = pa.OSFile(os.fspath(path))
        self._metadata = self._read(lambda: pq.read_metadata(self._source))
        self._extents = _extents(self._metadata, self._source.size())
        self._checked = np.zeros(len(self._extents), bool)
        if len(self._extents) != len(self._checksums):
            raise self._damaged("it has another number of parts")
        self._check(len(self._extents) - 1)
        self._part_rows = self._metadata.row_group(0).num_rows
        self._file = self._open()
        self._ids: IdRuns | None = None
        self._digests = StoredColumn(self, "digest")

    def __len__(self) -> int:
        return self._metadata.num_rows

    def __getitem__(self, row: int) -> Photo:
        part, place = divmod(range(len(self))[row], self._part_rows)
        columns = self._part(part)
        return Photo(*(columns[name][place].as_py() for name in self.names))

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, ascending."""
        return self.ids_for_search[:]

    @property
    def ids_for_search(self) -> IdRuns:
        """The ids as runs, in the form in which they are kept in memory."""
        if self._ids is None:
            self._ids = IdRuns(self.parts("id"))
        return self._ids

    @property
    def paths(self) -> StoredColumn:
        """(N,) of str."""
        return StoredColumn(self, "path")

    @property
    def digests(self) -> StoredColumn:
        """(N,) of str."""
        return self._digests

    @property
    def sizes(self) -> StoredColumn:
        """(N,) int64, -1 for a photo without a file."""
        return StoredColumn(self, "size")

    @property
    def places(self) -> np.ndarray:
        """(N,) uint32, the places of the features; see `FeatureStore.places`."""
        places, start = np.empty(len(self), np.uint32), 0
        for part in self.parts(_PLACE.name):
            places[start : start + len(part)] = part
            start += len(part)
        return places

    @property
    def _columns(self) -> dict[str, np.ndarray]:
        return self.columns(0, len(self))

    def columns(
        self, start: int, stop: int, names: Sequence[str] = PhotoTable.names
    ) -> dict[str, np.ndarray]:
        """{name: column} of the rows from `start` to `stop`, without `stop`."""
        stop = min(stop, len(self))
        first = start // self._part_rows
        groups = list(range(first, -(-stop // self._part_rows)))
        # Readers are not thread-safe, so each call opens its own.
        found = self._read(lambda: self._open().read_row_groups(groups, list(names), use_threads=False))
        found = found.slice(start - first * self._part_rows, max(stop - start, 0))
        return {name: as_array(found[name]) for name in names}

    def parts(self, name: str) -> Iterator[np.ndarray]:
        """The parts of a column in turn."""
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield self.columns(start, start + _ROWS_AT_ONCE, [name])[name]

    def verify(self) -> None:
        """Verify the checksums of all parts."""
        for number in range(len(self._extents)):
            self._check(number)

    def _part(self, number: int) -> pa.Table:
        with self._lock:
            if number not in self._kept:
                self._check(number)
                self._kept[number] = self._read(
                    lambda: self._file.read_row_group(number, list(self.names), use_threads=False)
                )
                while len(self._kept) > _KEPT_PARTS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return self._kept[number]

    def _check(self, number: int) -> None:
        if self._checked[number]:
            return
        if self._read(lambda: _checksum(self._source, *self._extents[number])) != self._checksums[number]:
            raise self._damaged("its checksum is wrong")
        self._checked[number] = True

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._source, metadata=self._metadata, page_checksum_verification=True)

    def _read(self, read):
        try:
            return read()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise self._damaged(str(error).splitlines()[0]) from error

    def _damaged(self, reason: str) -> DamagedGalleryError:
        return DamagedGalleryError(self._path.parent, f"{self._path.name} is damaged ({reason})")


def _extents(metadata: pq.FileMetaData, size: int) -> list[tuple[int, int]]:
    """Start and end of each part and of the footer."""
    ends = [0]
    for number in range(metadata.num_row_groups):
        column = metadata.row_group(number).column(metadata.num_columns - 1)
        pages = [column.dictionary_page_offset, column.data_page_offset]
        ends.append(min(page for page in pages if page is not None) + column.total_compressed_size)
    return list(zip(ends, [*ends[1:], size]))


def _checksum(file: pa.NativeFile, start: int, end: int) -> str:
    return bytes_checksum(file.read_at(max(end - start, 0), start))
