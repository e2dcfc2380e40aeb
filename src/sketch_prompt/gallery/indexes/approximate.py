"""Search with faiss in less memory or time: compressed vectors, a graph (HNSW), or inverted lists (IVF)."""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sketch_prompt.atomic import atomic_write
from sketch_prompt.top_k import exact_scores

from .axes import Axes, count_for, find_axes
from .base import OWN_PRECISION, Neighbours, VectorIndex, Vectors, best
from .recall import RECALL_AT, RunningTruth, chunks, queries_to_fit, sample_queries

logger = logging.getLogger(__name__)

_TARGET_RECALL = 0.97  # on the sample, so that it is at least 0.95 on other queries
_TRAINING_VECTORS_PER_LIST = 40
_LEAST_TRAINING_VECTORS = 10_000
_HNSW_NEIGHBOURS = 32
_LIST_EFFORTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_GRAPH_EFFORTS = (16, 32, 64, 128, 256, 512, 1024)
_CODECS = {"float32": "Flat", "float16": "SQfp16", "int8": "SQ8", "binary": "SQ4"}
# The number of candidates for each vector that is wanted. A coarser compression needs more of them.
_PROPOSALS = {"float32": 1, "float16": 1, "int8": 3, "binary": 20}
_CODE_BITS = 4
_RUN = 32  # number of consecutive vectors in the training sample, which are read together
_GAIN = 0.001  # a smaller gain in recall is not worth the next step of effort
_REBUILD_SHARE = 0.3  # of vectors that were added or removed since the index was trained


