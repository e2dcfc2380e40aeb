"""The list of categories: a shape program registers itself under the name of what it draws."""

from __future__ import annotations

from collections.abc import Callable

from ..geometry import Part, turned_parts
from ..parameters import Parameters

ShapeProgram = Callable[[Parameters], list[Part]]

SHAPE_PROGRAMS: dict[str, ShapeProgram] = {}


def category(
    name: str, turn: tuple[str, float, float] | None = None
) -> Callable[[ShapeProgram], ShapeProgram]:
    """Register the decorated shape program as the category `name` (a plain English singular).

    `turn` is the name and the range, in degrees, of a last parameter: how far the finished shape is turned.
    """

    def register(program: ShapeProgram) -> ShapeProgram:
        if name in SHAPE_PROGRAMS:
            raise ValueError(f"Two shape programs are called {name!r}; a category has one.")

        def turning(p: Parameters) -> list[Part]:
            return turned_parts(program(p), p.real(*turn))

        SHAPE_PROGRAMS[name] = program if turn is None else turning
        return program

    return register
