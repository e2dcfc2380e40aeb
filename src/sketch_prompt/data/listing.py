"""What lies in a folder: image files by class folder, listed without opening any of them.

Listings are sorted by name, so they do not depend on the order in which a file system reports its entries.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

logger = logging.getLogger(__name__)

IMAGE_EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
)


class ImageFile(NamedTuple):
    """An image file as the file system knows it."""

    path: str
    size: int
    mtime_ns: int

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return os.path.splitext(os.path.basename(self.path))[0]


@dataclass
class Listing:
    """Image files by class folder.

    Attributes:
        folders: `{class folder name: its images}`, both sorted; a class split over several roots is merged.
        skipped: `path: reason` of every file that was left out.
    """

    folders: dict[str, list[ImageFile]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def list_class_folders(roots: Iterable[str]) -> Listing:
    """List `<root>/<class>/<image>` of every root.

    Raises:
        OSError: if a root or a class folder cannot be read.
    """
    listing = Listing()
    for root in roots:
        for folder in sorted(_entries(root), key=lambda entry: entry.name):
            if folder.is_dir():
                images = list_images(folder.path, listing.skipped)
                listing.folders.setdefault(folder.name, []).extend(images)
    listing.folders = dict(sorted(listing.folders.items()))
    return listing


def list_images(folder: str, skipped: list[str]) -> list[ImageFile]:
    """The images directly in a folder, sorted by name; those left out are recorded in `skipped`."""
    images = []
    for entry in _entries(folder):
        if os.path.splitext(entry.name)[1].lower() not in IMAGE_EXTENSIONS:
            continue
        reason = None
        try:
            status = entry.stat()
            if not entry.is_file():
                reason = "not a file"
            elif status.st_size == 0:
                reason = "the file is empty"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason is None and not _is_text(entry.name):
            reason = "its name is not valid text"
        if reason is None:
            images.append(ImageFile(entry.path, status.st_size, status.st_mtime_ns))
        else:
            skipped.append(f"{os.fsencode(entry.path).decode('utf-8', 'replace')}: {reason}")
    images.sort()
    skipped.sort()
    return images


def _entries(folder: str) -> Iterator[os.DirEntry]:
    """Everything in a folder but hidden entries, among them the `._*` files that macOS leaves."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
