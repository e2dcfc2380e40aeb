"""Judge how well photos match a query, compared with other queries in the same gallery."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sketch_prompt.atomic import atomic_write
from sketch_prompt.terminal import printable

NEAREST = 20
"""Number of nearest photos that a query is judged by. Of these, the best `_BEST` count."""
_BEST = 5
_NO_SPREAD = 1e-6
# Between 0.01 and 0.1, the value that best separates drawings of seen classes with and without photos in the gallery,
# for sketch-search and small-clip.
_TEMPERATURE = 0.05
_A_HUB = 0.3  # share of the drawings
_KINDS = ("drawings", "words")
_FIELDS = ("others", "names", "measures", "line")


@dataclass(frozen=True)
class Yardstick:
    """How well the photos of a gallery match reference queries, which are drawings of other things, or names.

    Attributes:
        others: (n, D) L2-normalised features of the reference queries.
        names: (C, D) features of names for `same_names`, or None.
        measures: (n, 1 or 2) `beyond_usual` of each reference query, and `same_names` if there are names.
        line: threshold. A query is weak if a greater share of the reference queries has matches that are as good.
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
        """Measure the reference queries, given the nearest photos (K, D) of each."""
        measures = [_measures(*found, others, names) for found in zip(others, photos)]
        return cls(others, names, np.array(measures, np.float32), line)

    def unlike(self, query: np.ndarray, photos: np.ndarray) -> float:
        """The share of the reference queries whose photos match at least as well as those of a query.

        Args:
            query: (D,)
            photos: (K, D), the nearest photos of the query.
        """
        quality = self._quality(np.array(_measures(query, photos, self.others, self.names)))
        return float((self._quality(self.measures) >= quality).mean())

    def _quality(self, measures: np.ndarray) -> np.ndarray:
        """(...) sum of the measures (..., M), each standardised by those of the reference queries."""
        spread = np.maximum(self.measures.std(axis=0), _NO_SPREAD)
        return ((measures - self.measures.mean(axis=0)) / spread).sum(axis=-1)


@dataclass(frozen=True)
class Calibration:
    """The calibration of a gallery.

    Attributes:
        queries: key of the model that embeds the drawings; see `query_key`.
        drawings: judges drawings.
        words: judges words, or None for a model that cannot search by words.
        hub: path of the photo that most of the bundled drawings find among their first ten.
        hub_share: the share of the drawings that find it, from 0 to 1.
    """

    queries: str
    drawings: Yardstick
    words: Yardstick | None
    hub: str
    hub_share: float

    def yardstick(self, sketch: object | None, text: str | None) -> Yardstick | None:
        """The yardstick for a query, or None for a drawing together with words and for words without a yardstick."""
        if sketch is not None and text is not None:
            return None
        return self.words if sketch is None else self.drawings

    @property
    def hub_warning(self) -> str | None:
        """A warning if one photo is found by many different drawings, or None."""
        if self.hub_share < _A_HUB:
            return None
        return (
            f"{printable(self.hub)} is among the first ten photos for {100 * self.hub_share:.0f} of 100 different "
            "drawings. A lens for this CLIP corrects that: sketch-prompt fit --base-model CLIP -o LENS, then search "
            "--model LENS"
        )

    def write(self, path: str | os.PathLike) -> None:
        """Write the calibration into a file."""
        values = {"queries": self.queries, "hub": self.hub, "hub_share": self.hub_share}
        for kind in _KINDS:
            yardstick = getattr(self, kind)
            own = {} if yardstick is None else {name: getattr(yardstick, name) for name in _FIELDS}
            for name, value in own.items():
                if value is not None:  # float16 takes half the space
                    values[f"{kind}_{name}"] = np.float16(value) if name in ("others", "names") else value
        with atomic_write(path, durable=True) as temporary, open(temporary, "wb") as file:
            np.savez(file, **values)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Calibration":
        """Read a calibration from a file.

        Raises:
            OSError, ValueError, KeyError, EOFError, BadZipFile: it is not a calibration.
        """
        with np.load(path, allow_pickle=False) as values:
            yardsticks = []
            for kind in _KINDS:
                own = {name: values[f"{kind}_{name}"] for name in _FIELDS if f"{kind}_{name}" in values}
                yardsticks.append(_read_yardstick(own) if own else None)
            if yardsticks[0] is None:
                raise ValueError("it has no yardstick for drawings")
            return cls(str(values["queries"]), *yardsticks, str(values["hub"]), float(values["hub_share"]))


def beyond_usual(query: np.ndarray, photos: np.ndarray, others: np.ndarray) -> float:
    """How much better photos match a query than they usually match other queries, in standard deviations.

    With the mean m(p) and the standard deviation s(p) of the scores o.p over the other queries o, it is the mean of
    the `_BEST` greatest (q.p - m(p)) / s(p). So a photo with a high score for every query counts for little.

    Args:
        query: (D,), L2-normalised.
        photos: (K, D), the nearest photos of the query.
        others: (n, D), the other queries.
    """
    usual = photos @ others.T
    spread = np.maximum(usual.std(axis=1), _NO_SPREAD)
    beyond = np.sort((photos @ query - usual.mean(axis=1)) / spread)
    return float(beyond[-_BEST:].mean())


def same_names(query: np.ndarray, photos: np.ndarray, names: np.ndarray) -> float:
    """How much a query and photos agree on which of some names they show, as the logarithm of a share from 0 to 1.

    With P(c | x) = softmax(x.c / `_TEMPERATURE`) over the names c, it is the logarithm of the mean of the `_BEST`
    greatest sum_c P(c | q) P(c | p).

    Args:
        query: (D,), L2-normalised.
        photos: (K, D), the nearest photos of the query.
        names: (C, D) features of the names.
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
        raise ValueError("its arrays must be finite numbers")
    if measures.shape != (len(numbers["others"]), 1 + ("names" in numbers)):
        raise ValueError(f"its measures have the shape {measures.shape}")
    return Yardstick(numbers["others"], numbers.get("names"), measures, line)
