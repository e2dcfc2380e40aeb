"""Examples in docstrings: every public name has one, and those that print a result print it."""

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import sketch_prompt

PRINTED = (
    "data.minisketch.generator",
    "data.splits",
    "evaluation.task",
    "gallery.indexes.base",
    "lens.fitting",
    "lens.lens",
    "lens.sums",
    "lens.validation",
    "metrics.core",
    "metrics.instance",
    "metrics.pair_scores",
    "metrics.ranking",
    "metrics.scores",
    "models.dp_clip.category_register",
    "testing.tiny_clip",
)
ROOMS = (
    "data.minisketch",
    "data.quickdraw_caltech",
    "evaluation",
    "explain",
    "gallery",
    "gallery.indexes",
    "lens",
)
ROOMS += (
    "metrics",
    "testing",
    *(f"models.{folder}" for folder in sketch_prompt.models.method_folders().values()),
)


def public_classes():
    for room in ROOMS:
        module = importlib.import_module(f"sketch_prompt.{room}")
        classes = (getattr(module, name) for name in module.__all__)
        yield from (cls for cls in classes if inspect.isclass(cls) and not issubclass(cls, Exception))


@pytest.mark.parametrize("name", [name for name in sketch_prompt.__all__ if not name.startswith("_")])
def test_every_public_name_has_an_example(name):
    assert "Example" in inspect.getdoc(getattr(sketch_prompt, name))


def test_every_class_that_a_room_exports_has_an_example():
    assert not [cls.__qualname__ for cls in public_classes() if "Example:" not in (cls.__doc__ or "")]


def test_examples_without_a_printed_result_are_valid_code():
    blocks = []
    for path in Path(sketch_prompt.__file__).parent.rglob("*.py"):
        blocks += re.findall(
            r"^ *```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    for block in blocks:
        ast.parse(textwrap.dedent(block))
    assert len(blocks) > 20


@pytest.mark.parametrize("module", PRINTED)
def test_examples_print_what_they_say(module):
    failed, tried = doctest.testmod(importlib.import_module(f"sketch_prompt.{module}"))
    assert tried and not failed
