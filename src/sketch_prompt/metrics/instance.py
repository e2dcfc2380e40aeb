"""Instance-level (fine-grained) retrieval: is the photo that a sketch was drawn from among the first k?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .core import as_labels, check_ks
from .pair_scores import FeatureScores, PairScores
from .scores import QueryScores
from .similarity import BLOCK_BYTES


@dataclass(frozen=True)
class InstanceDetails(QueryScores):
    """The scores of each query in instance-level retrieval.

    Example:
        >>> instance_details(np.array([0, 3]), ks=[1, 5]).values["Acc@1"].tolist()
        [1.0, 0.0]

    Attributes:
        values: {"Acc@1": (N,), ...}: 1 if the query's own photo is among the first k, else 0.
        query_labels: (N,) categories; all 0 if none were given.
        ranks: (N,) rank (0 = first) of the query's own photo.
    """

    ranks: np.ndarray


def evaluate_instance_retrieval(
    query_features,
    gallery_features,
    query_instances,
    gallery_instances,
    query_categories=None,
    gallery_categories=None,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Acc@k: the share of queries whose own photo is among the first k photos of its category.

    If an instance is in the gallery several times (within a category), only its first row counts. Photos with equal
    scores are ranked by gallery order.

    Example:
        >>> import numpy as np
        >>> evaluate_instance_retrieval(np.eye(2), np.eye(2), ["a", "b"], ["a", "b"], ks=[1])
        {'Acc@1': 1.0}

    Args:
        query_features: (N_query, D) array or tensor. L2-normalise it for cosine similarity.
        gallery_features: (N_gallery, D).
        query_instances: (N_query,) the photo that each sketch was drawn from, as integers or strings.
        gallery_instances: (N_gallery,) of the same kind.
        query_categories: (N_query,) integers or strings. A query is ranked against the photos of its category only.
        gallery_categories: (N_gallery,); give both or neither.
        ks: Cut-offs of at least 1.

    Returns:
        {"Acc@k" for each k}, between 0 and 1.

    Raises:
        ValueError: Features or labels are malformed, or the photo of a query is not in its gallery (it is named).
    """
    scores = FeatureScores(query_features, gallery_features)
    ranks = instance_ranks(scores, query_instances, gallery_instances, query_categories, gallery_categories)
    return instance_details(ranks, query_categories, ks).mean()


def instance_details(ranks: np.ndarray, query_labels=None, ks: Sequence[int] = (1, 5, 10)) -> InstanceDetails:
    """The scores of each query, from the ranks of their photos.

    Args:
        ranks: From `instance_ranks`.
        query_labels: (N,) classes of the queries, for means of each class.
        ks: Cut-offs of at least 1.
    """
    labels = np.zeros(len(ranks), int) if query_labels is None else query_labels
    values = {f"Acc@{k}": (ranks < k).astype(float) for k in check_ks(ks)}
    return InstanceDetails(values, as_labels(labels, len(ranks), "query_labels"), ranks)


def instance_ranks(
    scores: PairScores, query_instances, gallery_instances, query_categories=None, gallery_categories=None
) -> np.ndarray:
    """Rank (0 = first) of each query's own photo in its gallery, from any scores: (N_query,).

    Args:
        scores: Scores of the queries with the photos, such as `FeatureScores(query_features, gallery_features)`.
        query_instances, gallery_instances, query_categories, gallery_categories: As in
            `evaluate_instance_retrieval`.

    Raises:
        ValueError: As in `evaluate_instance_retrieval`.
    """
    n_queries, n_photos = scores.shape
    query_instances = as_labels(query_instances, n_queries, "query_instances")
    gallery_instances = as_labels(gallery_instances, n_photos, "gallery_instances")
    if (query_categories is None) != (gallery_categories is None):
        raise ValueError("Give query_categories and gallery_categories together, or neither.")
    if query_categories is None:
        query_categories, gallery_categories = np.zeros(n_queries, int), np.zeros(n_photos, int)
    query_categories = as_labels(query_categories, n_queries, "query_categories")
    gallery_categories = as_labels(gallery_categories, n_photos, "gallery_categories")

    ranks = np.empty(n_queries, np.int64)
    for category in np.unique(query_categories):
        rows = np.flatnonzero(query_categories == category)
        photos = np.flatnonzero(gallery_categories == category)
        photos = photos[distinct_photos(gallery_instances[photos])]
        own = _own_photos(query_instances, rows, gallery_instances[photos], category)
        # a quarter of the usual block leaves room for the comparisons
        for indices, similarity in scores.blocks(rows, photos, BLOCK_BYTES // 4):
            place = own[indices][:, None]
            score = np.take_along_axis(similarity, place, axis=1)
            earlier = np.arange(len(photos)) < place
            ranks[indices] = ((similarity > score) | ((similarity == score) & earlier)).sum(axis=1)
    return ranks


def distinct_photos(instances: np.ndarray) -> np.ndarray:
    """Ascending indices of the first photo of every instance."""
    return np.sort(np.unique(instances, return_index=True)[1])


def _own_photos(
    query_instances: np.ndarray, rows: np.ndarray, photo_instances: np.ndarray, category
) -> dict[int, int]:
    """Index of each query's photo among the photos of its category."""
    place = {instance: index for index, instance in enumerate(photo_instances.tolist())}
    own = np.zeros(len(query_instances), np.intp)
    for row in rows:
        instance = query_instances[row].item()
        if instance not in place:
            raise ValueError(
                f"Query {row} was drawn from photo {instance!r}, which is not in the gallery of its category "
                f"({category!s}, {len(place)} photos): add the photo or leave the query out."
            )
        own[row] = place[instance]
    return own
