"""Embed a large collection of photos (a corpus) into a table of vectors, with one process or many workers.

The corpus is divided into parts. Each part becomes a Parquet file that is complete or absent:

corpus.json            identity of the photos and the model, and the number of parts
part-00000.parquet     path, category, embedding (L2-normalised), error (why there is no embedding)

The name of a file depends only on the part. If a worker dies, another one writes the same file, so no photo is lost or
written twice. A run that was killed continues with the missing parts.
"""

import json
import os
import shutil
import socket
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write, clear_leftovers
from sketch_prompt.checksums import text_checksum
from sketch_prompt.data.listing import IMAGE_EXTENSIONS
from sketch_prompt.data.reading import MAX_BYTES, UnreadableImageError
from sketch_prompt.locking import only_writer

from .encoder import GalleryEncoder, load_any_model
from .fingerprint import AnyModel
from .photo_sources import DatasetSource, Entry, FileSource, PhotoSource, scan

if TYPE_CHECKING:
    import datasets

PLAN = "corpus.json"
PART_ROWS = 2048
LANCE = ".lance"
_SHARDS = ".tar"
_SHARD_ROWS_AT_ONCE = 256


class BytesSource(PhotoSource):
    """Encoded photos in memory.

    Args:
        entries: Names and categories.
        contents: Encoded photos. None for a file that is too large.
    """

    def __init__(self, entries: Sequence[Entry], contents: Sequence[bytes | None]):
        self.entries = list(entries)
        self._contents = list(contents)

    def content(self, number: int) -> bytes:
        """The bytes."""
        content = self._contents[number]
        if content is None:
            raise UnreadableImageError(
                self.entries[number].path, f"more bytes than the limit of {MAX_BYTES:,}"
            )
        return content


class Corpus(ABC):
    """Photos in parts. Any process can read any part."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of parts."""

    @abstractmethod
    def read(self, part: int) -> Iterator[PhotoSource]:
        """The photos of a part."""

    @abstractmethod
    def identity(self) -> str:
        """A key that differs for other photos."""


@dataclass
class FolderCorpus(Corpus):
    """The files under a folder.

    Attributes:
        root: The folder.
        entries: Its files, sorted by name.
        rows: Number of files in a part.
    """

    root: str
    entries: list[Entry]
    rows: int = PART_ROWS

    def __len__(self) -> int:
        return -(-len(self.entries) // self.rows)

    def read(self, part: int) -> Iterator[PhotoSource]:
        """The files of a part."""
        yield FileSource(self.entries[part * self.rows : (part + 1) * self.rows], self.root)

    def identity(self) -> str:
        """A key of names, sizes and times."""
        return text_checksum(json.dumps(list(self.entries)))


@dataclass
class ShardCorpus(Corpus):
    """Tar files in the format of WebDataset. Each is a part. Files that are not images are ignored.

    Attributes:
        shards: Paths of the tar files.
    """

    shards: list[str]

    def __len__(self) -> int:
        return len(self.shards)

    def read(self, part: int) -> Iterator[PhotoSource]:
        """The photos of a shard, some at a time. Names contain that of the shard: `00012.tar/cat/3.jpg`."""
        entries, contents = [], []
        path = Path(self.shards[part])
        try:
            with tarfile.open(path, "r|*") as shard:
                for member in shard:
                    if not member.isfile() or Path(member.name).suffix.lower() not in IMAGE_EXTENSIONS:
                        continue
                    category = Path(member.name).parent.name or None
                    entries.append(Entry(f"{path.name}/{member.name}", category))
                    small = member.size <= MAX_BYTES
                    contents.append(shard.extractfile(member).read() if small else None)
                    if len(entries) == _SHARD_ROWS_AT_ONCE:
                        yield BytesSource(entries, contents)
                        entries, contents = [], []
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ValueError(f"{path} cannot be read as a tar file: {error}") from error
        if entries:
            yield BytesSource(entries, contents)

    def identity(self) -> str:
        """A key of names, sizes and times of the shards."""
        facts = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in self.shards]
        return text_checksum(json.dumps(facts))


@dataclass
class DatasetCorpus(Corpus):
    """The rows of a `datasets.Dataset` with a column `image`.

    Attributes:
        dataset: The data set.
        rows: Number of rows in a part.
    """

    dataset: "datasets.Dataset"
    rows: int = PART_ROWS

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.rows)

    def read(self, part: int) -> Iterator[PhotoSource]:
        """The rows of a part, named as in a gallery: the path of the row's file, or `row 7`."""
        first = part * self.rows
        source = DatasetSource(self.dataset.select(range(first, min(first + self.rows, len(self.dataset)))))
        for row, entry in enumerate(source.entries):
            if entry.path == f"row {row}":
                source.entries[row] = entry._replace(path=f"row {first + row}")
        yield source

    def identity(self) -> str:
        """The fingerprint of the data set."""
        return self.dataset._fingerprint


