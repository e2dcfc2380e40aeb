"""The origins of the values of a recipe: the paper, its code, this project, or the command line."""

import os
import re
from collections.abc import Iterable

from sketch_prompt.training.recipe import RECIPE_FILE, find_recipe

_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):")
_COMMENT = re.compile(r"\s#\s*(?P<words>.+)$")


def read_origins(recipe: str | os.PathLike, overrides: Iterable[str] = ()) -> dict[str, str]:
    """Read the origins of the values of a recipe, which are the comments beside them.

    Args:
        recipe: See `find_recipe`.
        overrides: Overrides of the form `section.key=value`, chosen for this run.

    Returns:
        {"section.key": comment}. Comments inside a nested mapping are added to the comment of the mapping's key.
    """
    path = find_recipe(recipe)
    path = path / RECIPE_FILE if path.is_dir() else path
    origins: dict[str, str] = {}
    section = key = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        found, comment = _LINE.match(line), _COMMENT.search(line)
        if not found:
            continue
        depth = len(found["indent"]) // 2
        if depth == 0:
            section = found["key"]
        elif depth == 1:
            key = f"{section}.{found['key']}"
            if comment:
                origins[key] = comment["words"].strip()
        elif comment:
            words = f"{found['key']}: {comment['words'].strip()}"
            origins[key] = f"{origins[key]}; {words}" if key in origins else words
    for override in overrides:
        section, _, key = override.partition("=")[0].strip().partition(".")
        origins[f"{section}.{key.partition('.')[0]}"] = "chosen for this run"
    return origins
