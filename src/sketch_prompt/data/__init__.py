"""Benchmarks, class splits, reading of images, samplers and collators."""

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def published() -> dict[str, Any]:
    """The content of `published.json`: "splits" by protocol, "papers", their "sources", and "results"."""
    return json.loads(resources.files(__name__).joinpath("published.json").read_text(encoding="utf-8"))