def open_corpus(photos: "str | os.PathLike | datasets.Dataset", rows: int = PART_ROWS) -> Corpus:
    """The parts of a folder of photos or tar shards, a shard, or a data set.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such folder.
        ValueError: The folder is empty.
    """
    if DatasetSource.takes(photos):
        return DatasetCorpus(photos, rows)
    path = Path(os.path.abspath(photos))
    corpus: Corpus
    if path.is_file() and path.suffix == _SHARDS:
        return ShardCorpus([str(path)])
    if shards := sorted(map(str, path.glob(f"*{_SHARDS}"))):
        return ShardCorpus(shards)
    corpus = FolderCorpus(str(path), scan(path).entries, rows)
    if not len(corpus):
        raise ValueError(f"there are no photos in {path}")
    return corpus


class PartWriter:
    """Embeds parts of a corpus and writes their files. Every worker has one.

    Args:
        corpus: The photos.
        directory: Folder of the files.
        model: A model or its name, as for a gallery.
        options: Options of `GalleryEncoder`, and "base_model" and "device" of a named model.
    """

    def __init__(self, corpus: Corpus, directory: Path, model: "str | AnyModel", options: dict[str, Any]):
        named = {name: options.get(name) for name in ("base_model", "device")}
        others = {name: value for name, value in options.items() if name not in named}
        if isinstance(model, str):
            model = load_any_model(model, **named)[0]
        self.encoder = GalleryEncoder(model, **others)
        self.corpus, self.directory = corpus, directory
        self.schema = _schema(self.encoder.model.config.clip_config.projection_dim)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write the parts `batch["part"]`; the interface of Ray Data."""
        for part in batch["part"].tolist():
            self.write(part)
        return batch

    def write(self, part: int) -> None:
        """Embed a part, unless its file exists."""
        path = part_file(self.directory, part)
        if path.exists():
            return
        tables = [self._embed(source) for source in self.corpus.read(part)]
        schema = self.schema.with_metadata({"worker": f"{os.getpid()}@{socket.gethostname()}"})
        with atomic_write(path) as temporary:
            pq.write_table(pa.concat_tables([schema.empty_table(), *tables]).cast(schema), temporary)

    def _embed(self, source: PhotoSource) -> pa.Table:
        vectors: dict[str, np.ndarray] = {}
        loaded: list[Any] = []
        for batch in self.encoder.embed_photos(source, range(len(source)), set(), progress=False):
            if batch.new:
                vectors |= zip((photo.key for photo in batch.new), batch.encoded)
            loaded += batch.images
        loaded.sort(key=lambda photo: photo.number)
        entries = [source.entries[photo.number] for photo in loaded]
        columns = [
            [entry.path for entry in entries],
            [entry.category for entry in entries],
            [None if photo.unreadable else vectors[photo.key] for photo in loaded],
            [photo.unreadable and photo.unreadable.reason for photo in loaded],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema)]
        return pa.Table.from_arrays(arrays, schema=self.schema)


@dataclass(frozen=True)
class Embedded:
    """Result of `embed_corpus`.

    Attributes:
        output: The folder of Parquet files, or the Lance table.
        photos: Number of rows.
        unreadable: Number of rows without an embedding.
        parts: Number of parts.
        resumed: Number of parts that an earlier run wrote.
    """

    output: str
    photos: int
    unreadable: int
    parts: int
    resumed: int


def embed_corpus(
    model: "str | os.PathLike | AnyModel",
    photos: "str | os.PathLike | datasets.Dataset",
    output: str | os.PathLike,
    *,
    engine: str = "local",
    workers: int = 1,
    gpus: float = 0,
    part_rows: int = PART_ROWS,
    progress: bool = True,
    **options: Any,
) -> Embedded:
    """Embed photos into a table with the columns `path`, `category`, `embedding` and `error`.

    `Gallery.from_embeddings(output, ...)` creates a gallery from it.

    Example:
        ```python
        embed_corpus("sketch-search", "photos", "vectors", engine="ray", workers=8)
        gallery = Gallery.from_embeddings("vectors", model="sketch-search", photos_dir="photos")
        ```

    Args:
        model: A model or its name, as for a gallery. All workers need access to it, and to the photos.
        photos: A folder of photos or of WebDataset tar shards, a shard, or a `datasets.Dataset`.
        output: Folder for the Parquet files, which all workers can write to, or a Lance table (`*.lance`).
        engine: "local" for this process, or "ray" for Ray Data on this machine or the cluster at RAY_ADDRESS, which
            needs sketch-prompt[ray].
        workers: Number of Ray actors.
        gpus: GPUs of each actor.
        part_rows: Number of photos in a part. A shard is always one part.
        progress: Show a progress bar on stderr.
        options: `batch_size`, `num_workers` and `dtype` of the encoder, `base_model` and `device` of a named model.

    Raises:
        FileNotFoundError: The photos or the model do not exist.
        ValueError: `output` contains another corpus or features of another model, or the engine is not installed.
    """
    if engine not in ("local", "ray"):
        raise ValueError(f"the engine is 'local' or 'ray', not {engine!r}")
    corpus, output = open_corpus(photos, part_rows), Path(os.path.abspath(output))
    if isinstance(model, str | os.PathLike):
        model = os.path.abspath(model) if os.path.isdir(model) else os.fspath(model)
    as_lance = output.suffix == LANCE
    directory = output.with_name(f"{output.name}.parts") if as_lance else output
    with only_writer(directory, "is embedding into"):
        if as_lance and output.exists():
            raise ValueError(f"{output} is there already: choose another name, or delete it")
        lacking = _write_plan(directory, corpus, model, options)
        if engine == "ray" and lacking:
            from .corpus_ray import run_on_ray

            # An actor has the cores that Ray gives it.
            options["num_workers"] = options.get("num_workers") or 0
            run_on_ray((corpus, directory, model, options), lacking, workers, gpus, progress)
        elif lacking:
            writer = PartWriter(corpus, directory, model, options)
            for part in tqdm(lacking, desc="Embedding", unit="part", disable=not progress):
                writer.write(part)
        files = [part_file(directory, part) for part in range(len(corpus))]
        if missing := [path.name for path in files if not path.exists()]:
            raise RuntimeError(
                f"{len(missing)} parts were not written, the first is {missing[0]}: run it again"
            )
        errors = [pq.read_table(path, columns=["error"])["error"] for path in files]
        counts = sum(map(len, errors)), sum(len(column) - column.null_count for column in errors)
        if as_lance:
            _write_lance(files, directory / "table", output)
    if as_lance:
        shutil.rmtree(directory)
    return Embedded(str(output), *counts, len(corpus), len(corpus) - len(lacking))


def part_file(directory: Path, part: int) -> Path:
    """Path of the file of a part."""
    return directory / f"part-{part:05d}.parquet"


def _write_plan(directory: Path, corpus: Corpus, model: Any, options: dict[str, Any]) -> list[int]:
    """Write the plan, or compare it with an existing one. Returns the missing parts."""
    how = {name: value for name, value in options.items() if name in ("base_model", "dtype")}
    name = (
        model
        if isinstance(model, str)
        else text_checksum(json.dumps(model.describe_weights(), sort_keys=True))
    )
    plan = {"photos": corpus.identity(), "parts": len(corpus), "model": name, "options": how}
    path = directory / PLAN
    directory.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if changed := [name for name in plan if there.get(name) != plan[name]]:
            raise ValueError(
                f"{directory} holds a corpus of other {', '.join(changed)}: embed into another folder"
            )
    else:
        if any(directory.glob("*.parquet")):
            raise ValueError(f"{directory} holds other Parquet files: embed into another folder")
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    clear_leftovers(directory)
    return [part for part in range(len(corpus)) if not part_file(directory, part).exists()]


def _write_lance(files: list[Path], temporary: Path, output: Path) -> None:
    try:
        import lance
    except ImportError as error:
        raise ValueError("a Lance table is written by pylance: pip install 'sketch-prompt[lance]'") from error
    shutil.rmtree(temporary, ignore_errors=True)
    schema = pq.read_schema(files[0]).remove_metadata()
    batches = (batch for path in files for batch in pq.read_table(path, schema=schema).to_batches())
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), os.fspath(temporary))
    os.replace(temporary, output)


def _schema(width: int) -> pa.Schema:
    vector = pa.list_(pa.float32(), width)
    return pa.schema(
        {"path": pa.string(), "category": pa.string(), "embedding": vector, "error": pa.string()}
    )
