"""What messages say of names and values: the nearest known name, a new name, and as much of a value as fits a line."""

import difflib
import math
import reprlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, whatever its case; None if none is much alike."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.4)
    return by_lower[matches[0]] if matches else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message: "did you mean 'x'?", or all known names if none is much alike."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near is not None else f"known: {', '.join(known) or 'none'}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def shortened(value: object) -> str:
    """`repr` of a value that may be long or deep, as one short line."""
    return _SHORT.repr(value)


def with_new_names(values: Mapping[str, Any], new_names: Mapping[str, str], place: str) -> dict[str, Any]:
    """`values` by the current names of their keys. A key with an old name is accepted with a warning.

    Args:
        values: by their names, old or current.
        new_names: {old name: current name}.
        place: where the values stand, for the warning.

    Raises:
        ValueError: a value is given under its old and its current name.
    """
    renamed = {}
    for name, value in values.items():
        current = new_names.get(name, name)
        if name in new_names:
            warnings.warn(f"{place}: {name} is now called {current}", FutureWarning, stacklevel=2)
        if current in renamed:
            raise ValueError(f"{place}: {current} is given twice, once by its old name")
        renamed[current] = value
    return renamed


def require_flag(name: str, value: bool) -> bool:
    """`value` as a bool, or ValueError if it is none."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be true or false, got {shortened(value)}")
    return bool(value)


def require_one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, or ValueError with all choices if it is none of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shortened(value)}")
    return value


def require_not_negative(name: str, value: float) -> float:
    """`value` as a float, or ValueError if it is negative or no number."""
    if not is_number(value) or value < 0:
        raise ValueError(f"{name} must not be negative, nor anything but a number, got {shortened(value)}")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
