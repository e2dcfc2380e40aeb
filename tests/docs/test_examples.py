"""Examples in docstrings: every public name has one, and those that print a result print it."""

import doctest
import importlib
import inspect

import pytest

import sketch_prompt

PRINTED = (
    "data.minisketch.generator",
    "data.splits",
    "metrics.core",
    "metrics.instance",
    "metrics.pair_scores",
    "metrics.ranking",
    "metrics.scores",
)


@pytest.mark.parametrize("name", [name for name in sketch_prompt.__all__ if not name.startswith("_")])
def test_every_public_name_has_an_example(name):
    assert "Example" in inspect.getdoc(getattr(sketch_prompt, name))


@pytest.mark.parametrize("module", PRINTED)
def test_examples_print_what_they_say(module):
    failed, tried = doctest.testmod(importlib.import_module(f"sketch_prompt.{module}"))
    assert tried and not failed
