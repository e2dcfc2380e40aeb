"""Seen and unseen classes of a benchmark: the published lists, and lists of the user.

`published.json` has the class names and the published numbers of files for each protocol.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from sketch_prompt.data import published
from sketch_prompt.data.class_names import class_key, merge_spellings
from sketch_prompt.hints import nearest, shortened
from sketch_prompt.strict_yaml import read_yaml

SPLIT_NAMES = ("train_sketch", "train_photo", "test_sketch", "test_photo")


@dataclass(frozen=True)
class BenchmarkSplit:
    """The seen (training) and unseen (test) classes of a protocol, as sorted, normalised names.

    Example:
        >>> split = BenchmarkSplit(seen=["cat", "Hot-air_balloon"], unseen=["dog"], aliases={"puppy": "dog"})
        >>> split.class_names
        ('cat', 'hot air balloon', 'dog')
        >>> split.class_of("puppy")
        'dog'

    Attributes:
        seen: Training classes.
        unseen: Test classes.
        counts: Published number of files for each of `SPLIT_NAMES`; None or absent if it is unknown.
        aliases: `{other name: class}` for folders with other names than their class, such as
            `{"airplanes": "airplane"}`.

    Raises:
        ValueError: A class is both seen and unseen, there is no class, or an alias is for an unknown class.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    counts: Mapping[str, int | None] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for side in ("seen", "unseen"):
            names = getattr(self, side)
            if isinstance(names, str | Mapping) or not isinstance(names, Iterable):
                raise ValueError(f"the {side} classes must be a list of names, not {shortened(names)}")
            object.__setattr__(self, side, tuple(sorted(merge_spellings(map(str, names)).values())))
        both = sorted(set(map(class_key, self.seen)) & set(map(class_key, self.unseen)))
        if both:
            raise ValueError(f"classes both seen and unseen: {', '.join(both)}; keep each on one side")
        if not self.class_names:
            raise ValueError("a split needs at least one class")
        astray = sorted({name for name in self.aliases.values() if self.class_of(name) is None})
        if astray:
            raise ValueError(
                f"aliases are for {', '.join(map(repr, astray))}, which is not a class of the split"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Seen classes, then unseen classes. The position of a class is its label."""
        return self.seen + self.unseen

    def class_of(self, name: str) -> str | None:
        """The class of a folder with this name; None if it is not a class of the split."""
        return self._classes.get(class_key(name))

    @cached_property
    def _classes(self) -> dict[str, str]:
        classes = {class_key(name): name for name in self.class_names}
        aliases = {class_key(other): classes.get(class_key(name)) for other, name in self.aliases.items()}
        return classes | {key: name for key, name in aliases.items() if name is not None}


@cache
def _published_splits() -> dict[str, BenchmarkSplit]:
    return {protocol: BenchmarkSplit(**content) for protocol, content in published()["splits"].items()}


def published_protocols() -> tuple[str, ...]:
    """Names of the protocols whose class lists are in the package."""
    return tuple(_published_splits())


def published_split(protocol: str) -> BenchmarkSplit:
    """The published classes and counts of a protocol such as `sketchy-21`.

    Raises:
        ValueError: There is no such protocol. The message suggests the nearest one.
    """
    splits = _published_splits()
    if protocol not in splits:
        raise ValueError(unknown_name("protocol", protocol, splits))
    return splits[protocol]


def read_split(source: "str | os.PathLike | Mapping | BenchmarkSplit") -> BenchmarkSplit:
    """A split from the name of a protocol, a YAML or JSON file, a mapping, or a `BenchmarkSplit`.

    A file or a mapping has the lists `seen` and `unseen`, and optionally `aliases`, `{other name: class}`.

    Raises:
        ValueError: The content is not a split. The message names the file and the key.
        FileNotFoundError: The file does not exist.
    """
    if isinstance(source, BenchmarkSplit):
        return source
    if isinstance(source, Mapping):
        return _split_from_mapping(source, "the split")
    if str(source) in _published_splits():
        return published_split(str(source))
    path = os.path.expanduser(source)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"no split {str(source)!r}: neither a YAML file with the lists `seen` and `unseen` "
            f"nor one of {', '.join(_published_splits())}"
        )
    return _split_from_mapping(read_yaml(path), path)


def _split_from_mapping(content: object, where: str) -> BenchmarkSplit:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must hold the lists `seen` and `unseen`, not {type(content).__name__}")
    allowed = ("seen", "unseen", "aliases")
    for key in content:
        if key not in allowed:
            raise ValueError(f"{where}: " + unknown_name("key", str(key), allowed))
    aliases = content.get("aliases") or {}
    if not isinstance(aliases, Mapping):
        raise ValueError(f"{where}: `aliases` must map other names to classes, not be {shortened(aliases)}")
    try:
        return BenchmarkSplit(
            seen=content.get("seen") or (),
            unseen=content.get("unseen") or (),
            aliases={str(other): str(name) for other, name in aliases.items()},
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def random_split(class_names: Iterable[str], unseen_fraction: float = 0.2, seed: int = 0) -> BenchmarkSplit:
    """A random split with about `unseen_fraction` of the classes unseen, the same on every machine.

    If there are at least two classes and the fraction is neither 0 nor 1, each side gets at least one class.

    Raises:
        ValueError: The fraction is outside [0, 1], or there is no class.
    """
    if not 0 <= unseen_fraction <= 1:
        raise ValueError(f"unseen_fraction must be from 0 to 1, not {unseen_fraction}")
    names = sorted(merge_spellings(class_names).values())
    n_unseen = math.floor(unseen_fraction * len(names) + 0.5)
    if 0 < unseen_fraction < 1:
        n_unseen = min(max(n_unseen, 1), max(len(names) - 1, 1))
    unseen = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:n_unseen]}
    return BenchmarkSplit(seen=[name for name in names if name not in unseen], unseen=sorted(unseen))


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The error message for an unknown name. It suggests the nearest known one."""
    known = list(known)
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}Known: {', '.join(known)}"
