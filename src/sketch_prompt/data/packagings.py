"""Packagings: how those who pass a benchmark on lay out its folders, and how that is recognised."""

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Packaging:
    """Folders of class folders, relative to the base of the packaging.

    Attributes:
        name: how it is called in reports.
        photos: photo roots, all of which must exist.
        sketches: sketch roots, all of which must exist.
        extra_photos: photo roots that are used where they exist, such as a benchmark's extension.
    """

    name: str
    photos: tuple[str, ...]
    sketches: tuple[str, ...]
    extra_photos: tuple[str, ...] = ()

    def is_at(self, base: str) -> bool:
        """Whether every required folder exists below `base`."""
        return all(os.path.isdir(os.path.join(base, root)) for root in self.photos + self.sketches)

    def photo_roots(self, base: str, *, extra: bool = True) -> list[str]:
        """The photo folders below `base`, with those of the extra ones that exist if `extra`."""
        roots = [os.path.join(base, root) for root in self.photos]
        if extra:
            roots += filter(os.path.isdir, (os.path.join(base, root) for root in self.extra_photos))
        return roots

    def sketch_roots(self, base: str) -> list[str]:
        """The sketch folders below `base`."""
        return [os.path.join(base, root) for root in self.sketches]


def find_packaging(
    data_dir: str, packagings: Iterable[Packaging], containers: Iterable[str] = ()
) -> tuple[Packaging, str] | None:
    """The first packaging at `data_dir` or in the nested `containers` below it, and where it starts."""
    bases = [data_dir]
    for base in bases:
        bases += [path for name in containers if os.path.isdir(path := os.path.join(base, name))]
    for base in bases:
        for packaging in packagings:
            if packaging.is_at(base):
                return packaging, base
    return None
