"""Benchmarks as data sets on the Hub: a folder of Parquet files with the four tables, a card, and `benchmark.json`.

data/<split>-<n>-of-<m>.parquet  the rows, with the images
benchmark.json                   the level of the benchmark
README.md                        the card, with the columns for the viewer of the Hub

`datasets.load_dataset(repo_id)` can load it.
"""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
from datasets.table import embed_table_storage
from huggingface_hub import CommitInfo

from sketch_prompt import sources
from sketch_prompt.data.splits import SPLIT_NAMES
from sketch_prompt.hub.data_cards import benchmark_card
from sketch_prompt.hub.upload import push
from sketch_prompt.vocabulary import Level

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sketch_prompt.hub.upload import PushOptions

DESCRIPTION = "benchmark.json"
COLUMNS = ("image", "label", "instance_id", "domain")
_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_SHARD_BYTES = 400_000_000


def hub_benchmark(name: str) -> str | None:
    """The repository of a benchmark on the Hub, `owner/name`. None for other names."""
    return name if _ID.fullmatch(name) else None


def load_from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    streaming: bool = False,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """The four tables of a benchmark on the Hub; see `load_benchmark`.

    Raises:
        FileNotFoundError: It was not found. The message says why and what to do.
        ValueError: It is not a benchmark: a table or a column is missing.
    """
    hub_level(repo_id, revision, token)  # says what is wrong before `datasets` does
    try:
        tables = datasets.load_dataset(
            repo_id, revision=revision, token=token, cache_dir=cache_dir, streaming=streaming
        )
    except (OSError, sources.BROKEN_CONNECTION, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(sources.explain(error, repo_id, revision, "dataset")) from error
    missing = [split for split in SPLIT_NAMES if split not in tables]
    if missing:
        raise ValueError(
            f"{repo_id} is not a benchmark of sketches and photos: it has no split {', '.join(missing)}"
        )
    for split in SPLIT_NAMES:
        columns = tables[split].features or {}
        lacking = [name for name in COLUMNS if name not in columns]
        if lacking:
            raise ValueError(
                f"{repo_id} is not a benchmark: its split {split} has no column {', '.join(lacking)}"
            )
    ordered = {split: tables[split].select_columns(list(COLUMNS)) for split in SPLIT_NAMES}
    return datasets.IterableDatasetDict(ordered) if streaming else datasets.DatasetDict(ordered)


def hub_level(repo_id: str, revision: str | None = None, token: str | bool | None = None) -> Level:
    """The level of a benchmark on the Hub, by default "category".

    Raises:
        FileNotFoundError: The repository was not found. The message says why and what to do.
    """
    folder = sources.download(repo_id, [DESCRIPTION], kind="dataset", revision=revision, token=token)
    try:
        level = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["level"]
    except (OSError, ValueError, KeyError, TypeError):
        return "category"
    return level if level in ("category", "instance") else "category"


def push_benchmark(
    tables: datasets.DatasetDict,
    repo_id: str,
    *,
    level: Level = "category",
    about: str = "Sketches and photos of the same things, for zero-shot sketch-based image retrieval.",
    license: str = "unknown",
    bibtex: str = "",
    **options: "Unpack[PushOptions]",
) -> CommitInfo:
    """Publish a benchmark as a data set with its images and a card.

    Args:
        tables: Tables of `load_benchmark`: your own `sketch-folder`, `mini`, ...
        repo_id: Repository, `owner/name`, or `name` for your own. Created if it does not exist.
        level: Level of the benchmark: "category" or "instance".
        about: A paragraph for the card.
        license: Licence of the images, as on the Hub: "cc-by-4.0", ...
        bibtex: What to cite, for the card.
        options: `private`, `token`, `revision`, `create_pr`, ...; see `hub.upload.PushOptions`.

    Raises:
        ValueError: A table is missing.
        PermissionError, ConnectionError: The Hub refuses it. The message says what to do.
    """
    missing = [split for split in SPLIT_NAMES if split not in tables]
    if missing:
        raise ValueError(f"there is no {', '.join(missing)}: a benchmark has {', '.join(SPLIT_NAMES)}")

    def write(folder: Path, repo_id: str) -> list[str]:
        files = _write(tables, folder)
        card = benchmark_card(
            repo_id, tables, folder, about=about, level=level, license=license, bibtex=bibtex
        )
        (folder / DESCRIPTION).write_text(json.dumps({"level": level}, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")
        return [*files, DESCRIPTION, "README.md"]

    options = {"commit_message": "Upload a sketch-prompt benchmark", **options}
    return push(write, repo_id, repo_type="dataset", replaces=["data/*.parquet"], **options)


def _write(tables: datasets.DatasetDict, folder: Path) -> list[str]:
    """Write the tables with their images as Parquet files. Returns their names."""
    (folder / "data").mkdir()
    files = []
    for split in SPLIT_NAMES:
        table = tables[split]
        count = max(1, -(-_picture_bytes(table) // _SHARD_BYTES))
        for number in range(count):
            name = f"data/{split}-{number:05d}-of-{count:05d}.parquet"
            part = table.shard(count, number, contiguous=True) if len(table) else table
            _embed(part).to_parquet(folder / name)
            files.append(name)
    return files


def _embed(table: datasets.Dataset) -> datasets.Dataset:
    """The table with the bytes of its images instead of their paths on this machine."""
    if not len(table):
        return table
    options = {"keep_in_memory": True, "load_from_cache_file": False, "new_fingerprint": "embedded"}
    arrow = table.with_format("arrow")
    return arrow.map(embed_table_storage, batched=True, **options).with_format(None)


def _picture_bytes(table: datasets.Dataset) -> int:
    """The approximate size of the images in bytes, from a sample."""
    if not len(table):
        return 0
    step = max(1, len(table) // 100)
    sample = table.cast_column("image", datasets.Image(decode=False)).select(range(0, len(table), step))
    sizes = [
        len(image["bytes"]) if image["bytes"] is not None else os.path.getsize(image["path"])
        for image in sample["image"]
    ]
    return int(sum(sizes) / len(sizes) * len(table))
