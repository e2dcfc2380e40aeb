"""Where a gallery's photos come from: folders, files, data sets, pictures in memory."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets
from PIL import Image

from sketch_prompt.data.listing import IMAGE_EXTENSIONS
from sketch_prompt.data.reading import UnreadableImageError, read_file

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP  ")
_CONTAINERS = ((b"RIFF", b"WEBP"), (b"", b"ftypavif"))


class Entry(NamedTuple):
    """A photo as its source knows it before it is opened; see `Photo` for the fields."""

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
        """Where a photo is; the name of one that is no file."""
        return self.entries[number].path

    @abstractmethod
    def content(self, number: int) -> bytes | Image.Image:
        """The encoded file, or the picture where there is no file.

        Raises:
            UnreadableImageError: it cannot be read.
        """


class FileSource(PhotoSource):
    """Files.

    Args:
        entries: their names in the gallery.
        root: what relative names are relative to.
    """

    def __init__(self, entries: Sequence[Entry], root: str | os.PathLike = ""):
        self.entries = list(entries)
        self.root = os.fspath(root)

    def full_path(self, number: int) -> str:
        """The file's path."""
        return os.path.join(self.root, self.entries[number].path)

    def content(self, number: int) -> bytes:
        """The file's bytes. One whose name is no image's is looked into only if it starts like an image."""
        path = self.full_path(number)
        extension = os.path.splitext(path)[1].lower()
        if extension not in IMAGE_EXTENSIONS and not _starts_like_an_image(path):
            raise UnreadableImageError(path, "not an image")
        return read_file(path)


class PictureSource(PhotoSource):
    """PIL images in memory.

    Args:
        pictures: the images.
        names: what each is called in the gallery.
    """

    def __init__(self, pictures: Sequence[Image.Image], names: Sequence[str]):
        self.pictures = list(pictures)
        self.entries = [Entry(name, None) for name in names]

    def content(self, number: int) -> Image.Image:
        """The picture itself."""
        return self.pictures[number]


class DatasetSource(PhotoSource):
    """The column `image` of a `datasets.Dataset`; a column `label` of class labels becomes the category.

    Args:
        dataset: the table.
        names: what each row is called in the gallery; by default the path of its file, or `row 7`.
        embedded_only: read no file that a row names, as somebody else wrote the rows: only bytes that they hold.

    Raises:
        ValueError: it has no column `image`, or there are more or fewer names than rows.
    """

    def __init__(
        self, dataset: datasets.Dataset, names: Sequence[str] | None = None, embedded_only: bool = False
    ):
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


def _labels(dataset: datasets.Dataset) -> list[str | None]:
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
    """What features are kept under: BLAKE2b (128 bits, hexadecimal) of all they are made from.

    Args:
        content: a file's bytes, or a picture, of which mode, size and pixels count.
        category: under which it is embedded; None for none.
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
    """Names for pictures in memory: the file each was opened from, or `picture 1`, ...; none twice."""
    names, taken = [], set(taken)
    for number, picture in enumerate(pictures, len(taken) + 1):
        name = Path(getattr(picture, "filename", "") or f"picture {number}").name
        stem, suffix, copy = Path(name).stem, Path(name).suffix, 2
        while name in taken:
            name, copy = f"{stem} ({copy}){suffix}", copy + 1
        taken.add(name)
        names.append(name)
    return names
