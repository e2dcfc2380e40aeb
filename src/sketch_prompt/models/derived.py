"""Detect whether tensors have changed since something was computed from them."""

import weakref
from collections.abc import Iterable

from torch import Tensor


class TensorState:
    """The state of some tensors at a moment: their memory, and how often they were written to.

    It no longer `holds` once a tensor was replaced, moved, cast or written to. A copied or unpickled state never
    holds, as it belongs to other tensors. Writes through `tensor.data` and by fused optimisers are not detected, as
    torch does not count them.

    Example:
        ```python
        state = TensorState(layer.parameters())
        layer.weight.data.mul_(2), state.holds(layer.parameters())  # True: torch does not count this write
        torch.nn.init.zeros_(layer.weight), state.holds(layer.parameters())  # False
        ```

    Args:
        tensors: The tensors, always in the same order.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()):
        # A weak reference does not keep the memory, and an address could be reused by another tensor.
        self._seen = [(weakref.ref(t.untyped_storage()), _version_of(t)) for t in tensors]

    def holds(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are the same tensors, and unchanged."""
        now = list(tensors)
        return len(now) == len(self._seen) and all(
            storage() is tensor.untyped_storage() and writes == _version_of(tensor)
            for tensor, (storage, writes) in zip(now, self._seen)
        )

    def __reduce__(self):
        return TensorState, ()


def _version_of(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
