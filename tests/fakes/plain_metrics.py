"""The two conventions written as plainly as possible, one query and one photo at a time."""

import numpy as np


def ranked_hits(scores, query_label, gallery_labels) -> list[bool]:
    """Whether each photo is relevant, best first, equal scores by gallery order."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return [gallery_labels[index] == query_label for index in order]


def standard(hits: list[bool], k: int | None = None) -> float:
    hits = hits[:k]
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    return sum(precisions) / len(precisions) if precisions else 0.0


def interpolated(hits: list[bool], k: int | None = None) -> float:
    relevant = sum(hits)
    if not relevant:
        return float("nan")
    relevant = min(relevant, k or relevant)
    hits = hits[:k]
    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
    return sum(max(precision[rank:]) for rank, hit in enumerate(hits) if hit) / relevant


def precision_at(hits: list[bool], k: int, convention: str) -> float:
    if convention == "standard":
        return sum(hits[:k]) / k
    depth = min(k, sum(hits))
    return sum(hits[:depth]) / depth if depth else float("nan")


def evaluate(query, gallery, query_labels, gallery_labels, convention, ks) -> dict[str, float]:
    rankings = [
        ranked_hits([float(q @ g) for g in gallery], label, gallery_labels)
        for q, label in zip(query, query_labels)
    ]
    average_precision = standard if convention == "standard" else interpolated
    scores = {"mAP@all": np.nanmean([average_precision(hits) for hits in rankings])}
    for k in ks:
        scores[f"mAP@{k}"] = np.nanmean([average_precision(hits, k) for hits in rankings])
        scores[f"P@{k}"] = np.nanmean([precision_at(hits, k, convention) for hits in rankings])
    return scores
