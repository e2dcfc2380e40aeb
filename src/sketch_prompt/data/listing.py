"""List the images and stroke files in folders of classes, without opening any of them.

Listings are sorted by name, so they do not depend on the file system.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

RAW_EXTENSIONS = frozenset(
    (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef")
    + (".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f")
)
"""Raw files of cameras; see `camera_files`."""

IMAGE_EXTENSIONS = RAW_EXTENSIONS | frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
    + (".heic", ".heif", ".hif")
)
STROKE_EXTENSION = ".ndjson"


class ImageFile(NamedTuple):
    """An image file, or a file with many drawings as strokes (`.ndjson`)."""

    path: str
    size: int
    mtime_ns: int

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def holds_strokes(self) -> bool:
        """Whether the file holds drawings as strokes."""
        return self.path.lower().endswith(STROKE_EXTENSION)


@dataclass
class Listing:
    """Image files, grouped by class folder.

    Attributes:
        folders: `{name of a class folder: its images}`, both sorted. Folders with the same name in several roots are
            merged.
        skipped: `path: reason` for each file that is left out.
    """

    folders: dict[str, list[ImageFile]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def list_class_folders(roots: Iterable[str]) -> Listing:
    """List `<root>/<class>/<image>` and `<root>/<class>.ndjson` in all roots.

    Raises:
        OSError: A root or a class folder cannot be read.
    """
    listing = Listing()
    for root in roots:
        for entry in sorted(_entries(root), key=lambda entry: entry.name):
            stem, extension = os.path.splitext(entry.name)
            if entry.is_dir():
                images = list_images(entry.path, listing.skipped)
                listing.folders.setdefault(entry.name, []).extend(images)
            elif extension.lower() == STROKE_EXTENSION:
                # Google's download page names the files of simplified drawings so.
                name = stem.removeprefix("full_simplified_")
                listing.folders.setdefault(name, []).extend(_checked([entry], listing.skipped))
    listing.folders = dict(sorted(listing.folders.items()))
    return listing


def list_images(folder: str, skipped: list[str]) -> list[ImageFile]:
    """The images directly in a folder, sorted by name. Files that are left out are added to `skipped`."""
    entries = _entries(folder)
    return _checked((e for e in entries if os.path.splitext(e.name)[1].lower() in IMAGE_EXTENSIONS), skipped)


def _checked(entries: Iterable[os.DirEntry], skipped: list[str]) -> list[ImageFile]:
    files, left_out = [], []
    for entry in entries:
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
            files.append(ImageFile(entry.path, status.st_size, status.st_mtime_ns))
        else:
            left_out.append(f"{os.fsencode(entry.path).decode('utf-8', 'replace')}: {reason}")
    skipped += sorted(left_out)
    return sorted(files)


def _entries(folder: str) -> Iterator[os.DirEntry]:
    """All entries of a folder except hidden ones, such as the `._*` files of macOS."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
