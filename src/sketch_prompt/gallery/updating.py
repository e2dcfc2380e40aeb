"""How the table of photos changes when files appear, vanish, change or get another name."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.terminal import printable

from .encoder import LoadedPhoto
from .table import Photo, PhotoTable


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
    table: PhotoTable, loaded: Iterable[LoadedPhoto], gone: Iterable[str], next_id: int, changes: Changes
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


def _row(id: int, photo: LoadedPhoto) -> Photo:
    return Photo(id, photo.entry.path, photo.entry.category, photo.key, *photo.entry[2:], photo.read_ns)
