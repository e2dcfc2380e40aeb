"""Load this package's metrics through the `evaluate` library, without a network."""

from pathlib import Path

METRICS = ("sketch_retrieval", "sketch_instance_retrieval")


def load_metric(name: str, **options):
    """`evaluate.load` of a metric module that is installed with this package.

    Args:
        name: "sketch_retrieval" (mAP, precision at k) or "sketch_instance_retrieval" (accuracy at k).
        options: passed to `evaluate.load` (`experiment_id`, `num_process`, `keep_in_memory`, ...).

    Returns:
        An `evaluate.EvaluationModule`. Add queries with `add_batch(predictions=features, references=labels)`;
        the gallery goes into `compute(gallery_features=..., gallery_labels=...)`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}: choose one of {', '.join(METRICS)}.")
    import evaluate

    return evaluate.load(str(Path(__file__).parent / name), **options)
