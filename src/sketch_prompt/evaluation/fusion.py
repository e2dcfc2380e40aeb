"""How much the score of a pair weighs beside the similarity of embeddings, chosen on classes held out of training."""

from collections.abc import Sequence

import datasets

from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

from .evaluate import Evaluation
from .search import search_categories, search_instances
from .task import Task

WEIGHTS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Tried by default. 0 leaves the ranking of the embeddings, so on the held-out data the choice is never worse."""


def choose_rerank_weight(
    model: SketchPromptPreTrainedModel,
    benchmark: datasets.DatasetDict,
    task: Task,
    evaluation: Evaluation,
    metric: str,
    weights: Sequence[float] | None = None,
) -> dict[float, float]:
    """Give a model's configuration the `rerank_weight` at which a metric is highest, the least of equals.

    Pairs are scored once, by the evaluation that is given.

    Args:
        model: One that fuses similarity and pair score.
        benchmark: Classes that the model did not train on and that are not those of the test, as its test splits.
        task: What was evaluated, with the ranking `"rerank"`.
        evaluation: Of the model on this benchmark.
        metric: Name of one of its metrics, such as `"mAP@all"`.
        weights: To choose from; `WEIGHTS` by default.

    Returns:
        {weight: metric}

    Raises:
        ValueError: The evaluation did not re-rank.
    """
    search, weights = evaluation.search, WEIGHTS if weights is None else weights
    if evaluation.report.ranking != "rerank":
        raise ValueError("a weight is chosen on an evaluation with ranking='rerank'")
    found: dict[float, float] = {}
    for weight in weights:
        model.config.rerank_weight = weight
        scores = search.scores.fused(model.fuse_scores)

        def ranker(*tables, scores=scores):
            return scores

        if task.level == "instance":
            again = search_instances(benchmark, search.sketches, search.photos, task.gallery, task.ks, ranker)
        else:
            again = search_categories(
                search.sketches, search.photos, task.convention, task.ks, progress=False, ranker=ranker
            )
        found[weight] = again.details.mean()[metric]
    model.config.rerank_weight = max(weights, key=lambda weight: (found[weight], -weight))
    return found
