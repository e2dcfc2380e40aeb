"""Which photos of a batch are negatives of a sketch: other instances, or at category level other categories.

`whole` is `of_whole_batch` of the model: it gathers the rows of all processes, (B, ...) -> (N B, ...).
"""

from collections.abc import Callable

from torch import Tensor

from ..outputs import TripletBatch

Whole = Callable[[Tensor], Tensor]


def is_of_categories(batch: TripletBatch, whole: Whole) -> bool:
    """Whether these are triplets of category level: with negatives of other categories."""
    if batch.labels is None or batch.negative_labels is None:
        return False
    return bool((whole(batch.labels) != whole(batch.negative_labels)).any())


def identities(batch: TripletBatch, whole: Whole) -> Tensor:
    """What sketch and photo of every row are of, (N B,): photos of the same are no negatives."""
    return whole(batch.labels if is_of_categories(batch, whole) else batch.instance_ids)


def require_negatives(batch: TripletBatch, whole: Whole) -> None:
    """Check that hard negatives can be sought in such a batch, also where they do not count yet.

    Raises:
        ValueError: it is of category level, and of one category.
    """
    if is_of_categories(batch, whole) and len(whole(batch.labels).unique()) < 2:
        raise ValueError(
            "hard negatives are photos of other categories here, and this batch is of one category: train with "
            "data.batches=pk, or with hard_weight_step=0"
        )
