"""How the test data at hand differ from what a published protocol tests on: numbers then differ for that alone."""

import datasets
import numpy as np

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.splits import BenchmarkSplit, published_protocols, published_split

from .search import TEST_SPLITS

# sketchy-fg has the classes of sketchy-21, and no published numbers of files
_CLASSES_OF = {"sketchy-fg": "sketchy-21"}


def differences_from_published(
    benchmark: datasets.DatasetDict, protocol: str, train_protocol: str | None = None
) -> list[str]:
    """What is missing from, or more than, the test data of a published protocol, a short phrase each.

    Args:
        benchmark: the tables at hand.
        protocol: the name they were loaded by; empty list where no lists were published for it.
        train_protocol: the benchmark trained on, whose seen classes then leave the test data.
    """
    listed = _CLASSES_OF.get(protocol, protocol)
    if listed not in published_protocols():
        return []
    split = published_split(listed)
    expected = set(map(class_key, split.unseen))
    crossed = train_protocol not in (None, protocol)
    if crossed and train_protocol in published_protocols():
        expected -= set(map(class_key, published_split(train_protocol).seen))
    table = benchmark[TEST_SPLITS["sketch"]]
    names = table.features["label"].names
    queried = {class_key(names[label]) for label in set(table.select_columns("label")[:]["label"])}
    differences = []
    if expected - queried:
        differences.append(f"{len(expected & queried)} of the {len(expected)} test classes")
    if queried - expected:
        differences.append(f"{len(queried - expected)} test classes that are not the protocol's")
    if not differences and not crossed and listed == protocol:
        differences += _differences_of_counts(benchmark, split, queried)
    return differences


def _differences_of_counts(
    benchmark: datasets.DatasetDict, split: BenchmarkSplit, queried: set[str]
) -> list[str]:
    differences = []
    for domain, name in TEST_SPLITS.items():
        table = benchmark[name]
        names = table.features["label"].names
        asked = [label for label, label_name in enumerate(names) if class_key(label_name) in queried]
        found = np.count_nonzero(np.isin(table.select_columns("label")[:]["label"], asked))
        published = split.counts.get(name)
        if published is not None and found != published:
            differences.append(f"{found:,} test {domain}s where {published:,} are published")
    return differences
