"""The scores of each query, with means, means of each class, and bootstrap intervals."""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 1000
_RESAMPLED_AT_ONCE = 2**20


@dataclass(frozen=True)
class QueryScores:
    """The scores of each query. `mean()` gives the numbers that papers print.

    Example:
        >>> scores = QueryScores({"Acc@1": np.array([1.0, 0.0, 1.0])}, np.array(["cat", "cat", "dog"]))
        >>> scores.per_class()
        {'cat': {'Acc@1': 0.5}, 'dog': {'Acc@1': 1.0}}

    Attributes:
        values: {name: (N,)} between 0 and 1, in the order of the queries; NaN if a query does not count.
        query_labels: (N,) the class of each query.
    """

    values: dict[str, np.ndarray]
    query_labels: np.ndarray

    def mean(self) -> dict[str, float]:
        """Means over the queries, under their usual names ("AP@all" gives "mAP@all")."""
        return {mean_name(name): float(np.nanmean(values)) for name, values in self.values.items()}

    def per_class(self) -> dict[object, dict[str, float]]:
        """Means over the queries of each class. Classes without a query that counts are left out."""
        return {
            label.item(): {
                mean_name(name): float(values[self.counted & (self.query_labels == label)].mean())
                for name, values in self.values.items()
            }
            for label in np.unique(self.query_labels[self.counted])
        }

    def intervals(
        self, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Percentile bootstrap intervals of the means, for other queries of the same kind.

        Queries are drawn with replacement, the same ones for all metrics. The intervals do not cover other photos,
        classes or training runs.

        Args:
            confidence: Share of the resampled means inside the interval.
            resamples: Number of resamples.
            seed: Seed for the resamples.

        Returns:
            {name of the mean: (lower, upper)}.
        """
        table = np.stack([values[~np.isnan(values)] for values in self.values.values()], axis=1)
        size = len(table)
        generator = np.random.default_rng(seed)
        height = max(1, _RESAMPLED_AT_ONCE // size)
        means = []
        for start in range(0, resamples, height):
            rows = min(height, resamples - start)
            # row i draws from the numbers i * size .. (i + 1) * size: one count serves all of them
            drawn = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            means.append(counts @ table / size)
        tail = (1 - confidence) / 2
        lower, upper = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
        return {
            mean_name(name): (float(low), float(high)) for name, low, high in zip(self.values, lower, upper)
        }

    @property
    def counted(self) -> np.ndarray:
        """(N,) whether the query counts."""
        return ~np.isnan(next(iter(self.values.values())))


def mean_name(name: str) -> str:
    """What the literature calls the mean of a query's score."""
    return f"m{name}" if name.startswith("AP") else name
