"""What a folder holds of a benchmark: files grouped by split and class, each with the instance it shows."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sketch_prompt.data.listing import ImageFile, Listing
from sketch_prompt.data.splits import SPLIT_NAMES, BenchmarkSplit

logger = logging.getLogger(__name__)

# (class, file stem, stems of the class's photos) -> the instance the image shows
InstanceRule = Callable[[str, str, set[str]], str]


class Item(NamedTuple):
    """A file of a benchmark and the instance it shows."""

    file: ImageFile
    instance_id: str


@dataclass(frozen=True)
class BenchmarkContents:
    """The files of a benchmark.

    Attributes:
        packaging: name of the recognised packaging.
        class_names: the classes in the order of their labels.
        items: `{split name: {class: its files}}`.
        skipped: `path: reason` of the files left out.
    """

    packaging: str
    class_names: tuple[str, ...]
    items: Mapping[str, Mapping[str, list[Item]]]
    skipped: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the classes and of every file's path, size and time of change."""
        digest = hashlib.sha256(repr((self.class_names, self.skipped)).encode())
        for part in SPLIT_NAMES:
            for name, items in self.items[part].items():
                digest.update(f"\n{part}\t{name}\n".encode())
                digest.update("\n".join(map(repr, items)).encode())
        return digest.hexdigest()[:24]


def files_by_class(listing: Listing, split: BenchmarkSplit) -> dict[str, list[ImageFile]]:
    """`{class: its files by name}` of every class of a split; folders of other classes are left out."""
    files: dict[str, list[ImageFile]] = {name: [] for name in split.class_names}
    for folder, images in listing.folders.items():
        try:
            name = split.class_of(folder)
        except ValueError:
            name = None
        if name is None:
            logger.info("folder %r is no class of the split: its %d files are left out", folder, len(images))
        else:
            files[name] += images
    for images in files.values():
        images.sort(key=lambda image: (os.path.basename(image.path), image.path))
    return files


def zero_shot_contents(
    packaging: str,
    split: BenchmarkSplit,
    photos: Mapping[str, list[ImageFile]],
    sketches: Mapping[str, list[ImageFile]],
    instance_of: InstanceRule,
    skipped: Iterable[str] = (),
) -> BenchmarkContents:
    """Seen classes as training data, unseen ones as test data.

    Raises:
        ValueError: if a class has no photo or no sketch; it names all such classes.
    """
    require_every_class(split.class_names, photos, sketches)
    items: dict[str, dict[str, list[Item]]] = {part: {} for part in SPLIT_NAMES}
    for part, names in (("train", split.seen), ("test", split.unseen)):
        for name in names:
            stems = {file.stem for file in photos[name]}
            for domain, files in (("photo", photos[name]), ("sketch", sketches[name])):
                items[f"{part}_{domain}"][name] = [
                    Item(file, instance_of(name, file.stem, stems)) for file in files
                ]
    return BenchmarkContents(packaging, split.class_names, items, tuple(skipped))


def drawn_only(contents: BenchmarkContents) -> BenchmarkContents:
    """The contents without sketches whose own photo is absent, which instance-level retrieval cannot use.

    Raises:
        ValueError: if no sketch is left of some class; it names all such classes.
    """
    items = dict(contents.items)
    for part in ("train", "test"):
        photos, sketches = items[f"{part}_photo"], items[f"{part}_sketch"]
        shown = {name: {item.instance_id for item in photos[name]} for name in photos}
        items[f"{part}_sketch"] = {
            name: [item for item in sketches[name] if item.instance_id in shown[name]] for name in sketches
        }
    unpaired = [
        name for part in ("train", "test") for name, kept in items[f"{part}_sketch"].items() if not kept
    ]
    if unpaired:
        raise ValueError(
            f"no sketch draws a photo that is there, in: {', '.join(unpaired)}; the file names pair them"
        )
    return BenchmarkContents(contents.packaging, contents.class_names, items, contents.skipped)


def require_every_class(
    class_names: Iterable[str], photos: Mapping[str, list], sketches: Mapping[str, list]
) -> None:
    """Check that every class has photos and sketches.

    Raises:
        ValueError: naming all classes that have not.
    """
    problems = []
    for what, has_photo, has_sketch in (
        ("classes absent", False, False),
        ("classes without a photo", False, True),
        ("classes without a sketch", True, False),
    ):
        names = [n for n in class_names if (bool(photos[n]), bool(sketches[n])) == (has_photo, has_sketch)]
        problems += [f"{what}: {', '.join(names)}"] if names else []
    if problems:
        raise ValueError(
            f"{'; '.join(problems)}. Every class needs at least one photo and one sketch: "
            "complete the data or leave these classes out with a split of your own"
        )
