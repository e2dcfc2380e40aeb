"""What every benchmark's `datasets` builder shares: from the files of a folder to a table of paths."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import datasets

from sketch_prompt.data.listing import ImageFile, Listing, list_class_folders
from sketch_prompt.data.packagings import Packaging, find_packaging
from sketch_prompt.data.splits import BenchmarkSplit

logger = logging.getLogger(__name__)

DOMAINS = ("sketch", "photo")

# (class, file stem, stems of the class's photos) -> the instance the image shows
InstanceRule = Callable[[str, str, set[str]], str]


class Item(NamedTuple):
    """One image of a benchmark: its file and the instance it shows."""

    file: ImageFile
    instance_id: str


@dataclass(frozen=True)
class BenchmarkContents:
    """What a folder holds of a benchmark.

    Attributes:
        packaging: name of the recognised packaging.
        split: the classes, all of which have photos and sketches.
        items: `{domain: {class: its images}}`.
        skipped: `path: reason` of the files left out.
    """

    packaging: str
    split: BenchmarkSplit
    items: Mapping[str, Mapping[str, list[Item]]]
    skipped: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the class split and of every file's path, size and time of change."""
        digest = hashlib.sha256(repr((self.split.seen, self.split.unseen, self.skipped)).encode())
        for domain in DOMAINS:
            for name, items in self.items[domain].items():
                digest.update(f"\n{domain}\t{name}\n".encode())
                digest.update("\n".join(map(repr, items)).encode())
        return digest.hexdigest()[:24]


def group_by_class(
    packaging: str, split: BenchmarkSplit, photos: Listing, sketches: Listing, instance_of: InstanceRule
) -> BenchmarkContents:
    """Group listed files by the classes of a split; folders of other classes are left out.

    Raises:
        ValueError: if a class has no photo or no sketch; it names all such classes.
    """
    files = {"photo": _files_of_classes(photos, split), "sketch": _files_of_classes(sketches, split)}
    _require_every_class(files, split)
    items: dict[str, dict[str, list[Item]]] = {domain: {} for domain in DOMAINS}
    for name in split.class_names:
        photo_stems = {file.stem for file in files["photo"][name]}
        for domain in DOMAINS:
            items[domain][name] = [
                Item(file, instance_of(name, file.stem, photo_stems)) for file in files[domain][name]
            ]
    return BenchmarkContents(packaging, split, items, (*photos.skipped, *sketches.skipped))


def _files_of_classes(listing: Listing, split: BenchmarkSplit) -> dict[str, list[ImageFile]]:
    files: dict[str, list[ImageFile]] = {name: [] for name in split.class_names}
    for folder, images in listing.folders.items():
        name = split.class_of(folder)
        if name is None:
            logger.info(
                "folder %r belongs to no class of the split; its %d images are left out", folder, len(images)
            )
        else:
            files[name] += images
    for images in files.values():
        images.sort(key=lambda image: (os.path.basename(image.path), image.path))
    return files


def _require_every_class(files: Mapping[str, Mapping[str, list]], split: BenchmarkSplit) -> None:
    missing = [name for name in split.class_names if not files["photo"][name] and not files["sketch"][name]]
    no_photo = [name for name in split.class_names if not files["photo"][name] and files["sketch"][name]]
    no_sketch = [name for name in split.class_names if files["photo"][name] and not files["sketch"][name]]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("classes absent", missing),
            ("classes without a photo", no_photo),
            ("classes without a sketch", no_sketch),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"{'; '.join(problems)}. Every class needs at least one photo and one sketch: "
            "complete the data or leave these classes out with a split of your own"
        )


