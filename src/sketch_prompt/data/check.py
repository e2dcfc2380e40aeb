"""Check a folder of data: the benchmarks in it, and what is missing or damaged. See `sketch-prompt data check`."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text
from tqdm.auto import tqdm

from sketch_prompt.checksums import file_checksum
from sketch_prompt.data.archives import ArchiveError
from sketch_prompt.data.benchmarks import benchmark_config, benchmark_names
from sketch_prompt.data.configs import FolderConfig
from sketch_prompt.data.contents import Survey
from sketch_prompt.data.listing import ImageFile
from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.data.splits import SPLIT_NAMES, unknown_name
from sketch_prompt.terminal import printable

_OWN_DATA = "sketch-folder"
# Several benchmarks use folder names such as `images`. A benchmark is recognised if at least this share of its classes
# is there.
_RECOGNISED_SHARE = 0.5
_SHOWN = 20


@dataclass(frozen=True)
class ClassCount:
    """Number of files of a class."""

    name: str
    seen: bool
    photos: int
    sketches: int


@dataclass(frozen=True)
class BenchmarkCheck:
    """The data of one benchmark in a folder.

    Attributes:
        benchmark: Name of the benchmark.
        packaging: Name of the folder layout.
        folders: The folders with images.
        classes: Number of files for each class.
        found: `{split name: number of files}`.
        published: The published `{split name: number of files}`; None for an unknown number.
        incomplete: `{what is missing: classes}`.
        skipped: `path: reason` for each file that is left out.
        ignored: Class folders that do not belong to the benchmark.
        sources: Where to download the data.
        problem: Why the data do not load, although no class is incomplete.
    """

    benchmark: str
    packaging: str
    folders: tuple[str, ...]
    classes: tuple[ClassCount, ...]
    found: Mapping[str, int]
    published: Mapping[str, int | None]
    incomplete: Mapping[str, list[str]]
    skipped: tuple[str, ...]
    ignored: tuple[str, ...]
    sources: str
    problem: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether `load_benchmark` can load the data."""
        return not self.incomplete and not self.problem

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, as far as is known."""
        short = any(
            number is not None and self.found[part] < number for part, number in self.published.items()
        )
        return self.is_usable and not short and not self.skipped


@dataclass(frozen=True)
class DataReport:
    """The result of `check_data`.

    Attributes:
        directory: The folder or archive that was checked.
        benchmarks: The benchmarks that were recognised.
        problems: Errors that kept data from being used.
        images_read: Number of images that were opened.
        unreadable: `path: reason` for each image that cannot be read.
        duplicates: Groups of images with the same content.
        help_text: Expected layouts and download sites, if nothing was recognised.
    """

    directory: str
    benchmarks: tuple[BenchmarkCheck, ...]
    problems: tuple[str, ...]
    images_read: int
    unreadable: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    help_text: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether a benchmark was recognised that loads and has no unreadable image."""
        usable = any(check.is_usable for check in self.benchmarks)
        return usable and not self.unreadable and not self.problems

    def to_json(self) -> str:
        """The whole report as JSON."""
        return json.dumps({"is_usable": self.is_usable} | asdict(self), indent=2)

    def to_table(self) -> Group:
        """The report for people, to be printed by a `rich.console.Console`."""
        names = ", ".join(check.benchmark for check in self.benchmarks)
        parts: list = [f"{self.directory}: {names or 'nothing recognised'}"]
        for check in self.benchmarks:
            parts += ["", f"{check.benchmark}: {check.packaging}", _totals_table(check), *_remarks(check)]
        shown = []
        for check in self.benchmarks:
            # The protocols of a data set have the same classes, so one table is enough.
            counts = {(count.name, count.photos, count.sketches) for count in check.classes}
            if counts not in shown:
                parts += ["", f"Classes of {check.benchmark}", _class_table(check)]
                shown.append(counts)
        parts += [f"Problem: {problem}" for problem in self.problems]
        if self.images_read:
            parts.append(f"{self.images_read:,} images read, {len(self.unreadable):,} of them unreadable")
            parts += _first_entries(self.unreadable)
            parts.append(f"{len(self.duplicates):,} images are there more than once")
            parts += _first_entries(" = ".join(group) for group in self.duplicates)
        if self.help_text:
            parts.append(self.help_text)
        return Group(
            *(
                Text(printable(part, keep="\n\t"), overflow="fold") if isinstance(part, str) else part
                for part in parts
                if part
            )
        )


