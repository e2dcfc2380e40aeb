"""Category-level retrieval: mAP@all, mAP@k and P@k in the two conventions of the literature.

Both are computed from the ranks of the relevant photos alone. Queries are read in blocks; every row of a
block is sorted and the relevant scores are looked up in it: their ranks, without ordering the photos.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import get_args

import numpy as np
from tqdm.auto import tqdm

from sketch_prompt.machine import available_cores
from sketch_prompt.vocabulary import Convention

from .pair_scores import FeatureScores, PairScores
from .scores import QueryScores
from .similarity import BLOCK_BYTES

CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
RECALL_LEVELS = np.linspace(0, 1, 101)

_ROWS_AT_ONCE = 16
_PAIRS_WORTH_A_BAR = 500_000_000


@dataclass(frozen=True)
class RetrievalDetails(QueryScores):
    """The scores of each query in category-level retrieval.

    Example:
        >>> scores = FeatureScores([[1.0, 0.0], [0.8, 0.2]], [[1.0, 0.0], [0.0, 1.0]])
        >>> details = retrieval_details(scores, ["cat", "dog"], ["cat", "dog"], ks=[1])
        >>> details.values["AP@all"].tolist()
        [1.0, 0.5]

    Attributes:
        values: {"AP@all": (N,), "AP@100": (N,), "P@100": (N,), ...}. A query without a relevant photo is 0 in
            the standard convention and NaN in the interpolated one.
        query_labels: (N,), as given.
        convention: "standard" or "interpolated".
        relevant: (N,) number of photos that share the query's label.
        precision: (101,) interpolated precision at `RECALL_LEVELS`, the mean over the queries that count: the best
            precision at this recall or a higher one, in either convention.
    """

    convention: Convention
    relevant: np.ndarray
    precision: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """(N,) whether the query has a relevant photo."""
        return self.relevant > 0


def evaluate_retrieval(
    query_features,
    gallery_features,
    query_labels,
    gallery_labels,
    convention: Convention = "standard",
    ks: Sequence[int] = (100, 200),
    *,
    progress: bool | None = None,
    num_threads: int | None = None,
) -> dict[str, float]:
    """Mean average precision and precision at k of ranking the gallery for every query by inner product.

    - `standard` (SEM-PCYC, scikit-learn): AP is not interpolated. AP@k is the AP of the first k photos, with recall
      normalised by the relevant photos among them (0 if there is none). P@k = hits / k. A query without a relevant
      photo counts as 0.
    - `interpolated` (ZSE-SBIR, SAKE): precision is replaced by its envelope, the best precision at this rank or later.
      AP@k divides by min(k, relevant). P@k is the share of hits among the first min(k, relevant) photos. A query
      without a relevant photo is left out.

    Photos with equal scores are ranked by gallery order. The similarity matrix is never held in memory: besides the
    features it takes about 100 MB.

    Example:
        >>> import numpy as np
        >>> evaluate_retrieval(np.eye(2), np.eye(2), ["cat", "dog"], ["cat", "dog"], ks=[1])
        {'mAP@all': 1.0, 'mAP@1': 1.0, 'P@1': 1.0}

    Args:
        query_features: (N_query, D) array or tensor. L2-normalise it for cosine similarity.
        gallery_features: (N_gallery, D).
        query_labels: (N_query,) integers or strings.
        gallery_labels: (N_gallery,) of the same kind.
        convention: "standard" or "interpolated".
        ks: Cut-offs of at least 1. They may be larger than the gallery.
        progress: Show a progress bar on stderr; by default only for large jobs.
        num_threads: Number of threads; by default one for each processor that this process may use.

    Returns:
        {"mAP@all", "mAP@k", "P@k" for each k}, between 0 and 1.

    Raises:
        ValueError: Features are malformed or not finite, widths or lengths differ, or no query has a relevant photo.
    """
    return retrieval_details(
        FeatureScores(query_features, gallery_features),
        query_labels,
        gallery_labels,
        convention,
        ks,
        progress=progress,
        num_threads=num_threads,
    ).mean()


def retrieval_details(
    scores: PairScores,
    query_labels,
    gallery_labels,
    convention: Convention = "standard",
    ks: Sequence[int] = (100, 200),
    *,
    progress: bool | None = None,
    num_threads: int | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> RetrievalDetails:
    """What `evaluate_retrieval` averages: the metrics of every query, from any scores.

    Args:
        scores: Scores of the queries with the photos, such as `FeatureScores(query_features, gallery_features)`.
        query_labels, gallery_labels, convention, ks, progress, num_threads: As in `evaluate_retrieval`.
        block_bytes: Memory for one block of scores.

    Raises:
        ValueError: As in `evaluate_retrieval`.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"Unknown convention {convention!r}: choose one of {', '.join(CONVENTIONS)}.")
    ks = check_ks(ks)
    n_queries, n_photos = scores.shape
    query_labels = as_labels(query_labels, n_queries, "query_labels")
    gallery_labels = as_labels(gallery_labels, n_photos, "gallery_labels")
    query_codes, members = _photos_of_each_label(query_labels, gallery_labels)
    relevant = np.array([len(columns) for columns in members])[query_codes]
    _warn_of_queries_without_photo(query_labels, relevant, convention)

    names = ["AP@all", *(name for k in ks for name in (f"AP@{k}", f"P@{k}"))]
    values = np.full((len(names), n_queries), 0.0 if convention == "standard" else np.nan)
    # queries of the same label are scored as one array
    rows = np.flatnonzero(relevant)
    rows = rows[np.argsort(query_codes[rows], kind="stable")]

    precision = np.zeros(len(RECALL_LEVELS))

    def score(piece: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        indices, similarity = piece
        columns = members[query_codes[indices[0]]]
        ranks = np.stack([relevant_ranks(row, columns) for row in similarity])
        values[:, indices] = scores_from_ranks(ranks, ks, convention)
        return precision_at_recall(ranks).sum(axis=0)

    if progress is None:
        progress = len(rows) * n_photos >= _PAIRS_WORTH_A_BAR
    with (
        ThreadPoolExecutor(num_threads or available_cores()) as pool,
        tqdm(total=len(rows), desc="Ranking", unit="query", disable=not progress) as bar,
    ):
        for indices, similarity in scores.blocks(rows, None, block_bytes):
            for part in pool.map(score, _pieces_of_one_label(indices, similarity, query_codes)):
                precision += part
            bar.update(len(indices))
    precision /= n_queries if convention == "standard" else len(rows)
    return RetrievalDetails(dict(zip(names, values)), query_labels, convention, relevant, precision)


def relevant_ranks(similarity: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Ranks (0 = first) of some photos among all photos. Equal scores are ranked by gallery order.

    Args:
        similarity: (N_gallery,) scores of one query.
        columns: (R,) ascending gallery indices of these photos.

    Returns:
        (R,) ascending ranks, which are not in the order of the photos.
    """
    ordered = np.sort(similarity)
    scores = np.sort(similarity[columns])
    # position just after the last equal score: everything beyond it ranks higher
    end = np.searchsorted(ordered, scores, side="right")
    ranks = len(ordered) - end
    tied = ordered[np.maximum(end - 2, 0)] == scores
    tied &= end > 1
    for score in np.unique(scores[tied]):
        equal = np.flatnonzero(similarity == score)
        asked = columns[np.searchsorted(columns, equal).clip(max=len(columns) - 1)] == equal
        ranks[scores == score] += np.flatnonzero(asked)
    return np.sort(ranks)


def as_labels(values, size: int, name: str) -> np.ndarray:
    """Labels as an array of shape (size,).

    Raises:
        ValueError: another shape, or labels that are neither integers nor strings.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    labels = np.asarray(values)
    if labels.shape != (size,):
        raise ValueError(
            f"{name} must be one label for each of {size} features, but its shape is {labels.shape}."
        )
    if labels.dtype.kind not in "iubUS":
        raise ValueError(f"{name} must be integers or strings, not {labels.dtype}.")
    return labels


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Cut-offs as a tuple. Raises a ValueError unless they are different whole numbers of at least 1."""
    ks = tuple(ks)
    if any(k != int(k) or k < 1 for k in ks) or len(set(ks)) < len(ks):
        raise ValueError(f"ks must be different whole numbers of at least 1, not {ks}.")
    return tuple(int(k) for k in ks)


def _photos_of_each_label(query_labels: np.ndarray, gallery_labels: np.ndarray) -> tuple[np.ndarray, list]:
    """Number of each query's label (N_query,), and for each number the gallery indices of that label."""
    if (query_labels.dtype.kind in "US") != (gallery_labels.dtype.kind in "US"):
        raise ValueError(
            f"query_labels are {query_labels.dtype} and gallery_labels {gallery_labels.dtype}: "
            "both must be integers or both strings."
        )
    labels, query_codes = np.unique(query_labels, return_inverse=True)
    order = np.argsort(gallery_labels, kind="stable")
    sorted_labels = gallery_labels[order]
    starts = np.searchsorted(sorted_labels, labels, side="left")
    stops = np.searchsorted(sorted_labels, labels, side="right")
    return query_codes, [order[start:stop] for start, stop in zip(starts, stops)]


def _warn_of_queries_without_photo(query_labels: np.ndarray, relevant: np.ndarray, convention: str) -> None:
    lonely = relevant == 0
    if not lonely.any():
        return
    examples = ", ".join(str(label) for label in np.unique(query_labels[lonely])[:5])
    if lonely.all():
        raise ValueError(f"No query has a photo of its label in the gallery (query labels: {examples}, ...).")
    treatment = "count as 0" if convention == "standard" else "are left out of the means"
    warnings.warn(
        f"{np.count_nonzero(lonely)} of {len(lonely)} queries have no photo of their label in the gallery "
        f"and {treatment} ({convention} convention); labels: {examples}.",
        stacklevel=4,
    )


def _pieces_of_one_label(indices: np.ndarray, similarity: np.ndarray, codes: np.ndarray):
    """Cut a block into pieces of a few consecutive queries that share a label."""
    boundaries = np.flatnonzero(np.diff(codes[indices])) + 1
    for start, stop in zip([0, *boundaries], [*boundaries, len(indices)]):
        for piece in range(start, stop, _ROWS_AT_ONCE):
            end = min(piece + _ROWS_AT_ONCE, stop)
            yield indices[piece:end], similarity[piece:end]


def scores_from_ranks(ranks: np.ndarray, ks: tuple[int, ...], convention: Convention) -> np.ndarray:
    """AP@all, then AP@k and P@k for each k: (1 + 2 * len(ks), B) from ascending ranks (B, R)."""
    relevant = ranks.shape[1]
    precision = np.arange(1, relevant + 1) / (ranks + 1)
    if convention == "standard":
        scores = [precision.mean(axis=1)]
        for k in ks:
            inside = ranks < k
            hits = inside.sum(axis=1)
            scores += [(precision * inside).sum(axis=1) / np.maximum(hits, 1), hits / k]
    else:
        scores = [_envelope(precision).mean(axis=1)]
        for k in ks:
            depth = min(k, relevant)
            scores += [
                _envelope(precision * (ranks < k)).sum(axis=1) / depth,
                (ranks < depth).sum(axis=1) / depth,
            ]
    return np.stack(scores)


def precision_at_recall(ranks: np.ndarray) -> np.ndarray:
    """Interpolated precision at `RECALL_LEVELS`: (B, 101) from ascending ranks (B, R)."""
    relevant = ranks.shape[1]
    # the hit that reaches a level; 1e-9 forgives that 0.07 * 100 is more than 7
    hit = np.maximum(np.ceil(RECALL_LEVELS * relevant - 1e-9).astype(int), 1) - 1
    return _envelope(np.arange(1, relevant + 1) / (ranks + 1))[:, hit]


def _envelope(precision: np.ndarray) -> np.ndarray:
    """Best precision at this or any later hit, along the last axis."""
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
