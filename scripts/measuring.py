"""How the benchmarks measure, and what they say of a measurement."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        what: was measured.
        value: and how much it is, with its unit.
        beside: what it is compared with, measured in the same run, and how much that is.
        limit: the least or most that arithmetic allows, or that is wanted.
        raw: the numbers behind the words, for pages that compute with them.
    """

    what: str
    value: str
    beside: str = ""
    limit: str = ""
    raw: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        compared = f" beside {self.beside}" if self.beside else ""
        limited = f" ({self.limit})" if self.limit else ""
        return f"{self.what}: {self.value}{compared}{limited}"


def alternate(
    contenders: dict[str, Callable[[], object]], repeats: int, threads: int | None = None
) -> dict[str, float]:
    """Median seconds of each contender, run in turns after one warm-up each.

    With one thread they are seconds of the processor: what other programs take of a shared machine does not count.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start = clock()
            run()
            if turn:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def ratio(title: str, medians: dict[str, float], limit: str) -> Figure:
    """The second contender as a multiple of the first."""
    (base_name, base), (name, ours) = medians.items()
    raw = {"ours": ours, "base": base}
    return Figure(
        f"{title}, {name}", f"{ours / base:.2f} times", f"{base_name}, {in_words(base)}", limit, raw
    )


def in_words(seconds: float) -> str:
    """`4.5 ms` or `1.32 s`."""
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
