"""Vectors in a Lance table beside the gallery: searched on the disk, with almost nothing in memory."""

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sketch_prompt.top_k import exact_scores

from .base import Neighbours, VectorIndex, Vectors, best
from .recall import RECALL_AT, RunningTruth, chunks, sample_queries

try:
    import lance
except ImportError as error:
    raise ValueError("the index 'lance' needs pylance: pip install 'sketch-prompt[lance]'") from error

logger = logging.getLogger(__name__)

_PREFIX, _SUFFIX = "vectors-", ".lance"
_WORTH_LISTS = 20_000  # so few are compared directly
_PROPOSALS = 20  # candidates for each hit, found by one bit for each number, are compared in full precision
_EFFORTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TARGET_RECALL = 0.97
_REBUILD_SHARE = 0.3


class LanceIndex(VectorIndex):
    """A Lance table of ids and vectors, with lists of product-quantised vectors if there are many.

    Lance changes nothing in place: each change creates a new version. The gallery names its version. If a process is
    killed, the previous version is kept, and the next change starts from it. A table that is damaged or comes from
    somebody else is not opened. It is rebuilt from the features, in a temporary folder until it is saved.

    Attributes:
        recall: Recall@10 against exact search on a sample, measured when the table was built. None before.
    """

    backend = "lance"

    def __init__(self):
        self.recall: float | None = None
        self.nprobe: int | None = None
        self._table: lance.LanceDataset | None = None
        self._place: Path | None = None
        self._kept: Path | None = None  # name of the table in the saved gallery
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._built_size = self._changed = 0

    def __len__(self) -> int:
        return 0 if self._table is None else self._table.count_rows()

    def describe(self) -> dict[str, Any]:
        """The kind of search, and the measured recall."""
        lists = {"kind": "flat"} if self.nprobe is None else {"kind": "ivf-pq", "nprobe": self.nprobe}
        return {"backend": self.backend, **lists, f"recall@{RECALL_AT}": self.recall}

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Build the table and, if there are many vectors, the lists. Measures the recall."""
        folder = self._folder()
        self._clear(folder)
        self._place, self._ids, self._vectors = folder / f"{_PREFIX}{uuid.uuid4().hex}{_SUFFIX}", ids, vectors
        sample = RunningTruth(sample_queries(vectors, self.drawings))

        def batches() -> Iterator[pa.RecordBatch]:
            for part, chunk in chunks(ids, vectors, "Filling the table"):
                sample.add(part, chunk)
                yield _batch(part, chunk)

        width = vectors[:1].shape[1]
        reader = pa.RecordBatchReader.from_batches(_schema(width), batches())
        self._table = lance.write_dataset(reader, os.fspath(self._place), mode="create")
        self.nprobe, self._built_size, self._changed = None, len(ids), 0
        if len(ids) > _WORTH_LISTS:
            count = max(1, int(len(ids) ** 0.5))
            parts = next(size for size in range(max(width // 8, 1), 0, -1) if width % size == 0)
            self._table.create_index(
                "vector", "IVF_PQ", metric="dot", num_partitions=count, num_sub_vectors=parts
            )
            self._table = lance.dataset(os.fspath(self._place))
            for self.nprobe in _EFFORTS:
                self.recall = sample.recall_of(self)
                if self.recall >= _TARGET_RECALL or self.nprobe >= count:
                    break
        else:
            self.recall = sample.recall_of(self)

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Delete and append rows, or rebuild the table if many have changed since the lists were trained."""
        self._changed += len(removed) + len(added)
        lists = self.nprobe is not None
        if self._table is None or (lists and self._changed > _REBUILD_SHARE * self._built_size):
            if len(ids) or self._table is not None:
                self.build(ids, vectors) if len(ids) else self._forget()
            return
        if not len(ids):
            self._forget()
            return
        self._ids, self._vectors = ids, vectors
        self._keep_one_version()
        if len(removed):
            self._table.delete(_condition(removed))
        if len(added):
            new = np.ascontiguousarray(vectors[np.searchsorted(ids, added)], np.float32)
            self._table.insert(pa.Table.from_batches([_batch(added, new)]))
            if lists:
                self._table.optimize.optimize_indices()
        self._table = lance.dataset(os.fspath(self._place))

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors. Allowed ids are a filter in Lance."""
        found = Neighbours(
            np.full((len(queries), top_k), -np.inf, np.float32), np.full((len(queries), top_k), -1, np.int64)
        )
        if not len(self) or (allowed is not None and not len(allowed)):
            return found
        filters = {} if allowed is None else {"filter": _condition(allowed), "prefilter": True}
        for number, query in enumerate(np.ascontiguousarray(queries, np.float32)):
            nearest = {"column": "vector", "q": query, "k": top_k, "metric": "dot"}
            if self.nprobe is not None:
                nearest |= {"k": top_k * _PROPOSALS, "nprobes": self.nprobe}
            near = self._table.to_table(columns=["id", "_distance"], nearest=nearest, **filters)
            ids = near["id"].to_numpy()
            vectors = self._vectors[self._ids.searchsorted(ids)]
            found.scores[number], found.ids[number] = best(exact_scores(query, vectors), ids, top_k)
        return found

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """The name and version of the table. A table in another folder is rebuilt here."""
        if self._table is None:
            return self.describe()
        if self._place.parent != directory:
            self.directory, temporary, self._temporary = directory, self._temporary, None
            self.build(self._ids, self._vectors)
            if temporary is not None:
                temporary.cleanup()
        self._kept = self._place
        return {
            **self.describe(),
            "table": self._place.name,
            "version": self._table.version,
            "built_size": self._built_size,
            "changed": self._changed,
        }

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Open the saved version. Rebuild the table if it is not valid."""
        self.directory, self._ids, self._vectors = directory, ids, vectors
        name = saved.get("table", "")
        if not len(ids):
            return
        try:
            if not saved["own"]:
                raise ValueError("it is not one that you made here")
            if name != os.path.basename(name) or not name.startswith(_PREFIX):
                raise ValueError(f"{name!r} is not the name of a table")
            self._place = self._kept = directory / name
            self._table = lance.dataset(os.fspath(self._place), version=int(saved["version"]))
            there = np.sort(self._table.to_table(columns=["id"])["id"].to_numpy())
            if not np.array_equal(there, ids):
                raise ValueError(f"it holds {len(there)} vectors, not the {len(ids)} of the gallery")
            self.nprobe, self.recall = saved.get("nprobe"), saved[f"recall@{RECALL_AT}"]
            self._built_size, self._changed = saved["built_size"], saved["changed"]
        except (OSError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            logger.warning("The table in %s cannot be used (%s); it is rebuilt.", directory, reason)
            self._temporary = tempfile.TemporaryDirectory()  # opening a gallery does not change it
            self.build(ids, vectors)

    def _keep_one_version(self) -> None:
        """Make the gallery's version the latest one, and delete older ones."""
        latest = self._table.latest_version
        if self._table.version != latest:
            self._table.restore()
        elif self._kept == self._place:
            self._table.cleanup_old_versions(older_than=timedelta(0))

    def _folder(self) -> Path:
        if self.directory is not None and self._temporary is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            return self.directory
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory()
        return Path(self._temporary.name)

    def _clear(self, folder: Path) -> None:
        """Delete tables that the gallery does not name: of killed processes, and those that were replaced."""
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            if path != self._kept:
                shutil.rmtree(path, ignore_errors=True)

    def _forget(self) -> None:
        self._table, self._place, self.nprobe, self.recall = None, None, None, None


def _schema(width: int) -> pa.Schema:
    return pa.schema({"id": pa.int64(), "vector": pa.list_(pa.float32(), width)})


def _batch(ids: np.ndarray, vectors: np.ndarray) -> pa.RecordBatch:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.RecordBatch.from_arrays([pa.array(ids, pa.int64()), column], schema=_schema(vectors.shape[1]))


def _condition(ids: np.ndarray) -> str:
    """Ids as an SQL condition. Photos of a folder were added one after the other, so a few ranges cover them."""
    ids = np.unique(ids)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ids) > 1]))
    ends = np.concatenate([starts[1:], [len(ids)]]) - 1
    ranges = [f"(id BETWEEN {ids[a]} AND {ids[b]})" for a, b in zip(starts, ends) if b > a]
    single = [str(ids[a]) for a, b in zip(starts, ends) if b == a]
    return " OR ".join([*ranges, f"id IN ({', '.join(single)})"] if single else ranges)
