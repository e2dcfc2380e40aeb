"""The guard against leakage: zero-shot means that no class of the queries was seen in training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sketch_prompt.data.class_names import class_key

Setting = Literal["zs", "gzs", "instances", "seen"]


class SeenClassError(ValueError):
    """A zero-shot evaluation on classes that the model was trained on.

    Attributes:
        seen: The names of these classes, as the benchmark spells them.
    """

    def __init__(self, seen: tuple[str, ...], total: int):
        self.seen = seen
        super().__init__(
            f"{len(seen)} of the {total} test classes were seen in training: {', '.join(seen)}. "
            "The result would not be zero-shot. Evaluate on other classes; or name the benchmark that the model was "
            "trained on (--train-benchmark), so that its classes leave the test data; or allow seen classes "
            "(--allow-seen), and the report says so."
        )


@dataclass(frozen=True)
class Claim:
    """What a report may claim about its result.

    Attributes:
        setting: "zs" (zero-shot), "gzs" (generalised: the gallery also holds photos of seen classes), "instances" (the
            benchmark tests on other instances of its training classes) or "seen" (not zero-shot).
        text: The claim in words.
        seen: Test classes that were seen in training, as the benchmark spells them.
    """

    setting: Setting
    text: str
    seen: tuple[str, ...] = ()

    @property
    def zero_shot(self) -> bool:
        """Whether no class of the queries was seen in training."""
        return not self.seen


def check_classes(
    training_classes: Iterable[str],
    test_classes: Iterable[str],
    allow_seen: bool = False,
    distractors: Mapping[str, int] | None = None,
    new_instances: bool = False,
) -> Claim:
    """What an evaluation on `test_classes` may claim. Different spellings of a class count as the same class.

    Args:
        training_classes: Classes that the checkpoint was trained on; none for a model that was not trained.
        test_classes: Classes of the queries.
        allow_seen: Give a weaker claim instead of an error.
        distractors: {seen class: number of its photos} for the other photos in the gallery.
        new_instances: The benchmark splits the instances of these classes into training and test data, not the
            classes.

    Raises:
        SeenClassError: A test class was seen, and `allow_seen` is not set. The message names all such classes.
    """
    trained = {class_key(name) for name in training_classes}
    test_classes = sorted(test_classes)
    seen = tuple(name for name in test_classes if class_key(name) in trained)
    if new_instances:
        were = f"{len(seen) or 'none'} of the {len(test_classes)} test classes {'were' if len(seen) > 1 else 'was'}"
        text = (
            f"instances: no photo searched for is in the benchmark's training data; {were} seen in training"
        )
        return Claim("instances", text, seen)
    if seen and not allow_seen:
        raise SeenClassError(seen, len(test_classes))
    if seen:
        text = f"not zero-shot: {len(seen)} of {len(test_classes)} test classes were seen in training"
    else:
        text = f"none of the {len(test_classes)} test classes was seen in training"
    if distractors:
        held = f"gallery holds {sum(distractors.values()):,} photos of {len(distractors)} seen classes"
        text = f"{text}; {held}" if seen else f"generalised zero-shot: {held}; {text}"
    elif not seen:
        text = f"zero-shot: {text}"
    return Claim("seen" if seen else "gzs" if distractors else "zs", text, seen)