def check_data(
    directory: str | os.PathLike,
    benchmark: str | None = None,
    *,
    read_images: bool = True,
    num_workers: int = 4,
    progress: bool = True,
) -> DataReport:
    """Find the benchmarks in a folder, and report what is missing, unreadable or duplicated.

    Args:
        directory: A folder with the data or with downloaded archives, or one archive.
        benchmark: Look for this benchmark only; None looks for all.
        read_images: Decode every image.
        num_workers: Number of threads that decode images.
        progress: Show a progress bar on stderr.

    Raises:
        ValueError: The benchmark is unknown. The message suggests the nearest name.
    """
    known = [name for name in benchmark_names() if isinstance(benchmark_config(name), FolderConfig)]
    if benchmark is not None and benchmark not in known:
        raise ValueError(unknown_name("benchmark", benchmark, known))
    directory = os.path.abspath(os.path.expanduser(directory))
    wanted = [name for name in known if name != _OWN_DATA] if benchmark is None else [benchmark]
    surveys, problems = _survey(directory, wanted, benchmark is not None)
    if not surveys and benchmark is None:
        surveys, more = _survey(directory, [_OWN_DATA], True)
        problems += more
    files = {file.path: file for _, survey in surveys for file in _files(survey) if not file.holds_strokes}
    unreadable, duplicates = _read(list(files.values()), num_workers, progress) if read_images else ((), ())
    return DataReport(
        directory=directory,
        benchmarks=tuple(_check(config, survey) for config, survey in surveys),
        problems=tuple(dict.fromkeys(problems)),
        images_read=len(files) if read_images else 0,
        unreadable=unreadable,
        duplicates=duplicates,
        help_text="" if surveys else _help_text(known if benchmark is None else [benchmark]),
    )


def _survey(
    directory: str, names: Iterable[str], wanted: bool
) -> tuple[list[tuple[FolderConfig, Survey]], list[str]]:
    """The benchmarks found, and errors. One with few of its classes counts only if it was asked for (`wanted`)."""
    surveys, problems = [], []
    for name in names:
        config = benchmark_config(name, directory)
        try:
            survey = config.survey()
        except FileNotFoundError:
            continue
        except (ArchiveError, ValueError) as error:
            problems.append(str(error))
            continue
        present = sum(
            bool(survey.files["photo"][n] or survey.files["sketch"][n]) for n in survey.split.class_names
        )
        if wanted or present >= _RECOGNISED_SHARE * len(survey.split.class_names):
            surveys.append((config, survey))
    return surveys, problems


def _check(config: FolderConfig, survey: Survey) -> BenchmarkCheck:
    limit = getattr(config, "drawings_per_class", None)
    seen = set(survey.split.seen)
    published = config.published_counts()
    files, problem = _files_by_split(config, survey)
    return BenchmarkCheck(
        benchmark=config.name,
        packaging=survey.packaging,
        folders=survey.folders,
        classes=tuple(
            ClassCount(
                name=name,
                seen=name in seen,
                photos=_count(survey.files["photo"][name], limit),
                sketches=_count(survey.files["sketch"][name], limit),
            )
            for name in survey.split.class_names
        ),
        found={part: _count(files[part], limit) for part in SPLIT_NAMES},
        published={part: published.get(part) for part in SPLIT_NAMES},
        incomplete=survey.incomplete_classes(),
        skipped=survey.skipped,
        ignored=survey.ignored,
        sources=config.sources,
        problem=problem,
    )


