"""Shape programs: each draws one category from named parameters, as parts ordered from back to front."""

from . import animals, birds_and_insects, buildings, craft, food, home, kitchen, plants, tools, vehicles  # noqa: F401
from .registry import SHAPE_PROGRAMS

__all__ = ["SHAPE_PROGRAMS"]
