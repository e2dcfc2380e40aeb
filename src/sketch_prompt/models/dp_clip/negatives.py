"""The negatives of a sketch in a batch: photos of other instances or, at category level, of other categories.

`whole` is `of_whole_batch` of the model: it gathers the rows of all processes, (B, ...) -> (N B, ...).
"""

from collections.abc import Callable

from torch import Tensor

from ..outputs import TripletBatch

Whole = Callable[[Tensor], Tensor]


def is_of_categories(batch: TripletBatch, whole: Whole) -> bool:
    """Whether the triplets are at category level, with negatives of other categories."""
    if batch.labels is None or batch.negative_labels is None:
        return False
    return bool((whole(batch.labels) != whole(batch.negative_labels)).any())


def identities(batch: TripletBatch, whole: Whole) -> Tensor:
    """What the sketch and photo of each row show, (N B,). Photos with the same identity are not negatives."""
    return whole(batch.labels if is_of_categories(batch, whole) else batch.instance_ids)


def require_negatives(batch: TripletBatch, whole: Whole) -> None:
    """Check that the batch has hard negatives, even if their weight is still 0.

    Raises:
        ValueError: The batch is at category level, but has only one category.
    """
    if is_of_categories(batch, whole) and len(whole(batch.labels).unique()) < 2:
        raise ValueError(
            "hard negatives are photos of other categories here, and this batch has only one category: train with "
            "data.batches=pk, or with hard_weight_step=0"
        )
