"""The table of a gallery's photos, columns of one length in the order in which photos came, and how it changes when
files appear, vanish, change or get another name."""

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
        path: where it is: relative to the gallery's folder of photos with `/` between folders, or absolute where it
            lies elsewhere; a name for one that is in memory or in a data set.
        category: its class: the folder it lies in, or the data set's label; None if there is none.
        digest: `content_digest` of its content. Photos of one digest share their features.
        size: bytes; -1 for one that is no file.
        mtime_ns: when the file was last changed, in nanoseconds of the epoch; -1 for one that is no file.
        read_ns: when its content was read.
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
    """Photos as columns in memory, ids ascending; a million of them take about 250 MB.

    A large gallery that was opened has a `StoredTable` instead, until photos come or go.

    Args:
        columns: NumPy arrays by the names of `Photo`'s fields; an empty table by default.
    """

    names = tuple(field.name for field in fields(Photo))

    def __init__(self, columns: Mapping[str, np.ndarray] | None = None):
        self._columns = dict(columns) if columns is not None else _empty()
        self._rows: dict[str, int] | None = None

    @classmethod
    def of(cls, photos: Iterable[Photo]) -> "PhotoTable":
        """The table of these photos."""
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
        """The same, in as little memory as there is, for what needs their rows, slices and `searchsorted`."""
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
        """(N,) int64, -1 for a photo that is no file."""
        return self._columns["size"]

    @property
    def categories(self) -> list[str]:
        """Names of the categories that photos are of, in order."""
        return sorted(set().union(*map(set, self.parts("category"))) - {None})

    @property
    def rows(self) -> dict[str, int]:
        """{path: row}"""
        if self._rows is None:
            self._rows = {path: row for row, path in enumerate(self.paths)}
        return self._rows

    def take(self, rows: np.ndarray) -> "PhotoTable":
        """The table of these rows, or of those a boolean mask keeps."""
        return PhotoTable({name: column[rows] for name, column in self._columns.items()})

    def extended(self, photos: "PhotoTable") -> "PhotoTable":
        """This table and then the other."""
        return PhotoTable(
            {name: np.concatenate([column, photos._columns[name]]) for name, column in self._columns.items()}
        )

    def replaced(self, rows: np.ndarray, photos: Sequence[Photo]) -> "PhotoTable":
        """This table with other photos in some rows."""
        columns = {name: column.copy() for name, column in self._columns.items()}
        for name, column in columns.items():
            column[rows] = np.array([getattr(photo, name) for photo in photos], column.dtype)
        return PhotoTable(columns)

    def select(self, filters: Filters | None) -> np.ndarray | None:
        """Which rows the filters keep, as a boolean mask; None if there is nothing to filter by.

        Args:
            filters: {"category": a name or several, in any spelling of `data.class_names`; "path": a pattern such as
                `"2024/*.jpg"`, or several}, all of which must hold; or a function of a `Photo`.

        Raises:
            ValueError: for any other key, or for a category that no photo is of.
        """
        if not filters and not callable(filters):
            return None
        if callable(filters):
            return np.fromiter((bool(filters(photo)) for photo in self), bool, len(self))
        if not isinstance(filters, Mapping):
            raise TypeError(
                f"filters are a mapping such as {{'category': 'cat'}} or a function of a photo, not {filters!r}"
            )
        kept = np.ones(len(self), bool)
        for name, wanted in filters.items():
            if name not in _CONDITIONS:
                raise ValueError(f"there is no filter {name!r}; {suggestion(name, _CONDITIONS)}")
            values = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
            if not all(isinstance(value, str) for value in values):
                raise TypeError(f"the filter {name!r} is a text or several, not {wanted!r}")
            if name == "category":
                self._check_categories(values)
            kept &= np.concatenate([_CONDITIONS[name](part, values) for part in self.parts(name)])
        return kept

    def parts(self, name: str) -> Iterator[np.ndarray]:
        """A column, one part after the other; in memory there is only one."""
        yield self._columns[name]

    def columns(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns of the photos from `start` to before `stop`, by the names of `Photo`'s fields."""
        return {name: column[start:stop] for name, column in self._columns.items()}

    def _check_categories(self, names: Sequence[str]) -> None:
        known = self.categories
        keys = {category_key(name) for name in known} - {None}
        for name in names:
            if category_key(name) not in keys:
                raise ValueError(f"no photo is of category {name!r}; {suggestion(name, known)}")

    def write(self, path: Path) -> None:
        """Write the table as Parquet, complete or not at all."""
        arrays = [pa.array(self._columns[name], field.type) for name, field in zip(self.names, SCHEMA)]
        with atomic_write(path, durable=True) as temporary:
            pq.write_table(pa.table(arrays, schema=SCHEMA), temporary, write_page_checksum=True)

    @classmethod
    def read(cls, path: Path) -> "PhotoTable":
        """Read what `write` wrote.

        Raises:
            ValueError: the file is damaged.
            FileNotFoundError: there is none.
        """
        try:
            table = pq.read_table(path, schema=SCHEMA, page_checksum_verification=True)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]})") from error
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in cls.names}
        return cls(columns)


