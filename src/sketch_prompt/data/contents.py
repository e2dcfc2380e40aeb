"""The files of a benchmark, grouped by split and class, with the instance that each of them shows."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sketch_prompt.data.listing import ImageFile, Listing
from sketch_prompt.data.splits import SPLIT_NAMES, BenchmarkSplit

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
        packaging: Name of the packaging.
        class_names: The classes, ordered by label.
        items: `{split name: {class: its files}}`.
        skipped: `path: reason` for each file that is left out.
    """

    packaging: str
    class_names: tuple[str, ...]
    items: Mapping[str, Mapping[str, list[Item]]]
    skipped: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the classes and of the path, size and modification time of each file."""
        digest = hashlib.sha256(repr((self.class_names, self.skipped)).encode())
        for part in SPLIT_NAMES:
            for name, items in self.items[part].items():
                digest.update(f"\n{part}\t{name}\n".encode())
                digest.update("\n".join(map(repr, items)).encode())
        return digest.hexdigest()[:24]


@dataclass(frozen=True)
class Survey:
    """The files of a benchmark's classes in a folder. It may be incomplete.

    Attributes:
        packaging: Name of the packaging.
        folders: The folders that were listed.
        split: The classes of the benchmark.
        files: `{domain: {class: its files, sorted by name}}` for each class of the split.
        skipped: `path: reason` for each file that is left out.
        ignored: Class folders that do not belong to the split.
    """

    packaging: str
    folders: tuple[str, ...]
    split: BenchmarkSplit
    files: Mapping[str, Mapping[str, list[ImageFile]]]
    skipped: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def require_every_class(self) -> None:
        """Check that each class has photos and sketches.

        Raises:
            ValueError: It names the classes that have none.
        """
        problems = [f"{what}: {', '.join(names)}" for what, names in self.incomplete_classes().items()]
        if problems:
            raise ValueError(
                f"{'; '.join(problems)}. Every class needs at least one photo and one sketch: "
                "complete the data or leave these classes out with a split of your own"
            )

    def incomplete_classes(self) -> dict[str, list[str]]:
        """{what is missing: classes}"""
        lacking: dict[str, list[str]] = {}
        for name in self.split.class_names:
            has_photo, has_sketch = bool(self.files["photo"][name]), bool(self.files["sketch"][name])
            if not (has_photo or has_sketch):
                lacking.setdefault("classes absent", []).append(name)
            elif not has_photo:
                lacking.setdefault("classes without a photo", []).append(name)
            elif not has_sketch:
                lacking.setdefault("classes without a sketch", []).append(name)
        return lacking


def files_by_class(listing: Listing, split: BenchmarkSplit) -> tuple[dict[str, list[ImageFile]], list[str]]:
    """`{class: its files, sorted by name}` for each class of a split, and the folders of other classes."""
    files: dict[str, list[ImageFile]] = {name: [] for name in split.class_names}
    ignored = []
    for folder, images in listing.folders.items():
        try:
            name = split.class_of(folder)
        except ValueError:
            name = None
        if name is None:
            ignored.append(folder)
        else:
            files[name] += images
    for images in files.values():
        images.sort(key=lambda image: (os.path.basename(image.path), image.path))
    return files, ignored


def zero_shot_contents(survey: Survey, instance_of: InstanceRule) -> BenchmarkContents:
    """The files of seen classes as training data, and of unseen classes as test data.

    Raises:
        ValueError: Classes have no photo or no sketch; the message names them.
    """
    survey.require_every_class()
    items: dict[str, dict[str, list[Item]]] = {part: {} for part in SPLIT_NAMES}
    for part, names in (("train", survey.split.seen), ("test", survey.split.unseen)):
        for name in names:
            photo_stems = {file.stem for file in survey.files["photo"][name]}
            for domain, files in survey.files.items():
                items[f"{part}_{domain}"][name] = [
                    Item(file, instance_of(name, file.stem, photo_stems)) for file in files[name]
                ]
    return BenchmarkContents(survey.packaging, survey.split.class_names, items, survey.skipped)


def keep_paired_sketches(contents: BenchmarkContents) -> BenchmarkContents:
    """The contents without the sketches whose own photo is missing: instance-level retrieval cannot use them.

    Raises:
        ValueError: Classes have no sketch left; the message names them.
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
