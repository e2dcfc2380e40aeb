"""The scores of a random ranking, which reports show beside every number."""

from collections.abc import Sequence

import numpy as np

from .core import CONVENTIONS, Convention, check_ks, scores_from_ranks

_RANDOM_RANKINGS = 256


def chance_level(
    query_labels, gallery_labels, convention: Convention = "standard", ks: Sequence[int] = (100, 200)
) -> dict[str, float]:
    """Expected mAP@all, mAP@k and P@k if the gallery is ranked at random.

    P@k and the AP of the standard convention are exact. The envelope of the interpolated convention has no closed
    form, so its AP is the mean over 256 random rankings, with the same seed for the same numbers of photos.

    Args:
        query_labels, gallery_labels, convention, ks: As in `evaluate_retrieval`.

    Returns:
        The same names as `evaluate_retrieval`.

    Raises:
        ValueError: No query has a photo of its label, or the convention is unknown.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"Unknown convention {convention!r}: choose one of {', '.join(CONVENTIONS)}.")
    ks = check_ks(ks)
    gallery_labels = np.asarray(gallery_labels)
    labels, queries = np.unique(np.asarray(query_labels), return_counts=True)
    relevant = np.array([np.count_nonzero(gallery_labels == label) for label in labels])
    if not relevant.any():
        raise ValueError("No query has a photo of its label in the gallery.")
    if convention == "interpolated":
        labels, queries, relevant = (values[relevant > 0] for values in (labels, queries, relevant))

    size = len(gallery_labels)
    expected = {}
    for count in np.unique(relevant):
        if convention == "standard":
            expected[count] = _standard_expectation(count, size, ks)
        else:
            expected[count] = _interpolated_expectation(count, size, ks)
    mean = np.average([expected[count] for count in relevant], axis=0, weights=queries)
    names = ["mAP@all", *(name for k in ks for name in (f"mAP@{k}", f"P@{k}"))]
    return dict(zip(names, mean.tolist()))


def instance_chance_level(
    query_categories, gallery_categories, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Expected Acc@k if the photos of each category are ranked at random: the mean of min(1, k / photos).

    Args:
        query_categories: (N_query,) categories; a constant if the whole gallery is searched.
        gallery_categories: (N_gallery,) categories of the photos, each photo once.
        ks: Cut-offs.
    """
    categories, queries = np.unique(np.asarray(query_categories), return_counts=True)
    photos = np.array(
        [np.count_nonzero(np.asarray(gallery_categories) == category) for category in categories]
    )
    return {f"Acc@{k}": float(np.average(np.minimum(1, k / photos), weights=queries)) for k in check_ks(ks)}


def _standard_expectation(relevant: int, size: int, ks: tuple[int, ...]) -> list[float]:
    """E[AP@all], then E[AP@k] and E[P@k] for each k."""
    if relevant == 0:
        return [0.0] * (1 + 2 * len(ks))
    scores = [_expected_ap(relevant, size)]
    for k in ks:
        depth = min(k, size)
        hits = depth * relevant / size
        # all the photos below `depth` are distinct draws: chance that none of them is relevant
        none = np.prod(np.maximum(size - relevant - np.arange(depth), 0) / (size - np.arange(depth)))
        # E[AP of h hits in a list] is linear in h, except that no hit scores 0
        slope = _expected_ap(2, depth) - _expected_ap(1, depth) if depth > 1 else 0.0
        intercept = _expected_ap(1, depth) - slope
        scores += [intercept * (1 - none) + slope * hits, hits / k]
    return scores


def _expected_ap(relevant: int, size: int) -> float:
    """E[AP] of `relevant` items placed at random in a list of `size`."""
    harmonic = (1 / np.arange(1, size + 1)).sum()
    others = (relevant - 1) / (size - 1) if size > 1 else 0.0
    return (harmonic + others * (size - harmonic)) / size


def _interpolated_expectation(relevant: int, size: int, ks: tuple[int, ...]) -> list[float]:
    """E[AP@all], then E[AP@k] and E[P@k] for each k; the first two kinds estimated."""
    generator = np.random.default_rng([relevant, size])
    scores = np.zeros(1 + 2 * len(ks))
    for _ in range(_RANDOM_RANKINGS):
        ranks = np.sort(generator.choice(size, relevant, replace=False, shuffle=False))
        scores += scores_from_ranks(ranks[None], ks, "interpolated")[:, 0] / _RANDOM_RANKINGS
    scores[2::2] = relevant / size
    return scores.tolist()
