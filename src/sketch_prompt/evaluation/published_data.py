"""How the test data differ from the published ones. If they do, so will the numbers."""

from collections.abc import Mapping

import datasets
import numpy as np

from sketch_prompt.data.benchmarks import benchmark_config, benchmark_names
from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.configs import BenchmarkConfig
from sketch_prompt.vocabulary import TEST_SPLITS

_PLURALS = {"sketch": "sketches", "photo": "photos"}


def differences_from_published(
    benchmark: datasets.DatasetDict, name: str, train_benchmark: str | None = None
) -> list[str]:
    """How test data differ from the published test data of a benchmark, as short phrases.

    Args:
        benchmark: The tables.
        name: Name of the benchmark. If nothing was published for it, nothing differs.
        train_benchmark: The benchmark trained on, if another one. Its seen classes are not tested.
    """
    crossed = train_benchmark not in (None, name)
    queried = _class_keys(benchmark[TEST_SPLITS["sketch"]])
    expected, tested, trained = queried, _config(name), _config(train_benchmark) if crossed else None
    if published := tested.published():
        expected = set(map(class_key, published.unseen))
        if trained is not None and (seen := trained.published()):
            expected -= set(map(class_key, seen.seen))
    differences = []
    if expected - queried:
        differences.append(f"{len(expected & queried)} of the {len(expected)} test classes")
    if queried - expected:
        differences.append(f"{len(queried - expected)} test classes that are not the protocol's")
    if not differences and not crossed:
        differences += _differences_of_counts(benchmark, tested.published_counts(), queried)
    return differences


def _config(name: str) -> BenchmarkConfig:
    """What was published for a benchmark; nothing if there is no benchmark of this name."""
    return benchmark_config(name) if name in benchmark_names() else BenchmarkConfig(name="unknown")


def _class_keys(table: datasets.Dataset) -> set[str]:
    names = table.features["label"].names
    return {class_key(names[label]) for label in set(table.select_columns("label")[:]["label"])}


def _differences_of_counts(
    benchmark: datasets.DatasetDict, counts: Mapping[str, int | None], queried: set[str]
) -> list[str]:
    """Numbers of images of the queried classes, if they are not the published ones."""
    differences = []
    for domain, name in TEST_SPLITS.items():
        table = benchmark[name]
        names = table.features["label"].names
        asked = [label for label, label_name in enumerate(names) if class_key(label_name) in queried]
        found = np.count_nonzero(np.isin(table.select_columns("label")[:]["label"], asked))
        published = counts.get(name)
        if published is not None and found != published:
            differences.append(f"{found:,} test {_PLURALS[domain]} where {published:,} are published")
    return differences
