"""What messages say of names and values: the nearest known name, a new name, and as much of a value as fits a line."""

import difflib
import reprlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any


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
