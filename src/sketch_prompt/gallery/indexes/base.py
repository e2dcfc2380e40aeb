"""What every index offers, and what it may ask of the vectors it is built from."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from sketch_prompt.top_k import best_places

OWN_PRECISION = {"exact": "float32", "hnsw": "float16", "ivf": "int8", "ivf-sq8": "int8", "ivf-pq": "binary"}
"""The precision of each kind of index in memory if none is asked for."""


class Neighbours(NamedTuple):
    """The nearest vectors of every query, best first.

    Attributes:
        scores: (Q, k) float32 inner products, descending; -inf if there are fewer than k.
        ids: (Q, k) int64; -1 if there are fewer than k. Equal scores stand in the order of their ids.
    """

    scores: np.ndarray
    ids: np.ndarray


class Vectors(Protocol):
    """Rows of features, in memory (a NumPy array) or read from disk as they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, D) float32."""
        ...


class VectorIndex(ABC):
    """Vectors under stable 64-bit ids, searched by inner product.

    Ids only grow: a vector that is added later has a greater id.
    """

    backend: ClassVar[str]
    directory: Path | None = None
    """The gallery's folder, if it has one."""
    drawings: Callable[[], np.ndarray] | None = None
    """Returns features (Q, D) of drawings, to measure recall with; see `recall.sample_queries`."""

    @abstractmethod
    def __len__(self) -> int:
        """How many vectors can be found."""

    def open(self, directory: Path) -> None:
        """Tell the index the gallery's folder, before anything else."""
        self.directory = directory

    @abstractmethod
    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Hold exactly these vectors.

        Args:
            ids: (N,) int64, ascending.
            vectors: N rows of D.
        """

    @abstractmethod
    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Follow a change of the gallery.

        Args:
            removed, added: (n,) ids that went and came; those that came are greater than all there have been.
            ids: (N,) all that are there now, ascending.
            vectors: their N rows.
        """

    @abstractmethod
    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` vectors with the greatest inner products.

        Args:
            queries: (Q, D) float32.
            top_k: at least 1.
            allowed: search only these ids, ascending; all by default.
        """

    @abstractmethod
    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Write what takes long to compute into `directory`, in a file called `name` and a suffix.

        Returns:
            What `load` needs, as plain values, among them "file" if one was written.
        """

    @abstractmethod
    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Load what `save` returned.

        Args:
            directory: the gallery's folder.
            saved: what `save` returned, and besides it "own", whether this user wrote it, and "problem", why a file of
                it is not to be read, if there is a reason.
            ids: (N,) what the index must hold; anything else is forgotten or added.
            vectors: their N rows.
        """

    def describe(self) -> dict[str, Any]:
        """The kind of index and how good it is, as plain values for people and the manifest."""
        return {"backend": self.backend}


def best(scores: np.ndarray, ids: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `top_k` of one query's candidates (n,) by score, equal ones by id, padded with -inf and -1."""
    by_id = np.argsort(ids)
    places = by_id[best_places(scores[by_id], top_k)]
    missing = top_k - len(places)
    return (
        np.pad(scores[places].astype(np.float32), (0, missing), constant_values=-np.inf),
        np.pad(ids[places].astype(np.int64), (0, missing), constant_values=-1),
    )
