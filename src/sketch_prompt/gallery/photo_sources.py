"""The sources of photos: files and folders, data sets, and images in memory."""

import hashlib
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from sketch_prompt.data.listing import IMAGE_EXTENSIONS
from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError, read_file

from .saving import FEATURES, MANIFEST

if TYPE_CHECKING:
    import datasets

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP  ")
_CONTAINERS = ((b"RIFF", b"WEBP"), (b"", b"ftypavif"), (b"", b"ftypheic"), (b"", b"ftypmif1"))
_SYSTEM_FOLDERS = ("/proc", "/sys", "/dev")


class Entry(NamedTuple):
    """A photo before it is opened, as described by its source; see `Photo` for the fields."""

    path: str
    category: str | None
    size: int = -1
    mtime_ns: int = -1


class PhotoSource(ABC):
    """Photos that can be opened by number."""

    entries: list[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def full_path(self, number: int) -> str:
        """The path of a photo, or its name if it is not a file."""
        return self.entries[number].path

    @abstractmethod
    def content(self, number: int) -> bytes | Image.Image:
        """The encoded file, or the image if there is no file.

        Raises:
            UnreadableImageError: It cannot be read.
        """


class FileSource(PhotoSource):
    """Files.

    Args:
        entries: Their names in the gallery.
        root: Folder of relative names.
    """

    def __init__(self, entries: Sequence[Entry], root: str | os.PathLike = ""):
        self.entries = list(entries)
        self.root = os.fspath(root)

    def full_path(self, number: int) -> str:
        """The file's path."""
        return os.path.join(self.root, self.entries[number].path)

    def content(self, number: int) -> bytes:
        """The bytes of a file. If it does not have the name of an image, only its first bytes are read at first."""
        path = self.full_path(number)
        extension = os.path.splitext(path)[1].lower()
        if extension not in IMAGE_EXTENSIONS and not _starts_like_an_image(path):
            raise UnreadableImageError(path, "not an image")
        return read_file(path)


class PictureSource(PhotoSource):
    """PIL images in memory.

    Args:
        pictures: The images.
        names: Their names in the gallery.
    """

    def __init__(self, pictures: Sequence[Image.Image], names: Sequence[str]):
        self.pictures = list(pictures)
        self.entries = [Entry(name, None) for name in names]

    def content(self, number: int) -> Image.Image:
        """The image itself."""
        return self.pictures[number]


class DatasetSource(PhotoSource):
    """The column `image` of a `datasets.Dataset`. Class labels in a column `label` become categories.

    Args:
        dataset: The table.
        names: Names of the rows in the gallery. The default is the path of the file, or `row 7`.
        embedded_only: Use only images whose bytes are in the rows, and read no files, as somebody else wrote the rows.

    Raises:
        ValueError: It has no column `image`, or the number of names is wrong.
    """

    @staticmethod
    def takes(photos: object) -> bool:
        """Whether it is a `datasets.Dataset`. The library is slow to import, and a search does not need it."""
        library = sys.modules.get("datasets")
        return library is not None and isinstance(photos, library.Dataset)

    def __init__(
        self, dataset: "datasets.Dataset", names: Sequence[str] | None = None, embedded_only: bool = False
    ):
        import datasets

        self.embedded_only = embedded_only
        if "image" not in dataset.column_names:
            raise ValueError(
                f"the data set has no column 'image' but {', '.join(dataset.column_names)}; rename the one that holds "
                "the photos: dataset.rename_column(...)"
            )
        self.images = dataset.select_columns("image").with_format(None)
        self.images = self.images.cast_column("image", datasets.Image(decode=False))
        categories = _labels(dataset)
        if names is None:
            names = [_row_name(row, value) for row, value in enumerate(self.images["image"])]
        if len(names) != len(dataset):
            raise ValueError(f"{len(names)} names were given for {len(dataset)} rows")
        self.entries = [Entry(name, category) for name, category in zip(names, categories)]

    def content(self, number: int) -> bytes | Image.Image:
        """The row's encoded bytes."""
        value = self.images[number]["image"]
        if value["bytes"] is not None:
            return value["bytes"]
        if self.embedded_only or value["path"] is None:
            raise UnreadableImageError(
                self.entries[number].path, "this photo is not included in the data set"
            )
        return read_file(value["path"])


def _labels(dataset: "datasets.Dataset") -> list[str | None]:
    import datasets

    feature = dataset.features.get("label")
    if isinstance(feature, datasets.ClassLabel):
        return [
            feature.names[label] if label is not None and label >= 0 else None for label in dataset["label"]
        ]
    if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
        return list(dataset["label"])
    return [None] * len(dataset)


def _row_name(row: int, value: dict) -> str:
    path = value["path"]
    return path if path is not None and os.path.isabs(path) else f"row {row}"


def _starts_like_an_image(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except (OSError, ValueError):
        return True  # `read_file` says what is wrong
    return start.startswith(_SIGNATURES) or any(
        start.startswith(first) and start[8:].startswith(second) if first else start[4:].startswith(second)
        for first, second in _CONTAINERS
    )


def content_digest(content: bytes | Image.Image, category: str | None = None) -> str:
    """The key of features: BLAKE2b (128 bits, hexadecimal) of everything that they depend on.

    Args:
        content: The bytes of a file, or an image, of which mode, size and pixels are used.
        category: The category that it is embedded with, or None.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"" if category is None else b"category")
    if category is not None:
        digest.update(category.encode() + b"\0")
    if isinstance(content, Image.Image):
        digest.update(f"{content.mode} {content.width} {content.height} ".encode())
        content = content.tobytes()
    digest.update(content)
    return digest.hexdigest()


def picture_names(pictures: Sequence[Image.Image], taken: Collection[str]) -> list[str]:
    """Unique names for images in memory: the file that each was opened from, or `picture 1`, ..."""
    names, taken = [], set(taken)
    for number, picture in enumerate(pictures, len(taken) + 1):
        name = Path(getattr(picture, "filename", "") or f"picture {number}").name
        stem, suffix, copy = Path(name).stem, Path(name).suffix, 2
        while name in taken:
            name, copy = f"{stem} ({copy}){suffix}", copy + 1
        taken.add(name)
        names.append(name)
    return names


@dataclass
class Scan:
    """The files in a folder, in the order of their names.

    Attributes:
        entries: Files that may be photos, with names relative to the folder and `/` between folders.
        skipped: All others, with their full paths.
        links: Links that lead out of the folder and were followed, as `link -> place`.
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: list[UnreadableImage] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def scan(root: str | os.PathLike, follow_links: bool = True) -> Scan:
    """List the files in `root` and its subfolders without opening any.

    Symbolic links are followed. A folder is listed only once, so a link to a parent ends there. Links to a folder that
    contains `root` (such as `/`), or to folders of the system (`/proc`, `/sys`, `/dev`), are not followed. The
    category of a file is the name of its folder. Files directly in `root` have none.

    Args:
        root: The folder.
        follow_links: Whether to follow links.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is not a folder.
    """
    root = os.fspath(root)
    check_folder(root)
    found, seen = Scan(), {_identity(os.stat(root))}
    refusal = partial(_refusal, root=os.path.realpath(root), follow_links=follow_links, found=found)
    # Links wait until everything has been listed under its own name.
    pending, links = [""], []
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        _list_folder(root, folder, found, seen, pending, links, refusal)
    found.entries.sort()
    found.skipped.sort()
    return found


def check_folder(root: str | os.PathLike) -> None:
    """Raise a FileNotFoundError or NotADirectoryError if `root` is not a folder."""
    if not os.path.isdir(root):
        kind = NotADirectoryError if os.path.exists(root) else FileNotFoundError
        raise kind(f"{os.fspath(root)!r} is not a folder of photos")


def scan_file(path: str | os.PathLike) -> Scan:
    """A single file, with its name as given and without a category."""
    path = os.fspath(path)
    try:
        path.encode()
        status = os.stat(path)
    except UnicodeEncodeError:
        return Scan(skipped=[UnreadableImage(_readable(path), "its name is not valid text")])
    except OSError as error:
        return Scan(skipped=[UnreadableImage(path, _reason(error))])
    if not stat.S_ISREG(status.st_mode):
        return Scan(skipped=[UnreadableImage(path, "not a regular file")])
    return Scan(entries=[Entry(path, None, status.st_size, status.st_mtime_ns)])


def _list_folder(
    root: str,
    folder: str,
    found: Scan,
    seen: set,
    pending: list[str],
    links: list[str],
    refusal: Callable[[os.DirEntry], str | None],
) -> None:
    full = os.path.join(root, folder)
    if os.path.islink(full) and folder:
        identity = _identity(os.stat(full))
        if identity in seen:
            found.skipped.append(
                UnreadableImage(_readable(full), "a link to a folder that is listed already")
            )
            return
        seen.add(identity)
    try:
        with os.scandir(full) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.skipped.append(UnreadableImage(_readable(full), _reason(error)))
        return
    if {entry.name for entry in entries} >= {MANIFEST, FEATURES}:
        found.skipped.append(UnreadableImage(_readable(full), "a gallery"))
        return
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        reason = refusal(entry)
        if reason is not None:
            found.skipped.append(UnreadableImage(_readable(entry.path), reason))
        elif not entry.is_dir():
            status = entry.stat()
            found.entries.append(
                Entry(name, Path(name).parent.name or None, status.st_size, status.st_mtime_ns)
            )
        elif entry.is_symlink():
            links.append(name)
        else:
            seen.add(_identity(entry.stat()))
            pending.append(name)


def _refusal(entry: os.DirEntry, root: str, follow_links: bool, found: Scan) -> str | None:
    """Why an entry is neither a folder nor a possible photo."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not valid text"
    if entry.name.startswith("."):
        return "hidden"
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return "a link to nothing" if entry.is_symlink() else _reason(error)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return "not a regular file"
    if entry.path in _SYSTEM_FOLDERS:
        return "a folder of the system"
    return _link_refusal(entry, root, follow_links, found) if entry.is_symlink() else None


def _link_refusal(entry: os.DirEntry, root: str, follow_links: bool, found: Scan) -> str | None:
    """Why a link is not followed; of one that is, and leads out of the folder, a note is taken."""
    if not follow_links:
        return "a link"
    target = os.path.realpath(entry.path)
    if any(target == folder or target.startswith(folder + os.sep) for folder in _SYSTEM_FOLDERS):
        return "a link to a folder of the system"
    if root == target or root.startswith(os.path.join(target, "")):
        return (
            "a link to a folder that is listed already"
            if root == target
            else "a link to a folder around this one"
        )
    if not target.startswith(os.path.join(root, "")):
        found.links.append(f"{_readable(entry.path)} -> {_readable(target)}")
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    return "no permission to read it" if isinstance(error, PermissionError) else error.strerror or str(error)


def _readable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
