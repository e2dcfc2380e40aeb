"""Parts of error messages: the nearest known name, the new name of an option, and a value in one line."""

import difflib
import math
import reprlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to `name`, ignoring case. None if no name is similar."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.4)
    return by_lower[matches[0]] if matches else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message: "did you mean 'x'?", or all known names if no name is similar."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near is not None else f"known: {', '.join(known) or 'none'}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def shortened(value: object) -> str:
    """The `repr` of a long or nested value in one short line."""
    return _SHORT.repr(value)


def with_new_names(values: Mapping[str, Any], new_names: Mapping[str, str], place: str) -> dict[str, Any]:
    """`values` with the current names of their keys. Old names are accepted with a warning.

    Args:
        values: Values by name, old or current.
        new_names: {old name: current name}.
        place: Where the values come from, for the warning.

    Raises:
        ValueError: A value is given by both names.
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
    """`value` as a bool. Raises a ValueError if it is not one."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be true or false, got {shortened(value)}")
    return bool(value)


def require_one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`. Raises a ValueError with all choices if it is not one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shortened(value)}")
    return value


def require_not_negative(name: str, value: float) -> float:
    """`value` as a float. Raises a ValueError if it is negative or not a number."""
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
