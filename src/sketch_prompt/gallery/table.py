"""The table of a gallery's photos, and its update when files are added, removed, changed or renamed."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.hints import suggestion
from sketch_prompt.terminal import printable

if TYPE_CHECKING:
    from .encoder import LoadedPhoto
    from .stored_table import IdRuns

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "path": pa.string(),
        "category": pa.string(),
        "digest": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "read_ns": pa.int64(),
    }
)


@dataclass(frozen=True)
class Photo:
    """One photo of a gallery.

    Attributes:
        id: its number, which never changes.
        path: path of the file, relative to the gallery's folder of photos and with `/` between folders. It is absolute
            for a file outside of this folder, and a name for a photo in memory or in a data set.
        category: its class, from the name of its folder or the label of the data set. None if it has none.
        digest: `content_digest` of its content. Photos with the same digest share their features.
        size: size of the file in bytes, -1 if there is no file.
        mtime_ns: time of the file's last change, in nanoseconds since the epoch, -1 if there is no file.
        read_ns: time at which its content was read.
    """

    id: int
    path: str
    category: str | None
    digest: str
    size: int = -1
    mtime_ns: int = -1
    read_ns: int = -1


Filters = Mapping[str, Any] | Callable[[Photo], bool]


class PhotoTable:
    """A table of photos in memory, with ascending ids. A million photos take about 250 MB.

    A large gallery that was loaded has a `StoredTable` instead, until photos are added or removed.

    Args:
        columns: a NumPy array for each field of `Photo`, all of one length. By default the table is empty.
    """

    names = tuple(field.name for field in fields(Photo))

    def __init__(self, columns: Mapping[str, np.ndarray] | None = None):
        self._columns = dict(columns) if columns is not None else _empty()
        self._rows: dict[str, int] | None = None

    @classmethod
    def of(cls, photos: Iterable[Photo]) -> "PhotoTable":
        """A table of these photos."""
        photos = list(photos)
        columns = _empty()
        return cls(
            {
                name: np.array([getattr(photo, name) for photo in photos], column.dtype)
                for name, column in columns.items()
            }
        )

    def __len__(self) -> int:
        return len(self._columns["id"])

    def __getitem__(self, row: int) -> Photo:
        values = (self._columns[name][row] for name in self.names)
        return Photo(*(value.item() if isinstance(value, np.generic) else value for value in values))

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __contains__(self, path: str) -> bool:
        return path in self.rows

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, ascending."""
        return self._columns["id"]

    @property
    def ids_for_search(self) -> "np.ndarray | IdRuns":
        """The ids in the most compact form that has `len`, indexing and `searchsorted`."""
        return self.ids

    @property
    def paths(self) -> np.ndarray:
        """(N,) of str."""
        return self._columns["path"]

    @property
    def digests(self) -> np.ndarray:
        """(N,) of str."""
        return self._columns["digest"]

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64, -1 for a photo without a file."""
        return self._columns["size"]

    @property
    def categories(self) -> list[str]:
        """The sorted names of all categories."""
        return sorted(set().union(*map(set, self.parts("category"))) - {None})

    @property
    def rows(self) -> dict[str, int]:
        """{path: row}"""
        if self._rows is None:
            self._rows = {path: row for row, path in enumerate(self.paths)}
        return self._rows

    def take(self, rows: np.ndarray) -> "PhotoTable":
        """A table of these rows, given as numbers or as a boolean mask."""
        return PhotoTable({name: column[rows] for name, column in self._columns.items()})

    def extended(self, photos: "PhotoTable") -> "PhotoTable":
        """A table of these photos followed by others."""
        return PhotoTable(
            {name: np.concatenate([column, photos._columns[name]]) for name, column in self._columns.items()}
        )

    def replaced(self, rows: np.ndarray, photos: Sequence[Photo]) -> "PhotoTable":
        """A copy of this table with other photos in some rows."""
        columns = {name: column.copy() for name, column in self._columns.items()}
        for name, column in columns.items():
            column[rows] = np.array([getattr(photo, name) for photo in photos], column.dtype)
        return PhotoTable(columns)

    def select(self, filters: Filters | None) -> np.ndarray | None:
        """A boolean mask of the rows that pass the filters, or None if there are no filters.

        Args:
            filters: a mapping with the keys `"category"` (a name or several, in any spelling of `data.class_names`)
                and `"path"` (a pattern such as `"2024/*.jpg"`, or several), or a function of a `Photo`. A photo must
                pass all filters.

        Raises:
            ValueError: a key is unknown, or no photo has the category.
            TypeError: the filters are neither a mapping nor a function, or a value is not a text.
        """
        if not filters and not callable(filters):
            return None
        if callable(filters):
            return np.fromiter((bool(filters(photo)) for photo in self), bool, len(self))
        if not isinstance(filters, Mapping):
            raise TypeError(
                f"filters must be a mapping such as {{'category': 'cat'}} or a function of a photo, not {filters!r}"
            )
        kept = np.ones(len(self), bool)
        for name, wanted in filters.items():
            if name not in _CONDITIONS:
                raise ValueError(f"there is no filter {name!r}; {suggestion(name, _CONDITIONS)}")
            values = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
            if not all(isinstance(value, str) for value in values):
                raise TypeError(f"the filter {name!r} must be a text or several texts, not {wanted!r}")
            if name == "category":
                self._check_categories(values)
            kept &= np.concatenate([_CONDITIONS[name](part, values) for part in self.parts(name)])
        return kept

    def parts(self, name: str) -> Iterator[np.ndarray]:
        """The parts of a column in turn. A table in memory has one part."""
        yield self._columns[name]

    def columns(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """{field of `Photo`: column} of the rows from `start` to `stop`, without `stop`."""
        return {name: column[start:stop] for name, column in self._columns.items()}

    def _check_categories(self, names: Sequence[str]) -> None:
        known = self.categories
        keys = {category_key(name) for name in known} - {None}
        for name in names:
            if category_key(name) not in keys:
                raise ValueError(f"no photo has the category {name!r}; {suggestion(name, known)}")

    def write(self, path: Path) -> None:
        """Write the table as a Parquet file. If this fails, an earlier file stays as it was."""
        arrays = [pa.array(self._columns[name], field.type) for name, field in zip(self.names, SCHEMA)]
        with atomic_write(path, durable=True) as temporary:
            pq.write_table(pa.table(arrays, schema=SCHEMA), temporary, write_page_checksum=True)

    @classmethod
    def read(cls, path: Path) -> "PhotoTable":
        """Read a table from a file.

        Raises:
            ValueError: the file is damaged.
            FileNotFoundError: there is no such file.
        """
        try:
            # `pq.read_table` would import pandas.
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read(SCHEMA.names)
            if table.schema.types != SCHEMA.types:
                raise pa.ArrowInvalid("its columns are others")
            return cls({name: as_array(table[name]) for name in cls.names})
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]})") from error


def as_array(column: pa.ChunkedArray) -> np.ndarray:
    """Integers, or objects for other values. `to_numpy` would import pandas, which takes longer than a search."""
    if pa.types.is_integer(column.type):
        return np.array(np.from_dlpack(column.combine_chunks()))
    return np.array(column.to_pylist(), object)


def _empty() -> dict[str, np.ndarray]:
    return {field.name: np.empty(0, np.int64 if field.type == pa.int64() else object) for field in SCHEMA}


def _in_categories(column: np.ndarray, names: Sequence[str]) -> np.ndarray:
    keys = {category_key(name) for name in names} - {None}
    known = {name: category_key(name) in keys for name in set(column)}
    return np.fromiter((known[name] for name in column), bool, len(column))


def category_key(name: str | None) -> str | None:
    """A key that is the same for all spellings of a category. None if the name is not a category."""
    try:
        return None if name is None else class_key(name)
    except ValueError:  # for example a folder called "..."
        return None


def _matches_path(column: np.ndarray, patterns: Sequence[str]) -> np.ndarray:
    matches = (any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns) for path in column)
    return np.fromiter(matches, bool, len(column))


_CONDITIONS = {"category": _in_categories, "path": _matches_path}


@dataclass
class Changes:
    """What was changed when photos were added, removed or refreshed.

    Attributes:
        added: number of new photos.
        removed: number of photos that were removed.
        changed: number of photos whose file has new content.
        renamed: number of photos whose file has a new name.
        unchanged: number of photos that were examined and are the same.
        embedded: number of contents that the model embedded.
        checked: number of photos that were embedded to compare them with given vectors.
        skipped: files that were not added, with the reason.
        links: links out of the folder of photos that were followed, as `link -> target`.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    renamed: int = 0
    unchanged: int = 0
    embedded: int = 0
    checked: int = 0
    skipped: list[UnreadableImage] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All attributes as values for JSON."""
        return {**asdict(self), "skipped": [skipped._asdict() for skipped in self.skipped]}

    def describe(self, total: int) -> str:
        """A readable line with the counts, and a line for each file that was skipped.

        Args:
            total: number of photos in the gallery now.
        """
        counts = [("added", self.added), ("changed", self.changed), ("renamed", self.renamed)]
        counts += [("removed", self.removed), ("unchanged", self.unchanged)]
        done = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "nothing to do"
        lines = [f"{total:,} photos: {done}; {self.embedded:,} embedded"]
        if self.links:
            lines.append(
                f"Followed {len(self.links):,} links out of the folder (use --no-links to skip them):"
            )
            lines += [f"  {printable(link)}" for link in self.links]
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped):,}:")
            lines += [f"  {printable(str(image))}" for image in self.skipped]
        return "\n".join(lines)


class Update(NamedTuple):
    """A new table, and its differences from the old one for the index.

    Attributes:
        table: the new table.
        removed: ids that were removed.
        added: ids that were added, ascending.
    """

    table: PhotoTable
    removed: np.ndarray
    added: np.ndarray


def update_table(
    table: PhotoTable, loaded: "Iterable[LoadedPhoto]", gone: Iterable[str], next_id: int, changes: Changes
) -> Update:
    """Update a table with photos that were read.

    A photo keeps its id as long as its content stays the same, even if its file is renamed.

    Args:
        table: the photos so far. It is not changed.
        loaded: photos that were read. If a path occurs twice, the last one counts.
        gone: paths in the table whose files do not exist any more.
        next_id: a number greater than all earlier ids.
        changes: the counts to add to.
    """
    missing = [table.rows[path] for path in gone]
    missing_by_digest: dict[str, list[int]] = {}
    for row in missing:
        missing_by_digest.setdefault(table.digests[row], []).append(row)
    dropped, kept, new = set(missing), {}, []
    for photo in {photo.entry.path: photo for photo in loaded}.values():
        row = table.rows.get(photo.entry.path)
        if row is not None and photo.key == table.digests[row]:
            kept[row] = photo
            changes.unchanged += 1
            continue
        if row is not None:
            dropped.add(row)
            changes.changed += photo.key is not None
        elif missing_by_digest.get(photo.key):
            row = missing_by_digest[photo.key].pop(0)
            dropped.discard(row)
            kept[row] = photo
            changes.renamed += 1
            continue
        if photo.key is not None:
            new.append(photo)
    changes.added += len(new) - changes.changed
    changes.removed += len(dropped) - changes.changed
    added = PhotoTable.of(_photo(next_id + number, photo) for number, photo in enumerate(new))
    # Their paths and dates may have changed.
    refreshed = [_photo(int(table.ids[row]), photo) for row, photo in kept.items()]
    mask = np.ones(len(table), bool)
    mask[list(dropped)] = False
    remaining = table.replaced(np.array(list(kept), np.int64), refreshed).take(mask)
    return Update(remaining.extended(added), table.ids[~mask], added.ids)


def _photo(id: int, photo: "LoadedPhoto") -> Photo:
    return Photo(id, photo.entry.path, photo.entry.category, photo.key, *photo.entry[2:], photo.read_ns)
