"""What was published about benchmarks: classes, numbers of files, and the results of papers (`published.json`)."""

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def published() -> dict[str, Any]:
    """The content of `published.json`: "splits" by protocol, "papers", and "results"."""
    return json.loads(resources.files(__package__).joinpath("published.json").read_text(encoding="utf-8"))
