"""Packagings: how those who pass a benchmark on lay out its folders, and how that is recognised."""

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Packaging:
    """The folders that make up a packaging, as relative paths.

    Attributes:
        name: how it is called in reports.
        photos: photo folders, all of which must exist.
        sketches: sketch folders, all of which must exist.
        extra_photos: photo folders that are used where they exist, such as a benchmark's extension.
    """

    name: str
    photos: tuple[str, ...]
    sketches: tuple[str, ...]
    extra_photos: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundPackaging:
    """A packaging and its folders as they lie on disk.

    Attributes:
        name: the packaging's name.
        photos: photo folders, the extra ones last.
        sketches: sketch folders.
        bases: the folders that were searched.
    """

    name: str
    photos: tuple[str, ...]
    sketches: tuple[str, ...]
    bases: tuple[str, ...]


def search_bases(data_dirs: Iterable[str], containers: Iterable[str]) -> tuple[str, ...]:
    """The folders and, nested to any depth, those named in `containers` that exist below them."""
    bases = list(data_dirs)
    containers = tuple(containers)
    for base in bases:
        bases += [path for name in containers if os.path.isdir(path := os.path.join(base, name))]
    return tuple(bases)


def find_packaging(
    bases: Iterable[str], packagings: Iterable[Packaging], *, extra_photos: bool = True
) -> FoundPackaging | None:
    """The first packaging all of whose required folders exist, each below any of the bases."""
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