class FaissIndex(VectorIndex):
    """An index of faiss, whose search effort is chosen for a high recall when it is built.

    The index finds candidates. They are then compared in full precision, with vectors that are read from the gallery.

    Args:
        kind: "exact" compares a query with all vectors, "hnsw" is a graph of vectors, and "ivf" are inverted lists, of
            which the nearest ones are searched. "ivf-sq8" is "ivf" with 8 bits for each number, and "ivf-pq" has one
            bit for each number by product quantisation.
        precision: precision of the numbers in memory: "float32", "float16", "int8", or "binary", which is about one
            bit for each number: four bits for each of D / 8 + 16 numbers (see `axes`).

    Attributes:
        recall: recall@10 against exact search, measured on a sample when the index is built.
    """

    backend = "faiss"

    def __init__(self, kind: str, precision: str = "auto"):
        self.kind = kind
        self.precision = OWN_PRECISION[kind] if precision == "auto" else precision
        self.recall: float | None = None
        self.effort = 1
        self._index: faiss.Index | None = None
        # (d, D), projects queries if the index has fewer numbers than the vectors.
        self._of_queries: np.ndarray | None = None
        # A vector cannot be removed from a graph, so it is excluded from searches.
        self._removed = np.empty(0, np.int64)
        self._trained_size = 0
        self._changed = 0

    def __len__(self) -> int:
        return 0 if self._index is None else self._index.ntotal - len(self._removed)

    def describe(self) -> dict[str, Any]:
        """Kind, precision, effort and measured recall."""
        effort = {"hnsw": {"efSearch": self.effort}, "exact": {}}.get(self.kind, {"nprobe": self.effort})
        return {
            "backend": self.backend,
            "kind": self.kind,
            "precision": self.precision,
            **effort,
            f"recall@{RECALL_AT}": self.recall,
        }

    def build(self, ids: np.ndarray, vectors: Vectors) -> None:
        """Train, fill and tune the index with vectors that are read in chunks. Logs the recall."""
        n = len(ids)
        drawings = None if self.drawings is None else cache(self.drawings)
        self._use(self._new_index(n, vectors, drawings))
        self._ids, self._vectors = ids, vectors
        self._removed, self._trained_size, self._changed = np.empty(0, np.int64), n, 0
        sample = RunningTruth(sample_queries(vectors, drawings))
        for part, chunk in chunks(ids, vectors, "Building the index"):
            self._index.add_with_ids(chunk, part)
            sample.add(part, chunk)
        self._tune(sample)

    def update(self, removed: np.ndarray, added: np.ndarray, ids: np.ndarray, vectors: Vectors) -> None:
        """Remove and add vectors, or rebuild the index if much has changed since it was trained."""
        self._changed += len(removed) + len(added)
        if self._index is None or self._changed > _REBUILD_SHARE * self._trained_size:
            self.build(ids, vectors)
            return
        self._ids, self._vectors = ids, vectors
        if self.kind == "hnsw":
            self._removed = np.union1d(self._removed, removed)
        elif len(removed):
            self._index.remove_ids(np.ascontiguousarray(removed, np.int64))
        if len(added):
            new = np.ascontiguousarray(vectors[np.searchsorted(ids, added)], np.float32)
            self._index.add_with_ids(new, np.ascontiguousarray(added, np.int64))

    def search(self, queries: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Neighbours:
        """The `top_k` best of all (or of the allowed) vectors that the index finds.

        The index returns more candidates than `top_k`, which are then ranked exactly. If only 1 in n ids is allowed,
        the effort is multiplied by n.
        """
        effort = self.effort
        if allowed is not None:
            allowed = np.setdiff1d(allowed, self._removed) if len(self._removed) else allowed
            effort *= -(-len(self) // max(len(allowed), 1))
        queries = np.ascontiguousarray(queries, np.float32)
        proposed = min(top_k * _PROPOSALS[self.precision], self._index.ntotal)
        _, ids = self._propose(queries, proposed, params=self._parameters(effort, proposed, allowed))
        ranked = [self._compare(query, found[found >= 0], top_k) for query, found in zip(queries, ids)]
        return Neighbours(*map(np.stack, zip(*ranked)))

    def rank_by_codes(self, queries: np.ndarray) -> np.ndarray:
        """Ids (Q, N) of all vectors, ranked by the compressed vectors only, to measure what compression loses."""
        return self._propose(np.ascontiguousarray(queries, np.float32), self._index.ntotal)[1]

    def _propose(self, queries: np.ndarray, count: int, **options) -> tuple[np.ndarray, np.ndarray]:
        if self._of_queries is None:
            return self._index.search(queries, count, **options)
        inner = faiss.downcast_index(self._index.index)
        return inner.search(np.ascontiguousarray(queries @ self._of_queries.T), count, **options)

    def _use(self, index: faiss.Index) -> None:
        """Use an index of faiss, and take the projection of queries from it if they have their own."""
        self._index, self._of_queries = index, None
        if self.precision == "binary" and self.kind != "ivf-pq":
            both = faiss.downcast_VectorTransform(index.chain.at(0))
            matrix = faiss.vector_to_array(both.A).reshape(both.d_out, both.d_in)
            self._of_queries = matrix[len(matrix) // 2 :].copy()

    def _compare(self, query: np.ndarray, ids: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
        vectors = self._vectors[self._ids.searchsorted(ids)]
        return best(exact_scores(query, vectors), ids, top_k)

    def save(self, directory: Path, name: str) -> dict[str, Any]:
        """Write the index with faiss."""
        path = directory / f"{name}.faiss"
        with atomic_write(path, durable=True) as temporary:
            faiss.write_index(self._index, os.fspath(temporary))
        return {
            **self.describe(),
            "file": path.name,
            "effort": self.effort,
            "removed": self._removed.tolist(),
            "trained_size": self._trained_size,
            "changed": self._changed,
        }

    def load(self, directory: Path, saved: dict[str, Any], ids: np.ndarray, vectors: Vectors) -> None:
        """Read the index. Rebuild it if it cannot be read, is not safe to read, or has other vectors."""
        self._ids, self._vectors = ids, vectors
        try:
            if saved.get("problem"):
                raise ValueError(saved["problem"])
            precision = saved.get("precision", OWN_PRECISION.get(saved.get("kind")))
            if precision != self.precision:
                raise ValueError(f"it is in {precision} instead of {self.precision}")
            self._use(faiss.read_index(os.fspath(directory / saved["file"])))
            self.effort, self.recall = saved["effort"], saved[f"recall@{RECALL_AT}"]
            self._removed = np.array(saved["removed"], np.int64)
            self._trained_size, self._changed = saved["trained_size"], saved["changed"]
            if len(self) != len(ids):
                raise ValueError(f"it has {len(self)} of {len(ids)} vectors")
        except (RuntimeError, KeyError, ValueError, TypeError, OverflowError, AttributeError) as error:
            logger.warning("The index in %s cannot be used (%s); it is rebuilt.", directory, error)
            self.build(ids, vectors)

    def _new_index(self, n: int, vectors: Vectors, drawings) -> faiss.Index:
        width, lists = vectors[:1].shape[1], max(1, int(2 * n**0.5))
        size = max(
            _LEAST_TRAINING_VECTORS,
            0 if self.kind in ("exact", "hnsw") else lists * _TRAINING_VECTORS_PER_LIST,
        )
        index, sample = self._empty(width, lists), np.empty((0, width), np.float32)
        if not index.is_trained:
            sample = np.ascontiguousarray(vectors[_spread(n, size)], np.float32)
        if self.precision == "binary" and self.kind != "ivf-pq":
            axes = find_axes(sample, queries_to_fit(vectors, drawings), count_for(width))
            index, sample = self._empty(len(axes.of_photos), lists), axes.project_photos(sample)
            _train(index, sample)
            return _with_projection(axes, index)
        if len(sample):
            index.train(sample)
        return index

    def _empty(self, width: int, lists: int) -> faiss.Index:
        metric, codec = faiss.METRIC_INNER_PRODUCT, _CODECS[self.precision]
        if self.kind == "exact":
            return faiss.IndexIDMap2(faiss.index_factory(width, codec, metric))
        if self.kind == "hnsw":
            return faiss.index_factory(width, f"IDMap2,HNSW{_HNSW_NEIGHBOURS},{codec}", metric)
        if self.kind == "ivf-pq":
            index = faiss.index_factory(width, f"IVF{lists},PQ{_subquantizers(width)}", metric)
            index.do_polysemous_training = False  # takes minutes, for a kind of search that is not used
            index.pq.cp.min_points_per_centroid = 1
        elif self.precision == "binary":
            # A product quantiser with one number in each part is a scalar quantiser, whose codes faiss scans with
            # instructions for many codes at once: four times as fast as those of IndexIVFScalarQuantizer.
            nearest = faiss.IndexFlatL2(width)
            index = faiss.IndexIVFPQFastScan(nearest, width, lists, width, _CODE_BITS, metric)
            index.by_residual = False
            index.own_fields = nearest.this.disown() or True
            index.cp.spherical = False  # the vectors differ in length
        else:
            index = faiss.index_factory(width, f"IVF{lists},{codec}", metric)
        index.cp.min_points_per_centroid = 1  # otherwise faiss warns for small galleries
        return index

    def _lists(self, index: faiss.Index) -> faiss.IndexIVF | None:
        return None if self.kind in ("exact", "hnsw") else faiss.extract_index_ivf(index)

    def _parameters(self, effort: int, top_k: int, allowed: np.ndarray | None):
        selector = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(allowed)
        elif len(self._removed):
            selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(self._removed))
        if self.kind == "exact":
            return faiss.SearchParameters(sel=selector)
        if self.kind == "hnsw":
            effort = min(max(effort, top_k), max(self._index.ntotal, 1))
            return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        return faiss.SearchParametersIVF(nprobe=min(effort, self._lists(self._index).nlist), sel=selector)

    def _tune(self, sample: RunningTruth) -> None:
        """Choose the least effort that reaches the target recall, and keep the recall measured."""
        self.recall = 0.0
        efforts = {"hnsw": _GRAPH_EFFORTS, "exact": (1,)}.get(self.kind, _LIST_EFFORTS)
        for effort in efforts:
            before, self.effort = self.effort, effort
            found = sample.recall_of(self)
            if self.recall > 0 and found < self.recall + _GAIN:
                self.effort = before  # the rest was lost in compression, and more effort does not find it
                break
            self.recall = found
            if found >= _TARGET_RECALL:
                break
        logger.info("Built the index %s", self.describe())


def _spread(n: int, size: int) -> np.ndarray:
    """About `size` of n rows in random runs of `_RUN` consecutive rows, which are faster to read."""
    if size >= n:
        return np.arange(n)
    starts = np.random.default_rng(1).choice(n // _RUN, min(-(-size // _RUN), n // _RUN), replace=False)
    return (np.sort(starts)[:, None] * _RUN + np.arange(_RUN)).ravel()


def _train(index: faiss.Index, sample: np.ndarray) -> None:
    """Train an index on vectors (n, d), and quantise each of the d numbers on its own."""
    if not isinstance(index, faiss.IndexIVFPQFastScan):
        index.train(sample)
        return
    index.train_q1(len(sample), faiss.swig_ptr(sample), False, index.metric_type)
    # The whole range: the photos that a drawing finds first are those with extreme values. A smaller range with the
    # least error for normal values lost two points of recall among ten million.
    least, most = sample.min(0), sample.max(0)
    steps = np.maximum(most - least, 1e-6) / 2**_CODE_BITS  # faiss finds nothing if all levels are the same
    levels = least[:, None] + steps[:, None] * (np.arange(2**_CODE_BITS) + 0.5)
    faiss.copy_array_to_vector(levels.astype(np.float32).ravel(), index.pq.centroids)
    index.is_trained = True


def _with_projection(axes: Axes, index: faiss.Index) -> faiss.Index:
    """An index that projects vectors onto axes before it adds them to another index.

    In faiss, an index has the same projection for vectors and queries. So the first step computes both projections,
    and the second keeps the one of the vectors. `_use` takes the one of the queries from the first step.
    """
    count, width = axes.of_photos.shape
    both = faiss.LinearTransform(width, 2 * count, True)
    first = faiss.LinearTransform(2 * count, count, False)
    faiss.copy_array_to_vector(np.concatenate([axes.of_photos, axes.of_queries]).ravel(), both.A)
    bias = np.concatenate([-axes.of_photos @ axes.mean, np.zeros(count, np.float32)])
    faiss.copy_array_to_vector(bias.astype(np.float32), both.b)
    faiss.copy_array_to_vector(np.eye(count, 2 * count, dtype=np.float32).ravel(), first.A)
    both.is_trained = first.is_trained = True
    whole = faiss.IndexPreTransform(first, index)
    whole.prepend_transform(both)
    return whole


def _subquantizers(width: int) -> int:
    """The greatest number of bytes for each vector that divides its width and is at most an eighth of it."""
    return next(size for size in range(max(width // 8, 1), 0, -1) if width % size == 0)
