"""Vectors in Milvus: a file beside the gallery (milvus-lite), or a cluster."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from .base import Neighbours, VectorIndex, Vectors, best
from .recall import RECALL_AT, RunningTruth, chunks, sample_queries

try:
    from pymilvus import DataType, MilvusClient, MilvusException
except ImportError as error:
    raise ValueError(
        "the index 'milvus' needs pymilvus and milvus-lite: pip install 'sketch-prompt[scale]'"
    ) from error

DATABASE = "gallery.db"
# Named like the files of a gallery's state, so the mark is deleted with them when the gallery is saved.
_UNSETTLED = "index-unsettled.milvus"
# pymilvus pings an idle server every ten seconds. milvus-lite then closes the connection, with messages on stderr.
_CHANNEL = {"grpc.keepalive_time_ms": 300_000}
_TYPE = "index_type"
_COLLECTION = "collection"
# Every other parameter is one of building.
_OF_SEARCH = frozenset({"ef", "nprobe", "search_list", "refine_k", "reorder_k", "rbq_query_bits"})
_ROWS_A_CALL = 2048
_MOST_RESULTS = 16_384


class MilvusIndex(VectorIndex):
    """A collection in Milvus, which is changed together with the gallery.

    If a process is killed between a change and saving the gallery, it leaves a mark in the gallery's folder. The next
    process that opens the gallery then repairs the collection.

    Args:
        uri: Address of a cluster, such as `http://localhost:19530`. By default the database is in the gallery's
            folder. The token of a cluster is read from the environment variable MILVUS_TOKEN. The part after a `?` is
            the index that Milvus builds, with its parameters, such as `?index_type=IVF_RABITQ&nlist=4096&nprobe=64`.
            By default Milvus chooses one (AUTOINDEX). `collection=` there names the collection. By default each
            gallery gets a new name on a server, so that galleries which share one do not replace each other.

    Attributes:
        collection: Name of the collection. None on a server until the collection is made.
    """

    backend = "milvus"

    def __init__(self, uri: str | None = None):
        self.uri, collection, self._kind = _split(uri)
        self.collection = collection or (None if self.uri else "photos")
        self._is_ours = self.uri is None
        self.recall: float | None = None
        self._opened: MilvusClient | None = None

    def __len__(self) -> int:
        with self._errors():
            if self._opened is None or not self._exists():
                return 0
            return int(self._client.query(self.collection, output_fields=["count(*)"])[0]["count(*)"])

    def describe(self) -> dict[str, Any]:
        """Address, collection and measured recall."""
        where = self.uri or DATABASE
        return {
            "backend": self.backend,
            "uri": where,
            "collection": self.collection,
            **({} if _TYPE not in self._kind else {_TYPE: self._kind[_TYPE]}),
            f"recall@{RECALL_AT}": self.recall,
        }

    def close(self) -> None:
        """Close the database, which only one process at a time can open."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def open(self, directory: Path) -> None:
        """Take up the collection of a process that was killed before it saved the gallery."""
        super().open(directory)
        marked = self._mark.read_text(encoding="utf-8") if self.uri and self._mark.exists() else ""
        if marked and self.collection in (None, marked):
            self.collection, self._is_ours = marked, True

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Create the collection again.

        Raises:
            ValueError: There is a collection with the name that was asked for, and it is not this gallery's.
        """
        if self.collection is None:
            self.collection, self._is_ours = f"sketch_prompt_{secrets.token_hex(8)}", True
        self._check_owner()
        self._is_ours = True
        with self._change():
            if self._exists():
                self._client.drop_collection(self.collection)
            self._create(vectors[:1].shape[1])
            sample = RunningTruth(sample_queries(vectors, self.drawings))
            for part, chunk in chunks(ids, vectors, "Filling the collection"):
                self._insert(part, chunk)
                sample.add(part, chunk)
            self.recall = sample.recall_of(self)

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Delete and insert vectors. The first time, create the collection."""
        if not len(self):
            if len(ids):
                self.build(ids, vectors)
            return
        with self._change():
            self._delete(removed)
            self._insert(added, vectors[np.searchsorted(ids, added)])

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors, as far as Milvus finds them."""
        scores = np.full((len(queries), top_k), -np.inf, np.float32)
        found = Neighbours(scores, np.full((len(queries), top_k), -1, np.int64))
        if (allowed is not None and not len(allowed)) or not len(self):
            return found
        with self._errors():
            results = self._client.search(
                self.collection,
                data=queries.tolist(),
                limit=min(top_k, _MOST_RESULTS),
                filter="" if allowed is None else f"id in {allowed.tolist()}",
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": _search_parameters(self._kind)},
            )
        for row, hits in enumerate(results):
            values = np.array([hit["distance"] for hit in hits], np.float32)
            found.scores[row], found.ids[row] = best(
                values, np.array([hit["id"] for hit in hits], np.int64), top_k
            )
        return found

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Save only the address, as Milvus has the vectors.

        Raises:
            ValueError: The gallery is saved to another folder, and its database cannot be moved.
        """
        if directory != self.directory:
            raise ValueError(
                f"this gallery's vectors are in {self.directory / DATABASE}: it cannot be saved elsewhere. Build one "
                "there: Gallery.build(model, photos, output, index='milvus')"
            )
        return {**self.describe(), "address": self.uri, "kind": self._kind}

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Connect, and repair the collection if a process was killed while changing it."""
        self.uri, collection, asked = _split(saved["address"])
        self.collection, built = collection or saved["collection"], saved.get("kind") or {}
        self._is_ours = self.uri is None or (saved["own"] and self.collection == saved["collection"])
        wanted = asked or self._kind
        if _TYPE not in wanted:
            wanted = {**_build_parameters(built), **(wanted or _search_parameters(built))}
        self._kind = wanted
        self.recall = saved[f"recall@{RECALL_AT}"]
        if saved["own"]:
            self._check_owner()
        if len(ids) and (self._mark.exists() or not self._is_there()):
            if self.uri is not None and not saved["own"]:
                raise ValueError(
                    f"the collection {self.collection!r} at {self.uri} does not hold the vectors of the gallery in "
                    f"{directory}, which is not one that you indexed here: index its photos into it again"
                )
            self._repair(ids, vectors)
        elif len(ids) and saved["own"] and _build_parameters(self._kind) != _build_parameters(built):
            self.build(ids, vectors)

    def _check_owner(self) -> None:
        if not self._is_ours and self._is_there():
            raise ValueError(
                f"Milvus at {self.uri} has a collection {self.collection!r} already, which is not this gallery's: "
                "choose another name (?collection=NAME), or drop it there first"
            )

    def _is_there(self) -> bool:
        with self._errors():
            return self._exists()

    def _exists(self) -> bool:
        return self.collection is not None and self._client.has_collection(self.collection)

    def _repair(self, ids: np.ndarray, vectors: Vectors) -> None:
        if not self._is_there():
            self.build(ids, vectors)
            return
        there = self._all_ids()
        with self._change():
            self._delete(np.setdiff1d(there, ids))
            lacking = np.flatnonzero(~np.isin(ids, there))
            for start in range(0, len(lacking), _ROWS_A_CALL):
                rows = lacking[start : start + _ROWS_A_CALL]
                self._insert(ids[rows], vectors[rows])

    def _all_ids(self) -> np.ndarray:
        found: list[int] = []
        with self._errors():
            batches = self._client.query_iterator(
                self.collection, batch_size=_ROWS_A_CALL, output_fields=["id"]
            )
            while batch := batches.next():
                found += [row["id"] for row in batch]
            batches.close()
        return np.array(found, np.int64)

    def _create(self, width: int) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("features", DataType.FLOAT_VECTOR, dim=width)
        index = self._client.prepare_index_params()
        index.add_index(
            "features",
            index_type=self._kind.get(_TYPE, "AUTOINDEX"),
            metric_type="IP",
            params={name: value for name, value in _build_parameters(self._kind).items() if name != _TYPE},
        )
        self._client.create_collection(
            self.collection, schema=schema, index_params=index, consistency_level="Strong"
        )

    def _delete(self, ids: np.ndarray) -> None:
        for start in range(0, len(ids), _ROWS_A_CALL):
            self._client.delete(self.collection, ids=ids[start : start + _ROWS_A_CALL].tolist())

    def _insert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        for start in range(0, len(ids), _ROWS_A_CALL):
            part = slice(start, start + _ROWS_A_CALL)
            rows = [{"id": int(id), "features": vector} for id, vector in zip(ids[part], vectors[part])]
            self._client.upsert(self.collection, rows)

    @property
    def _client(self) -> MilvusClient:
        if self._opened is None:
            if self.uri is None and self.directory is None:
                raise ValueError(
                    "a gallery in Milvus needs a folder: Gallery.build(model, photos, output, index='milvus')"
                )
            if self.uri is None:
                self.directory.mkdir(parents=True, exist_ok=True)
            self._opened = MilvusClient(
                self.uri or os.fspath(self.directory / DATABASE),
                token=os.environ.get("MILVUS_TOKEN", ""),
                grpc_options=_CHANNEL,
            )
            if self._exists():
                self._opened.load_collection(self.collection)
        return self._opened

    @property
    def _mark(self) -> Path:
        return self.directory / _UNSETTLED

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._errors():
            if self.directory is not None:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._mark.write_text(self.collection or "", encoding="utf-8")
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except MilvusException as error:
            raise OSError(f"Milvus at {self.uri or self.directory / DATABASE}: {error.message}") from error


def _split(address: str | None) -> tuple[str | None, str | None, dict[str, Any]]:
    """`http://host:19530?collection=photos&index_type=HNSW&M=16` as address, collection and parameters."""
    uri, _, query = (address or "").partition("?")
    texts = dict(parse_qsl(query, strict_parsing=bool(query)))
    collection = texts.pop(_COLLECTION, None)
    kind = {name: _value(text) for name, text in texts.items()}
    if kind and _TYPE not in kind and _build_parameters(kind):
        raise ValueError(
            f"{address!r} has parameters of an index but no {_TYPE}=, such as ?{_TYPE}=HNSW&M=16"
        )
    return uri or None, collection, kind


def _value(text: str) -> int | float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _search_parameters(kind: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kind.items() if name in _OF_SEARCH}


def _build_parameters(kind: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kind.items() if name not in _OF_SEARCH}
