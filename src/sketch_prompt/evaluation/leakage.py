"""The leakage guard: zero-shot means that no class searched for was seen in training."""

from collections.abc import Iterable
from dataclasses import dataclass

from sketch_prompt.data.class_names import class_key


class SeenClassError(ValueError):
    """A zero-shot evaluation on classes that the model was trained on.

    Attributes:
        seen: their names, as the benchmark spells them.
    """

    def __init__(self, seen: tuple[str, ...], total: int):
        self.seen = seen
        super().__init__(
            f"{len(seen)} of the {total} test classes were seen in training: {', '.join(seen)}. "
            "The result would not be zero-shot: evaluate on other classes, or allow seen ones (--allow-seen), "
            "which weakens the claim of the report."
        )


@dataclass(frozen=True)
class Claim:
    """What a report may say of its result.

    Attributes:
        zero_shot: whether no test class was seen in training.
        text: the sentence that says so.
        seen: test classes that were seen, as the benchmark spells them.
    """

    zero_shot: bool
    text: str
    seen: tuple[str, ...] = ()


def check_classes(
    training_classes: Iterable[str], test_classes: Iterable[str], allow_seen: bool = False
) -> Claim:
    """What may be claimed of an evaluation on `test_classes`. Spellings are compared normalised.

    Args:
        training_classes: classes the checkpoint was trained on; none for a model that was not trained.
        test_classes: classes of the queries.
        allow_seen: give the weaker claim instead of an error.

    Raises:
        SeenClassError: a test class was seen, and `allow_seen` is not set; it names all of them.
    """
    trained = {class_key(name) for name in training_classes}
    test_classes = sorted(test_classes)
    seen = tuple(name for name in test_classes if class_key(name) in trained)
    if not seen:
        return Claim(True, f"zero-shot: none of the {len(test_classes)} test classes was seen in training")
    if not allow_seen:
        raise SeenClassError(seen, len(test_classes))
    return Claim(
        False,
        f"not zero-shot: {len(seen)} of {len(test_classes)} test classes were seen in training",
        seen,
    )
