"""What messages say of names and values: what may have been meant, and as much of a value as fits a line."""

import difflib
import reprlib
from collections.abc import Iterable


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
