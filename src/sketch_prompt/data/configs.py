"""Configurations of the benchmark builders: what a benchmark is for, where it is, and how to find its files."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import datasets

from sketch_prompt.data.archives import archives_in, is_archive, unpack
from sketch_prompt.data.contents import (
    BenchmarkContents,
    Item,
    Survey,
    files_by_class,
    zero_shot_contents,
)
from sketch_prompt.data.file_lists import find_file_lists, select_listed
from sketch_prompt.data.listing import list_class_folders
from sketch_prompt.data.packagings import FoundPackaging, Packaging, find_packaging, search_bases
from sketch_prompt.data.splits import BenchmarkSplit, published_protocols, published_split, read_split
from sketch_prompt.data.strokes import encode_png, rasterize, read_drawings
from sketch_prompt.vocabulary import Level

logger = logging.getLogger(__name__)

_LISTED = 10


@dataclass
class BenchmarkConfig(datasets.BuilderConfig):
    """What a benchmark is for. Subclasses add the options for loading it.

    Class attributes:
        level: Default level for training and reports: "category" (every photo of the sketch's class is right) or
            "instance" (only the photo that was drawn is right).
        protocol: Name of the published protocol with its classes; None for the benchmark's own name.
        test_counts: Published number of files in `test_sketch` and `test_photo`, if they differ from the protocol's.
        reads_data_dir: Whether the benchmark is read from a folder. If not, `data_dir` is refused.
    """

    level: ClassVar[Level] = "category"
    protocol: ClassVar[str | None] = None
    test_counts: ClassVar[Mapping[str, int] | None] = None
    reads_data_dir: ClassVar[bool] = True

    def published(self) -> BenchmarkSplit | None:
        """The published classes; None if there is no published protocol."""
        name = self.protocol or self.name
        return published_split(name) if name in published_protocols() else None

    def published_counts(self) -> Mapping[str, int | None]:
        """Published number of files for each split, as far as it is known."""
        if self.test_counts is not None:
            return self.test_counts
        published = self.published()
        return {} if published is None else published.counts


@dataclass
class FolderConfig(BenchmarkConfig):
    """A benchmark that is read from a folder. Subclasses define how to find the files, and the classes.

    Attributes:
        data_dir: A folder with the data or with downloaded archives (zip, tar, 7z), or one archive.
        class_split: Seen and unseen classes to use instead of the benchmark's own; see `read_split`.
        unpack_dir: Where to unpack archives; by default a folder in the cache of `datasets`.
    """

    class_split: str | os.PathLike | Mapping | BenchmarkSplit | None = None
    unpack_dir: str | os.PathLike | None = None

    layout: ClassVar[str]
    sources: ClassVar[str]
    _listed: ClassVar[BenchmarkContents | None] = None

    def list_contents(self) -> BenchmarkContents:
        """List the training and test files under `data_dir`. The result is kept for later calls.

        Raises:
            FileNotFoundError: The folder is missing, or has no known layout of the benchmark.
            ValueError: A class has no photos or no sketches.
        """
        if self._listed is None:
            self._listed = self.find()
            if self._listed.skipped:
                shown = _shorten(self._listed.skipped)
                logger.warning("%s: %d files skipped: %s", self.name, len(self._listed.skipped), shown)
        return self._listed

    def survey(self) -> Survey:
        """List the files that are there, even if classes are missing.

        Raises:
            FileNotFoundError: The folder is missing, or has no known layout of the benchmark.
        """
        raise NotImplementedError

    def find(self) -> BenchmarkContents:
        """Find the training and test files. Called once, by `list_contents`."""
        raise NotImplementedError

    def examples_of(self, item: Item) -> Iterator[tuple[str | dict, str]]:
        """Yield the images of a file, as values for `datasets.Image`, with the instances they show."""
        yield item.file.path, item.instance_id

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """A name for the cached table that depends on the files, so that a changed folder is read again."""
        return f"{self.name}-{self.list_contents().fingerprint}"

    def required_dir(self, folder: str | os.PathLike | None, option: str = "data_dir") -> str:
        """The absolute path of a folder that must exist.

        Raises:
            FileNotFoundError: It is None or not a folder. The message shows the expected layout and where to get the
                data.
        """
        if folder is None:
            raise FileNotFoundError(f"{self.name} needs {option}, the folder of the data. {self.help_text()}")
        path = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(path):
            raise FileNotFoundError(f"{option} {path!r} is not a folder. {self.help_text()}")
        return path

    def find_packaging(
        self, packagings: Iterable[Packaging], containers: Iterable[str], *, extra_photos: bool = True
    ) -> FoundPackaging:
        """Find one of the packagings in `data_dir`. If its folders are not enough, its archives are unpacked.

        Raises:
            FileNotFoundError: `data_dir` is missing, or has no known packaging.
            ArchiveError: An archive is unsafe or damaged.
        """
        containers = tuple(containers)
        if self.data_dir is not None and is_archive(os.path.expanduser(self.data_dir)):
            bases, archives = (), [os.path.expanduser(self.data_dir)]
        else:
            bases = search_bases([self.required_dir(self.data_dir)], containers)
            archives = archives_in(bases)
        found = find_packaging(bases, packagings, extra_photos=extra_photos)
        if found is None and archives:
            unpacked = [unpack(archive, self._unpack_dir()) for archive in archives]
            around = [folder for path in unpacked for folder in _folders_of_archive(path)]
            bases = (*bases, *search_bases(around, containers))
            found = find_packaging(bases, packagings, extra_photos=extra_photos)
        if found is None:
            raise FileNotFoundError(
                f"{self.data_dir!r} has no known packaging of the data. {self.help_text()}"
            )
        return found

    def _unpack_dir(self) -> str:
        if self.unpack_dir is not None:
            return os.path.abspath(os.path.expanduser(self.unpack_dir))
        return os.path.join(datasets.config.HF_DATASETS_CACHE, "sketch_prompt_archives")

    def help_text(self) -> str:
        """The expected layout, and where to get the data."""
        return f"Expected for {self.name}:\n{self.layout}\nWhere to get it (links rot):\n{self.sources}"


@dataclass
class PackagedConfig(FolderConfig):
    """A published benchmark of class folders, in any of its packagings.

    Example:
        ```python
        @dataclass
        class MyConfig(PackagedConfig):
            packagings = (Packaging("the download", photos=("photos",), sketches=("sketches",)),)
            containers = ("MyBenchmark",)
            layout = "  photos/<class>/*.jpg, sketches/<class>/*.png"
            sources = "  https://example.org/my-benchmark"
        ```
    """

    packagings: ClassVar[tuple[Packaging, ...]]
    # Names of folders that may contain the packaging.
    containers: ClassVar[tuple[str, ...]]
    # {split name: file name} of list files.
    list_names: ClassVar[Mapping[str, str]] = {}
    # {folder name: class} for folders whose names differ from the class in more than separators.
    folder_aliases: ClassVar[Mapping[str, str]] = {}
    uses_extra_photos: ClassVar[bool] = True

    @staticmethod
    def instance_of(class_name: str, stem: str, photo_stems: set[str]) -> str:
        """The instance that an image shows. By default nothing is paired: every image is its own instance."""
        return f"{class_name}/{stem}"

    def split(self) -> BenchmarkSplit:
        """The user's classes, or the protocol's, with the packagings' folder names as aliases."""
        split = read_split(self.published() if self.class_split is None else self.class_split)
        aliases = {other: name for other, name in self.folder_aliases.items() if split.class_of(name)}
        return replace(split, aliases=aliases | dict(split.aliases))

    def survey(self) -> Survey:
        """List the files of the packaging. If it has list files, only the files they name."""
        found = self.find_packaging(self.packagings, self.containers, extra_photos=self.uses_extra_photos)
        split = self.split()
        lists = {} if self.class_split is not None else find_file_lists(found.bases, self.list_names, split)
        files, skipped, ignored = {}, [], []
        for domain, roots in (("photo", found.photos), ("sketch", found.sketches)):
            listing = list_class_folders(roots)
            files[domain], others = files_by_class(listing, split)
            skipped += listing.skipped
            ignored += others
            for part, names in (("train", split.seen), ("test", split.unseen)):
                list_file = lists.get(f"{part}_{domain}")
                if list_file is not None:
                    listed = select_listed(listing, list_file)
                    skipped += listed.skipped
                    listed_files, _ = files_by_class(listed, split)
                    files[domain] |= {name: listed_files[name] for name in names}
        folders = (*found.photos, *found.sketches)
        return Survey(found.name, folders, split, files, tuple(skipped), tuple(dict.fromkeys(ignored)))

    def find(self) -> BenchmarkContents:
        """The files of seen classes as training data, and of unseen classes as test data."""
        return zero_shot_contents(self.survey(), self.instance_of)


@dataclass
class StrokeOptions(FolderConfig):
    """Options for drawings that are stored as strokes. Name this class first among the bases of a configuration.

    Attributes:
        drawings_per_class: Use the first so many drawings of each class; None for all.
        sketch_size: Side of the images in pixels.
        stroke_width: Width of the lines in pixels.
    """

    drawings_per_class: int | None = None
    sketch_size: int = 256
    stroke_width: float = 3.0

    def find(self) -> BenchmarkContents:
        """Find the training and test files, and check the stroke files.

        Raises:
            ValueError: Stroke files have no drawing; the message names them.
        """
        contents = super().find()
        empty = [path for path in _stroke_files(contents) if next(read_drawings(path, 1), None) is None]
        if empty:
            raise ValueError(f"no drawing that was recognised in: {', '.join(empty)}")
        return contents

    def examples_of(self, item: Item) -> Iterator[tuple[str | dict, str]]:
        """The path of an image, or every drawing of a stroke file as an encoded image."""
        if not item.file.holds_strokes:
            yield item.file.path, item.instance_id
            return
        for drawing in read_drawings(item.file.path, self.drawings_per_class):
            image = rasterize(drawing.strokes, self.sketch_size, self.stroke_width)
            name = f"{item.file.path}#{drawing.key_id}"
            yield {"bytes": encode_png(image), "path": name}, f"{item.instance_id}/{drawing.key_id}"

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """A name for the cached table. It depends on the files and on how strokes are drawn."""
        config_id = super().create_config_id(config_kwargs, custom_features)
        options = (self.drawings_per_class, self.sketch_size, self.stroke_width)
        if not _stroke_files(self.list_contents()):
            return config_id
        return f"{config_id}-{hashlib.sha256(repr(options).encode()).hexdigest()[:8]}"


def _stroke_files(contents: BenchmarkContents) -> list[str]:
    files = (item.file for part in contents.items.values() for items in part.values() for item in items)
    return [file.path for file in files if file.holds_strokes]


def _folders_of_archive(unpacked: str) -> list[str]:
    """Where a packaging may start: an archive holds its folders, is one of them, or wraps them in another."""
    folders = [unpacked, os.path.dirname(unpacked)]
    inner = [entry.path for entry in os.scandir(unpacked)]
    return [*folders, *inner] if len(inner) == 1 else folders


def _shorten(entries: Sequence[str]) -> str:
    """The first entries as text, and the number of the others."""
    more = f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else ""
    return "; ".join(entries[:_LISTED]) + more