def _files_by_split(config: FolderConfig, survey: Survey) -> tuple[dict[str, list[ImageFile]], str]:
    """The files of each split, and an empty message; if the data do not load, all files there are, and the error."""
    problem = ""
    if not survey.incomplete_classes():
        try:
            items = config.find().items
            return {part: [item.file for its in items[part].values() for item in its] for part in items}, ""
        except ValueError as error:
            problem = str(error)
    classes = {"train": survey.split.seen, "test": survey.split.unseen}
    files = {
        f"{part}_{domain}": [file for name in names for file in survey.files[domain][name]]
        for part, names in classes.items()
        for domain in survey.files
    }
    return files, problem


def _count(files: Iterable[ImageFile], limit: int | None) -> int:
    """Number of images in files. A stroke file has a drawing on each line; at most `limit` of them count."""
    number = 0
    for file in files:
        if file.holds_strokes:
            with open(file.path, "rb") as lines:
                number += sum(1 for _ in islice(lines, limit))
        else:
            number += 1
    return number


def _files(survey: Survey) -> Iterable[ImageFile]:
    return (file for classes in survey.files.values() for files in classes.values() for file in files)


def _read(
    files: list[ImageFile], num_workers: int, progress: bool
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """`path: reason` of the unreadable files, and groups of files with the same content."""
    sizes = Counter(file.size for file in files)

    def examine(file: ImageFile) -> tuple[str | None, str | None]:
        try:
            read_image(file.path)
        except UnreadableImageError as error:
            return str(error), None
        if sizes[file.size] == 1:
            return None, None
        return None, file_checksum(Path(file.path))

    unreadable, by_content = [], defaultdict(list)
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        results = tqdm(pool.map(examine, files), "Reading", len(files), unit="image", disable=not progress)
        for file, (reason, digest) in zip(files, results):
            if reason is not None:
                unreadable.append(reason)
            elif digest is not None:
                by_content[digest].append(file.path)
    return tuple(unreadable), tuple(tuple(group) for group in by_content.values() if len(group) > 1)


def _totals_table(check: BenchmarkCheck) -> Table:
    table = Table("split", "found", "published")
    for part in SPLIT_NAMES:
        number = check.published[part]
        table.add_row(part, f"{check.found[part]:,}", "not known" if number is None else f"{number:,}")
    return table


def _class_table(check: BenchmarkCheck) -> Table:
    table = Table("class", "", "photos", "sketches")
    for count in check.classes:
        name = Text(printable(count.name))  # the name of a folder may look like rich markup
        row = (name, "seen" if count.seen else "unseen", f"{count.photos:,}", f"{count.sketches:,}")
        table.add_row(*row, style=None if count.photos and count.sketches else "bold red")
    return table


def _help_text(benchmarks: Iterable[str]) -> str:
    """Expected layouts and download sites. Protocols of the same data set share an entry."""
    names: dict[tuple[str, str], list[str]] = {}
    for name in benchmarks:
        config = benchmark_config(name, None)
        names.setdefault((config.layout, config.sources), []).append(name)
    return "\n\n".join(
        f"Expected for {', '.join(protocols)}:\n{layout}\nWhere to get it (links rot):\n{sources}"
        for (layout, sources), protocols in names.items()
    )


def _remarks(check: BenchmarkCheck) -> list[str]:
    lines = [f"{what}: {', '.join(names)}" for what, names in check.incomplete.items()]
    lines += [f"It does not load: {check.problem}"] if check.problem else []
    if check.skipped:
        lines += [f"{len(check.skipped):,} files skipped:", *_first_entries(check.skipped)]
    if check.ignored:
        lines.append(
            f"{len(check.ignored):,} folders of other classes: {', '.join(check.ignored[:_SHOWN])} ..."
        )
    if not check.is_complete:
        lines.append(f"Less than was published. Where to get it (links rot):\n{check.sources}")
    return lines


def _first_entries(entries: Iterable[str]) -> list[str]:
    entries = list(entries)
    more = [f"  ... and {len(entries) - _SHOWN:,} more"] if len(entries) > _SHOWN else []
    return [f"  {entry}" for entry in entries[:_SHOWN]] + more
