"""The vectors in a Lance table beside the gallery: searched on the disk, with next to nothing in memory."""

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
_WORTH_LISTS = 20_000  # so few are compared one by one
_PROPOSALS = 20  # times as many as are asked for, found by one bit a number, are compared in full precision
_EFFORTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TARGET_RECALL = 0.97
_REBUILD_SHARE = 0.3


class LanceIndex(VectorIndex):
    """A Lance table of ids and vectors, with lists of product-quantised vectors if there are many.

    Lance changes nothing in place: every change makes a version. The gallery says which version is its own, so a
    process that is killed meanwhile leaves the version of before, to which the next change goes back. A table that is
    damaged or a stranger's is not opened, but made anew from the features, in a temporary folder until it is saved.

    Attributes:
        recall: recall@10 against exact search on a sample, measured when the table was made; None before.
    """

    backend = "lance"

    def __init__(self):
        self.recall: float | None = None
        self.nprobe: int | None = None
        self._table: lance.LanceDataset | None = None
        self._place: Path | None = None
        self._kept: Path | None = None  # the table that the gallery on the disk names
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._built_size = self._changed = 0

    def __len__(self) -> int:
        return 0 if self._table is None else self._table.count_rows()

    def describe(self) -> dict[str, Any]:
        """How the table is searched, and the measured recall."""
        lists = {"kind": "flat"} if self.nprobe is None else {"kind": "ivf-pq", "nprobe": self.nprobe}
        return {"backend": self.backend, **lists, f"recall@{RECALL_AT}": self.recall}

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Make the table and, if it is worth it, the lists; measure the recall."""
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
        """Delete and append, or make the table anew if much has changed since the lists were trained."""
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
        self._settle()
        if len(removed):
            self._table.delete(_condition(removed))
        if len(added):
            new = np.ascontiguousarray(vectors[np.searchsorted(ids, added)], np.float32)
            self._table.insert(pa.Table.from_batches([_batch(added, new)]))
            if lists:
                self._table.optimize.optimize_indices()
        self._table = lance.dataset(os.fspath(self._place))

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors; which are allowed is a filter of Lance's."""
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
        """Which table it is and in which version; a table that lies elsewhere is made anew here."""
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
        """Open the version that was saved; make the table anew if that is not what it should be."""
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
            logger.warning("The table in %s cannot be used (%s); it is made anew.", directory, reason)
            self._temporary = tempfile.TemporaryDirectory()  # who opens a gallery changes nothing in it
            self.build(ids, vectors)

    def _settle(self) -> None:
        """Make the version that the gallery names the latest one; forget those before it."""
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
        """Delete tables that no gallery names: of processes that were killed, and those that were replaced."""
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
    """Ids as a condition in SQL: photos of one folder came one after the other, so that a few ranges name them."""
    ids = np.unique(ids)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ids) > 1]))
    ends = np.concatenate([starts[1:], [len(ids)]]) - 1
    ranges = [f"(id BETWEEN {ids[a]} AND {ids[b]})" for a, b in zip(starts, ends) if b > a]
    single = [str(ids[a]) for a, b in zip(starts, ends) if b == a]
    return " OR ".join([*ranges, f"id IN ({', '.join(single)})"] if single else ranges)
