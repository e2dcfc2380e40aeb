"""Read the tensors of a pickled checkpoint without running any code in it.

Lightning stores hyper-parameters in its checkpoints, often as objects of the author's classes. torch's safe loading
refuses such a file. Here each class and function that a pickle names is replaced by an object that does nothing,
except for those that build tensors.
"""

import collections
import os
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch


class Inert:
    """Replaces an object of any class. It accepts everything that unpickling does to it, and does nothing."""

    def __new__(cls, *arguments, **keywords):
        """Create an object from any arguments."""
        return object.__new__(cls)

    def __init__(self, *arguments, **keywords):
        pass

    def __call__(self, *arguments, **keywords):
        """Return another such object."""
        return Inert()

    def _nothing(self, *arguments, **keywords) -> None:
        """What unpickling does to lists, sets, mappings and objects with a state."""

    append = extend = add = update = __setitem__ = __setstate__ = _nothing


class _Rebuilder:
    """A function of torch that builds a tensor. A pickle can only call it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *arguments):
        """Build the tensor."""
        return self._function(*arguments)

    def __setstate__(self, state) -> None:
        pass


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
}
_REBUILDERS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The replacement for a global name of a pickle. Nothing is imported."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch._utils" and name in _REBUILDERS:
            return _Rebuilder(getattr(torch._utils, name))
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        return Inert


def _load(file, **options) -> Any:
    return _InertUnpickler(file, **options).load()


_PICKLE = SimpleNamespace(
    __name__=__name__, Unpickler=_InertUnpickler, load=_load, UnpicklingError=pickle.UnpicklingError
)


def load_inert(path) -> Any:
    """Load a file of `torch.save`. Objects of other classes than those of torch and basic Python become `Inert`.

    Raises:
        ValueError: The file is a compiled model, and loading it would run code.
        Exception: Any error of torch for damaged data.
    """
    with open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    # Listed by the reader that torch.load itself uses, which would hand a compiled model to `torch.jit.load`.
    records = torch._C.PyTorchFileReader(os.fspath(path)).get_all_records() if is_archive else []
    if "constants.pkl" in records:
        raise ValueError("it is a compiled (TorchScript) model, not a checkpoint")
    return torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False)
