"""Knowing whether something that was computed from tensors is still what it would be now."""

import weakref
from collections.abc import Iterable

from torch import Tensor


class TensorState:
    """The state of some tensors at one moment: which memory they were in, and how often it had been written to.

    It no longer `holds` once one of them has been replaced, moved, cast or written to. A copied or unpickled state
    holds for nothing, since it was of other tensors.

    Writes through `tensor.data` and fused optimisers do not count as writes: torch does not count them either.

    Example:
        ```python
        state = TensorState(layer.parameters())
        layer.weight.data.mul_(2), state.holds(layer.parameters())  # True: behind torch's back
        torch.nn.init.zeros_(layer.weight), state.holds(layer.parameters())  # False
        ```

    Args:
        tensors: always in the same order.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()):
        # By weak reference: an address alone may be given to another tensor, and the memory should not be kept.
        self._seen = [(weakref.ref(t.untyped_storage()), _writes(t)) for t in tensors]

    def holds(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are the same tensors as then, and unchanged."""
        now = list(tensors)
        return len(now) == len(self._seen) and all(
            storage() is tensor.untyped_storage() and writes == _writes(tensor)
            for tensor, (storage, writes) in zip(now, self._seen)
        )

    def __reduce__(self):
        return TensorState, ()


def _writes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