def _empty() -> dict[str, np.ndarray]:
    return {field.name: np.empty(0, np.int64 if field.type == pa.int64() else object) for field in SCHEMA}


def _in_categories(column: np.ndarray, names: Sequence[str]) -> np.ndarray:
    keys = {category_key(name) for name in names} - {None}
    known = {name: category_key(name) in keys for name in set(column)}
    return np.fromiter((known[name] for name in column), bool, len(column))


def category_key(name: str | None) -> str | None:
    """What two spellings of a category have in common; None for a name that is none."""
    try:
        return None if name is None else class_key(name)
    except ValueError:  # a folder called "..." is no class
        return None


def _matches_path(column: np.ndarray, patterns: Sequence[str]) -> np.ndarray:
    matches = (any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns) for path in column)
    return np.fromiter(matches, bool, len(column))


_CONDITIONS = {"category": _in_categories, "path": _matches_path}


@dataclass
class Changes:
    """What an addition, removal or refresh did.

    Attributes:
        added: photos that are new.
        removed: photos that are gone.
        changed: photos whose file has other content than before.
        renamed: photos whose file has another name than before.
        unchanged: photos looked at that are as they were.
        embedded: contents that went through the model.
        checked: photos that were embedded again to compare them with vectors from elsewhere.
        skipped: files that are not in the gallery, and why.
        links: links out of the folder of photos that were followed, as `link -> place`.
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
        """Everything as plain values."""
        return {**asdict(self), "skipped": [skipped._asdict() for skipped in self.skipped]}

    def describe(self, total: int) -> str:
        """A line of counts for people, and a line for each file that was skipped.

        Args:
            total: photos there are now.
        """
        counts = [("added", self.added), ("changed", self.changed), ("renamed", self.renamed)]
        counts += [("removed", self.removed), ("unchanged", self.unchanged)]
        done = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "nothing to do"
        lines = [f"{total:,} photos: {done}; {self.embedded:,} embedded"]
        if self.links:
            lines.append(
                f"Followed {len(self.links):,} links out of the folder (--no-links leaves them out):"
            )
            lines += [f"  {printable(link)}" for link in self.links]
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped):,}:")
            lines += [f"  {printable(str(image))}" for image in self.skipped]
        return "\n".join(lines)


class Update(NamedTuple):
    """A new table, and what that means for the index.

    Attributes:
        table: the photos.
        removed: ids that are gone.
        added: ids that are new, ascending.
    """

    table: PhotoTable
    removed: np.ndarray
    added: np.ndarray


def update_table(
    table: PhotoTable, loaded: "Iterable[LoadedPhoto]", gone: Iterable[str], next_id: int, changes: Changes
) -> Update:
    """Apply what was read to a table.

    A photo keeps its id as long as its content stays the same, whatever its file is called.

    Args:
        table: the photos so far; it is not changed.
        loaded: photos that were read; of those of one name the last counts.
        gone: names in the table whose files are there no longer.
        next_id: greater than all ids there have been.
        changes: counts are added to it.
    """
    free = [table.rows[path] for path in gone]
    nameless: dict[str, list[int]] = {}
    for row in free:
        nameless.setdefault(table.digests[row], []).append(row)
    dropped, kept, new = set(free), {}, []
    for photo in {photo.entry.path: photo for photo in loaded}.values():
        row = table.rows.get(photo.entry.path)
        if row is not None and photo.key == table.digests[row]:
            kept[row] = photo
            changes.unchanged += 1
            continue
        if row is not None:
            dropped.add(row)
            changes.changed += photo.key is not None
        elif nameless.get(photo.key):
            row = nameless[photo.key].pop(0)
            dropped.discard(row)
            kept[row] = photo
            changes.renamed += 1
            continue
        if photo.key is not None:
            new.append(photo)
    changes.added += len(new) - changes.changed
    changes.removed += len(dropped) - changes.changed
    photos = [_row(next_id + number, photo) for number, photo in enumerate(new)]
    renewed = [_row(int(table.ids[row]), photo) for row, photo in kept.items()]
    mask = np.ones(len(table), bool)
    mask[list(dropped)] = False
    renewed_table = table.replaced(np.array(list(kept), np.int64), renewed)
    return Update(
        renewed_table.take(mask).extended(PhotoTable.of(photos)),
        table.ids[~mask],
        np.array([photo.id for photo in photos], np.int64),
    )


def _row(id: int, photo: "LoadedPhoto") -> Photo:
    return Photo(id, photo.entry.path, photo.entry.category, photo.key, *photo.entry[2:], photo.read_ns)
