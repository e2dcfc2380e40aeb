"""Class names: one spelling for what every packaging spells in its own way.

`hot-air_balloon`, `hot air balloon` and `hotairballoon` are one class. `normalize_class_name` gives the
readable name that stands in label features, captions and reports ("hot air balloon"); `class_key` gives what
two names are compared by ("hotairballoon").
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import resources

# One class under names that differ in more than separators: QuickDraw's stroke files against QuickDraw-Ext's
# list, and TU-Berlin against the other benchmarks, so that a class seen in one is never called unseen in the
# other.
_SAME_CLASS = {
    "bearanimal": "bear",
    "crocodilian": "crocodile",
    "motorbike": "motorcycle",
    "mouseanimal": "mouse",
    "theeiffeltower": "eiffeltower",
}


def class_key(name: str) -> str:
    """What all spellings of one class have in common: lower-case letters and digits only, aliases resolved.

    Raises:
        ValueError: if the name holds no letter or digit.
    """
    key = _letters(name)
    return _SAME_CLASS.get(key, key)


def normalize_class_name(name: str) -> str:
    """The readable name of a class, fit for "a photo of a {class}".

    Classes of the published benchmarks get one name whatever their separators; any other name is lower-cased
    and its separators become single spaces. `class_key` is the same before and after.

    Raises:
        ValueError: if the name holds no letter or digit.
    """
    known = _published_names().get(_letters(name))
    if known is not None:
        return known
    return re.sub(r"\s+", " ", "".join(c if _is_letter(c) else " " for c in _fold(name))).strip()


def merge_spellings(names: Iterable[str]) -> dict[str, str]:
    """`{class_key: readable name}` of all names, in order of appearance.

    Of several spellings of a class the one with the most words is kept, being the most readable.
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
        raise ValueError(f"{name!r} is no class name: it holds no letter or digit")
    return letters


def _fold(name: str) -> str:
    # Case folding can undo the normalisation of a character, so it is normalised again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_letter(character: str) -> bool:
    # Combining marks carry the vowels of many scripts.
    return character.isalnum() or unicodedata.category(character)[0] == "M"


@cache
def _published_names() -> dict[str, str]:
    published = json.loads(resources.files("sketch_prompt.data").joinpath("splits.json").read_text("utf-8"))
    names = (name for split in published.values() for name in (*split["seen"], *split["unseen"]))
    return {_letters(name): name for name in names}
