"""Class names in one spelling, whatever the packaging.

`hot-air_balloon`, `hot air balloon` and `hotairballoon` are the same class. `normalize_class_name` gives its readable
name for labels, captions and reports ("hot air balloon"), and `class_key` the key to compare names by
("hotairballoon").
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from sketch_prompt.data import published

# Different names for the same class: in QuickDraw's stroke files and QuickDraw-Ext's list, and in TU-Berlin and the
# other benchmarks. Without them, a class seen in one benchmark could count as unseen in another.
_SAME_CLASS = {
    "bearanimal": "bear",
    "crocodilian": "crocodile",
    "motorbike": "motorcycle",
    "mouseanimal": "mouse",
    "theeiffeltower": "eiffeltower",
}


def class_key(name: str) -> str:
    """A key that is the same for all spellings of a class: lower-case letters and digits, with aliases resolved.

    Raises:
        ValueError: The name has no letter or digit.
    """
    key = _letters(name)
    return _SAME_CLASS.get(key, key)


def normalize_class_name(name: str) -> str:
    """The readable name of a class, as in "a photo of a {class}".

    A class of a published benchmark gets its published name. Other names become lower case, with single spaces for
    separators. The `class_key` does not change.

    Raises:
        ValueError: The name has no letter or digit.
    """
    known = _published_names().get(_letters(name))
    if known is not None:
        return known
    return re.sub(r"\s+", " ", "".join(c if _is_letter(c) else " " for c in _fold(name))).strip()


def merge_spellings(names: Iterable[str]) -> dict[str, str]:
    """`{class_key: readable name}` of all names, in order of appearance.

    If a class has several spellings, the one with the most words is kept.
    """
    merged: dict[str, str] = {}
    for name in names:
        key, readable = class_key(name), normalize_class_name(name)
        if key not in merged or readable.count(" ") > merged[key].count(" "):
            merged[key] = readable
    return merged


def _letters(name: str) -> str:
    letters = "".join(filter(_is_letter, _fold(name)))
    if not letters:
        raise ValueError(f"{name!r} is not a class name: it has no letter or digit")
    return letters


def _fold(name: str) -> str:
    # Case folding can undo the normalisation of a character, so it is normalised again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_letter(character: str) -> bool:
    # Combining marks carry the vowels of many scripts.
    return character.isalnum() or unicodedata.category(character)[0] == "M"


@cache
def _published_names() -> dict[str, str]:
    names = (name for split in published()["splits"].values() for name in (*split["seen"], *split["unseen"]))
    return {_letters(name): name for name in names}
