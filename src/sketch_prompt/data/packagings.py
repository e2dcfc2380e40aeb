"""Packagings: the folder layouts in which a benchmark is passed on, and how to recognise them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Packaging:
    """The folders of a packaging, as relative paths.

    Attributes:
        name: Name of the packaging in reports.
        photos: Folders of photos. All of them must exist.
        sketches: Folders of sketches. All of them must exist.
        extra_photos: Folders of photos that are used if they exist, such as the extension of a benchmark.
    """

    name: str
    photos: tuple[str, ...]
    sketches: tuple[str, ...]
    extra_photos: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundPackaging:
    """A packaging that was found on disk.

    Attributes:
        name: Name of the packaging.
        photos: Paths of the photo folders, extra ones last.
        sketches: Paths of the sketch folders.
        bases: The folders that were searched.
    """

    name: str
    photos: tuple[str, ...]
    sketches: tuple[str, ...]
    bases: tuple[str, ...]


def search_bases(data_dirs: Iterable[str], containers: Iterable[str]) -> tuple[str, ...]:
    """The folders, and those below them that are named in `containers`, nested to any depth."""
    bases = list(data_dirs)
    containers = tuple(containers)
    for base in bases:
        bases += [path for name in containers if os.path.isdir(path := os.path.join(base, name))]
    return tuple(bases)


def find_packaging(
    bases: Iterable[str], packagings: Iterable[Packaging], *, extra_photos: bool = True
) -> FoundPackaging | None:
    """The first packaging whose required folders all exist below the bases; None if there is none."""
    bases = tuple(bases)

    def locate(folder: str) -> str | None:
        return next((path for base in bases if os.path.isdir(path := os.path.join(base, folder))), None)

    for packaging in packagings:
        photos = [locate(folder) for folder in packaging.photos]
        sketches = [locate(folder) for folder in packaging.sketches]
        if None in photos or None in sketches:
            continue
        if extra_photos:
            photos += [path for folder in packaging.extra_photos if (path := locate(folder)) is not None]
        return FoundPackaging(packaging.name, tuple(photos), tuple(sketches), bases)
    return None
