"""Find a training recipe by its name, and read it strictly: errors say what is wrong and where."""

import dataclasses
import logging
import os
import re
from collections.abc import Iterable
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from sketch_prompt.checksums import text_checksum
from sketch_prompt.hints import nearest, shortened, suggestion
from sketch_prompt.strict_yaml import NotPlainYamlError, parse_yaml, read_yaml

RECIPE_FILE = "training.yaml"
ENTRY_POINTS = "sketch_prompt.recipes"
_LONGEST_REASON = 200
_CHECKSUM = "# As the run resolved it; checksum of what follows: "

logger = logging.getLogger(__name__)


class RecipeError(ValueError):
    """A recipe is not valid. The message says where and why, and suggests the nearest known name."""


def recipe_folders() -> dict[str, Path]:
    """{name: folder} of all recipes.

    These are the recipes of this package and of other installed packages. Such a package has an entry point in the
    group `sketch_prompt.recipes`, which names a Python package with files `<recipe>/training.yaml`.
    """
    package = Path(__file__).parents[1]
    own = package / "recipes"
    # In a checkout or an editable installation, the recipes are outside of the package.
    roots = [own if own.is_dir() else package.parents[1] / "hub_configs"]
    for point in entry_points(group=ENTRY_POINTS):
        roots.append(Path(str(resources.files(point.module))))
    files = [path for root in reversed(roots) for path in sorted(root.glob(f"*/{RECIPE_FILE}"))]
    return {path.parent.name: path.parent for path in files}


def find_recipe(source: str | os.PathLike) -> Path:
    """A recipe's folder or file.

    Args:
        source: A YAML file, a folder with a `training.yaml`, or a name such as `clip-at-mini`.

    Raises:
        RecipeError: There is no such recipe. The message suggests the nearest name.
    """
    path = Path(source).expanduser()
    if (path.exists() and not path.is_dir()) or (path / RECIPE_FILE).is_file():
        return path
    folders = recipe_folders()
    if str(source) in folders:
        return folders[str(source)]
    near = nearest(path.stem, folders)
    hint = f": did you mean the recipe {near!r}?" if near else "."
    raise RecipeError(
        f"there is no recipe {str(source)!r}{hint} Give a YAML file, a folder with a {RECIPE_FILE}, or a "
        "name that `sketch-prompt train --list` prints"
    )


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The sections of a recipe with overrides. They are not checked yet.

    Args:
        path: See `find_recipe`.
        overrides: Overrides of the form `section.key=value`, with the value in YAML.

    Raises:
        RecipeError: There is no such recipe, it is not a YAML mapping, or an override has the wrong form.
    """
    path = find_recipe(path)
    if path.is_dir():
        path = path / RECIPE_FILE
    try:
        recipe = read_yaml(path) or {}
        _warn_if_altered(path)
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except NotPlainYamlError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(recipe, dict):
        raise RecipeError(f"{path} must have sections (model:, data:, ...), not a {type(recipe).__name__}")
    for override in overrides:
        _apply(recipe, override)
    return recipe


def _apply(recipe: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not sections or not all([*sections, last]):
        raise RecipeError(f"an override has the form section.key=value, not {shortened(override)}")
    target = recipe
    for section in sections:
        if target.get(section) is None:
            target[section] = {}
        target = target[section]
        if not isinstance(target, dict):
            raise RecipeError(f"override {shortened(override)}: {section} is a value, not a section")
    try:
        target[last] = parse_yaml(value, f"override {shortened(override)}")
    except NotPlainYamlError as error:
        raise RecipeError(str(error)) from error


def with_checksum(text: str) -> str:
    """The text of a recipe below a comment with its checksum, so that `read_recipe` notices changes."""
    return f"{_CHECKSUM}{text_checksum(text)}\n{text}"


def _warn_if_altered(path: Path) -> None:
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    if first.startswith(_CHECKSUM) and first != _CHECKSUM + text_checksum(text):
        logger.warning("%s was changed after the run wrote it. If you did not edit it, it is damaged", path)


def build(cls: type, section: str, values: Any) -> Any:
    """Build a dataclass from the mapping of a section. Values must have the declared types.

    Raises:
        RecipeError: A key is unknown (the message suggests the nearest one), or a value has the wrong type or is out
            of range.
    """
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise RecipeError(f"{section} must be a section of keys, not {shortened(values)}")
    known = {field.name: field for field in dataclasses.fields(cls)}
    refuse_unknown(values, known, section)
    needed = [name for name, field in known.items() if _is_required(field) and name not in values]
    if needed:
        raise RecipeError(f"{section}.{needed[0]} is missing: it has no default")
    try:
        return cls(**values)
    except StrictDataclassError as error:
        raise RecipeError(f"{section}.{_reason(error)}") from error
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RecipeError(f"{section}.{error}") from error


def refuse_unknown(given: Iterable[str], known: Iterable[str], section: str = "") -> None:
    """Raise a RecipeError for the first key that is not known, with the nearest known one."""
    known = list(known)
    for key in given:
        if key not in known:
            raise RecipeError(
                f"unknown key {f'{section}.{key}' if section else key}; {suggestion(key, known)}"
            )


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _reason(error: StrictDataclassError) -> str:
    """The error of a strict dataclass in the form `batch_size: expected int, got str`."""
    field = re.search(r"field '(\w+)'", str(error))
    detail = str(error).rsplit("TypeError: ", 1)[-1].strip()
    name = field.group(1) if field else ""
    detail = detail.removeprefix(f"Field {name!r} ").split(". Errors:")[0].removesuffix(".")
    detail = re.sub(r"<class '(\w+)'>", r"\1", detail)
    return f"{name}: {detail if len(detail) <= _LONGEST_REASON else detail[:_LONGEST_REASON] + '...'}"
