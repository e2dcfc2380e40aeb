"""The interface of indexes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from sketch_prompt.top_k import best_places

OWN_PRECISION = {"exact": "float32", "hnsw": "float16", "ivf": "int8", "ivf-sq8": "int8", "ivf-pq": "binary"}
"""The default precision of each kind of index in memory."""


class Neighbours(NamedTuple):
    """The nearest vectors of each query, best first.

    Example:
        >>> Neighbours(*best(np.array([0.5, 0.75]), ids=np.array([3, 4]), top_k=1)).ids.tolist()
        [4]

    Attributes:
        scores: (Q, k) float32 inner products, descending. -inf if there are fewer than k.
        ids: (Q, k) int64. -1 if there are fewer than k. Equal scores are in the order of their ids.
    """

    scores: np.ndarray
    ids: np.ndarray


class Vectors(Protocol):
    """Rows of features, in memory (a NumPy array) or read from the disk when they are used.

    Example:
        >>> vectors: Vectors = np.eye(3, dtype=np.float32)
        >>> vectors[:2].shape
        (2, 3)
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, D) float32."""
        ...


class VectorIndex(ABC):
    """Vectors with stable 64-bit ids, searched by inner product.

    Ids only grow: a vector that is added later has a greater id.

    Example:
        >>> from sketch_prompt.gallery.indexes import make_index
        >>> index = make_index("exact")
        >>> index.build(ids=np.array([3, 4]), vectors=np.eye(2, dtype=np.float32))
        >>> index.search(np.array([[0.0, 1.0]], np.float32), top_k=1).ids.tolist()
        [[4]]
    """

    backend: ClassVar[str]
    directory: Path | None = None
    """The gallery's folder, if there is one."""
    drawings: Callable[[], np.ndarray] | None = None
    """Returns features (Q, D) of drawings, to measure the recall; see `recall.sample_queries`."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of vectors."""

    def open(self, directory: Path) -> None:
        """Set the gallery's folder, before anything else."""
        self.directory = directory

    @abstractmethod
    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Replace the content by these vectors.

        Args:
            ids: (N,) int64, ascending.
            vectors: N rows of D.
        """

    @abstractmethod
    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Update the index after a change of the gallery.

        Args:
            removed, added: (n,) removed and added ids. Added ids are greater than all ids so far.
            ids: (N,) all current ids, ascending.
            vectors: Their N rows.
        """

    @abstractmethod
    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` vectors with the greatest inner products.

        Args:
            queries: (Q, D) float32.
            top_k: At least 1.
            allowed: Search only these ids, ascending. The default is all ids.
        """

    @abstractmethod
    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Write everything that takes long to compute into `directory`, to a file with the name `name` and a suffix.

        Returns:
            The input of `load`, as plain values, with "file" if a file was written.
        """

    @abstractmethod
    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Load the result of `save`.

        Args:
            directory: The gallery's folder.
            saved: Return value of `save`, with "own", whether this user wrote it, and "problem", why its file must not
                be read, if there is a reason.
            ids: (N,) the current ids. Others are removed, and missing ones added.
            vectors: Their N rows.
        """

    def describe(self) -> dict[str, Any]:
        """The kind of index and its recall, as plain values for people and the manifest."""
        return {"backend": self.backend}


def best(scores: np.ndarray, ids: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `top_k` candidates (n,) of a query by score, equal ones by id, padded with -inf and -1."""
    by_id = np.argsort(ids)
    places = by_id[best_places(scores[by_id], top_k)]
    missing = top_k - len(places)
    return (
        np.pad(scores[places].astype(np.float32), (0, missing), constant_values=-np.inf),
        np.pad(ids[places].astype(np.int64), (0, missing), constant_values=-1),
    )