@dataclass
class BenchmarkConfig(datasets.BuilderConfig):
    """Where a benchmark lies. Subclasses say how its files are found and what its classes are.

    Attributes:
        data_dir: folder of the data.
        class_split: seen and unseen classes in place of the benchmark's own; see `read_split`.
    """

    class_split: str | os.PathLike | Mapping | BenchmarkSplit | None = None

    layout: ClassVar[str]
    sources: ClassVar[str]

    @cached_property
    def contents(self) -> BenchmarkContents:
        """The files found under `data_dir`, listed once.

        Raises:
            FileNotFoundError: if the folder is missing or holds no known packaging of the benchmark.
            ValueError: if a class lacks photos or sketches.
        """
        contents = self.find()
        if contents.skipped:
            logger.warning(
                "%s: %d files skipped: %s",
                self.name,
                len(contents.skipped),
                shorten(contents.skipped, limit=10),
            )
        return contents

    def find(self) -> BenchmarkContents:
        """List the files; see `contents`."""
        raise NotImplementedError

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name the cached table after the files it lists, so that a folder that changed is read anew."""
        return f"{self.name}-{self.contents.fingerprint}"

    def required_dir(self, folder: str | os.PathLike | None, option: str = "data_dir") -> str:
        """The absolute path of a folder that must exist.

        Raises:
            FileNotFoundError: if it is None or no folder; the message shows the layout and where to get the
                data.
        """
        if folder is None:
            raise FileNotFoundError(f"{self.name} needs {option}, the folder of the data. {self.help_text()}")
        path = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(path):
            raise FileNotFoundError(f"{option} {path!r} is not a folder. {self.help_text()}")
        return path

    def help_text(self) -> str:
        """The expected layout and where the data can be had."""
        return f"Expected for {self.name}:\n{self.layout}\nWhere to get it (links rot):\n{self.sources}"

    def list_packaging(
        self, packagings: Iterable[Packaging], containers: Iterable[str], *, extra_photos: bool = True
    ) -> tuple[Packaging, Listing, Listing]:
        """Recognise a packaging in `data_dir` and list its photos and sketches.

        Raises:
            FileNotFoundError: if `data_dir` is missing or holds none of the packagings.
        """
        data_dir = self.required_dir(self.data_dir)
        found = find_packaging(data_dir, packagings, containers)
        if found is None:
            raise FileNotFoundError(f"{data_dir!r} holds no known packaging of the data. {self.help_text()}")
        packaging, base = found
        photos = list_class_folders(packaging.photo_roots(base, extra=extra_photos))
        return packaging, photos, list_class_folders(packaging.sketch_roots(base))


class BenchmarkBuilder(datasets.GeneratorBasedBuilder):
    """One benchmark as tables: train_sketch, train_photo (seen classes), test_sketch, test_photo (unseen).

    Columns: image (a path; nothing is copied or opened), label, instance_id, domain. Rows are sorted by
    class, then
    by file name.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = BenchmarkConfig

    def _info(self) -> datasets.DatasetInfo:
        contents = self.config.contents
        description = f"{self.config.name}, {contents.packaging}"
        if contents.skipped:
            description += f"\n{len(contents.skipped)} files skipped:\n" + "\n".join(contents.skipped)
        return datasets.DatasetInfo(description=description, features=features(contents.split))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        split = self.config.contents.split
        return [
            datasets.SplitGenerator(
                name=f"{part}_{domain}", gen_kwargs={"domain": domain, "class_names": names}
            )
            for part, names in (("train", split.seen), ("test", split.unseen))
            for domain in DOMAINS
        ]

    def _generate_examples(self, domain: str, class_names: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
        items = self.config.contents.items[domain]
        rows = ((name, item) for name in class_names for item in items[name])
        for key, (name, item) in enumerate(rows):
            yield (
                key,
                {"image": item.file.path, "label": name, "instance_id": item.instance_id, "domain": domain},
            )

    def _as_dataset(self, split: datasets.Split, in_memory: bool = False) -> datasets.Dataset:
        if self.info.splits[str(split)].num_examples == 0:
            # `datasets` refuses to read a table without rows.
            empty = {column: [] for column in self.info.features}
            return datasets.Dataset.from_dict(empty, self.info.features, self.info, split)
        return super()._as_dataset(split, in_memory)


def features(split: BenchmarkSplit) -> datasets.Features:
    """The columns of every benchmark; labels number the seen classes first, then the unseen ones."""
    return datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(split.class_names)),
        instance_id=datasets.Value("string"),
        domain=datasets.Value("string"),
    )


def shorten(entries: Iterable[str], limit: int) -> str:
    """The first entries, and how many more there are."""
    entries = list(entries)
    more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
    return "; ".join(entries[:limit]) + more
