"""What a fit is worth in a gallery, by which a query is told that nothing here looks like it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sketch_prompt.atomic import atomic_write
from sketch_prompt.terminal import printable

NEAREST = 20
"""Photos by which a query is judged, of which the best `_BEST` count."""
_BEST = 5
_NO_SPREAD = 1e-6
# Of 0.01 to 0.1, what told drawings of seen classes best, there or not, with sketch-search and with small-clip.
_TEMPERATURE = 0.05
_A_HUB = 0.3  # of the drawings
_KINDS = ("drawings", "words")
_FIELDS = ("others", "names", "measures", "line")


@dataclass(frozen=True)
class Yardstick:
    """What drawings of other things, or names, find in a gallery.

    Attributes:
        others: (n, D) their features, L2-normalised.
        names: (C, D) features of names, for `same_names`; None to do without.
        measures: (n, 1 or 2): `beyond_usual` of each of them, and `same_names` if there are names.
        line: a query is weak if a greater share of the others than this fits as well.
    """

    others: np.ndarray
    names: np.ndarray | None
    measures: np.ndarray
    line: float

    nearest = NEAREST

    @classmethod
    def of(
        cls, others: np.ndarray, names: np.ndarray | None, photos: Iterable[np.ndarray], line: float = 1.0
    ) -> "Yardstick":
        """Of the photos (K, D) that are nearest to each of the others."""
        measures = [_measures(*found, others, names) for found in zip(others, photos)]
        return cls(others, names, np.array(measures, np.float32), line)

    def unlike(self, query: np.ndarray, photos: np.ndarray) -> float:
        """The share of the others whose photos fit at least as well as those (K, D) nearest to a query (D,)."""
        fits = self._fit(self.measures)
        return float((fits >= self._fit(np.array(_measures(query, photos, self.others, self.names)))).mean())

    def _fit(self, measures: np.ndarray) -> np.ndarray:
        """(...) of measures (..., M), each in standard deviations of those of the others."""
        spread = np.maximum(self.measures.std(axis=0), _NO_SPREAD)
        return ((measures - self.measures.mean(axis=0)) / spread).sum(axis=-1)


@dataclass(frozen=True)
class Calibration:
    """What a fit is worth in a gallery.

    Attributes:
        queries: how drawings are embedded; see `query_key`.
        drawings: to judge drawings by.
        words: to judge words by; None for a model that cannot search by words.
        hub: the name of the photo that most bundled drawings find among their first ten.
        hub_share: how many of the drawings do, from 0 to 1.
    """

    queries: str
    drawings: Yardstick
    words: Yardstick | None
    hub: str
    hub_share: float

    def yardstick(self, sketch: object | None, text: str | None) -> Yardstick | None:
        """What a query is judged by; None if it is both a drawing and words, or there is nothing to judge words by."""
        if sketch is not None and text is not None:
            return None
        return self.words if sketch is None else self.drawings

    @property
    def hub_warning(self) -> str | None:
        """What to tell somebody whose searches are won by one photo; None if none wins so many."""
        if self.hub_share < _A_HUB:
            return None
        return (
            f"{printable(self.hub)} is among the first ten photos for {100 * self.hub_share:.0f} of 100 different "
            "drawings. A lens for this CLIP corrects that: sketch-prompt fit --base-model CLIP -o LENS, then search "
            "--model LENS"
        )

    def write(self, path: str | os.PathLike) -> None:
        """Write it into a file, which `read` reads."""
        values = {"queries": self.queries, "hub": self.hub, "hub_share": self.hub_share}
        for kind in _KINDS:
            yardstick = getattr(self, kind)
            own = {} if yardstick is None else {name: getattr(yardstick, name) for name in _FIELDS}
            for name, value in own.items():
                if value is not None:  # features in half the bytes
                    values[f"{kind}_{name}"] = np.float16(value) if name in ("others", "names") else value
        with atomic_write(path, durable=True) as temporary, open(temporary, "wb") as file:
            np.savez(file, **values)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Calibration":
        """From what `write` wrote.

        Raises:
            OSError, ValueError, KeyError, EOFError, BadZipFile: it is something else.
        """
        with np.load(path, allow_pickle=False) as values:
            yardsticks = []
            for kind in _KINDS:
                own = {name: values[f"{kind}_{name}"] for name in _FIELDS if f"{kind}_{name}" in values}
                yardsticks.append(_read_yardstick(own) if own else None)
            if yardsticks[0] is None:
                raise ValueError("there is nothing to judge drawings by")
            return cls(str(values["queries"]), *yardsticks, str(values["hub"]), float(values["hub_share"]))


def beyond_usual(query: np.ndarray, photos: np.ndarray, others: np.ndarray) -> float:
    """How much better photos fit a query than they usually fit others, in standard deviations.

    With the mean m(p) and the standard deviation s(p) of the scores o.p over the others o, it is the mean of the
    `_BEST` greatest (q.p - m(p)) / s(p). So a photo that scores high with every query counts for little.

    Args:
        query: (D,), L2-normalised.
        photos: (K, D), those that are nearest to the query.
        others: (n, D), other queries.
    """
    usual = photos @ others.T
    spread = np.maximum(usual.std(axis=1), _NO_SPREAD)
    beyond = np.sort((photos @ query - usual.mean(axis=1)) / spread)
    return float(beyond[-_BEST:].mean())


def same_names(query: np.ndarray, photos: np.ndarray, names: np.ndarray) -> float:
    """How much a query and photos agree on what they show, among names: the logarithm of a share from 0 to 1.

    With P(c | x) = softmax(x.c / `_TEMPERATURE`) over the names c, it is log of the mean of the `_BEST` greatest
    sum_c P(c | q) P(c | p).

    Args:
        query: (D,), L2-normalised.
        photos: (K, D), those that are nearest to the query.
        names: (C, D)
    """
    agreed = np.sort(_shares(photos @ names.T) @ _shares(query @ names.T))
    return float(np.log(max(float(agreed[-_BEST:].mean()), _NO_SPREAD)))


def _shares(scores: np.ndarray) -> np.ndarray:
    powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) / _TEMPERATURE)
    return powers / powers.sum(axis=-1, keepdims=True)


def _measures(
    query: np.ndarray, photos: np.ndarray, others: np.ndarray, names: np.ndarray | None
) -> list[float]:
    beyond = beyond_usual(query, photos, others)
    return [beyond] if names is None else [beyond, same_names(query, photos, names)]


def _read_yardstick(values: dict[str, np.ndarray]) -> Yardstick:
    numbers = {name: value.astype(np.float32) for name, value in values.items()}
    line, measures = float(numbers.pop("line")), numbers["measures"]
    if any(value.ndim != 2 or not value.size or not np.isfinite(value).all() for value in numbers.values()):
        raise ValueError("a calibration consists of numbers")
    if measures.shape != (len(numbers["others"]), 1 + ("names" in numbers)):
        raise ValueError("the measures are not those of the others")
    return Yardstick(numbers["others"], numbers.get("names"), measures, line)
