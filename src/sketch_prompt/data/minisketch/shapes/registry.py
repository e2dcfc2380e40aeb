"""The list of categories: a shape program registers itself under the name of what it draws."""

from __future__ import annotations

from collections.abc import Callable

from ..geometry import Part
from ..parameters import Parameters

ShapeProgram = Callable[[Parameters], list[Part]]

SHAPE_PROGRAMS: dict[str, ShapeProgram] = {}


def category(name: str) -> Callable[[ShapeProgram], ShapeProgram]:
    """Register the decorated shape program as the category `name` (a plain English singular)."""

    def register(program: ShapeProgram) -> ShapeProgram:
        if name in SHAPE_PROGRAMS:
            raise ValueError(f"Two shape programs are called {name!r}; a category has one.")
        SHAPE_PROGRAMS[name] = program
        return program

    return register
