"""The house as its sources show it: which room imports from which, and how large files are."""

import ast
import re
from pathlib import Path

import pytest

from fakes.processes import run
from map import ARROWS_HEADING, LOAD, PACKAGE, ROOM_OF, ROOMS, arrows, room_of, walk, walk_search

TESTS = Path(__file__).parent
# Folders of tests that are about the whole package, and tests of a whole room.
OF_THE_WHOLE = [
    "assets",
    "docs",
    "examples",
    "faults",
    "hub",
    "hub_configs",
    "outside",
    "packaging",
    "scripts",
    "security",
]
OF_A_ROOM = [
    "cli/commands",
    "models/adding_a_loss",
    "models/contract",
    "space/space_folder",
    "training/every_recipe",
]
DEVELOPMENT = Path(__file__).parents[1] / "docs" / "development.md"
ORDER = list(ROOMS)


@pytest.fixture(scope="module")
def found():
    return arrows()


def test_every_module_is_in_a_room():
    missing = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py"))))
        and path.stem not in ("__init__", "__pycache__")
        and path.stem not in ROOM_OF
    }
    assert not missing, "name their room in scripts/map.py and in docs/development.md"
    assert room_of("gallery.indexes.exact") == "gallery" and room_of("top_k") == "base"


def test_imports_point_down_so_that_there_is_no_cycle_between_rooms(found):
    up = [
        arrow
        for room, targets in found.items()
        for target, examples in targets.items()
        if ORDER.index(target) > ORDER.index(room)
        for arrow in examples
    ]
    assert not up


def test_the_arrows_in_the_documentation_are_those_in_the_code(found):
    section = DEVELOPMENT.read_text(encoding="utf-8").partition(ARROWS_HEADING)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", section, re.MULTILINE)
    written = {room: set(re.findall(r"`(\w+)`", targets)) for room, targets in rows}
    assert written == {room: set(targets) for room, targets in found.items()}
    assert list(written) == ORDER


def test_no_file_is_longer_than_500_lines():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length > 500}


def forked(code):
    return run("-c", code, check=True).stdout


def test_loading_a_model_and_searching_import_few_modules():
    assert len(walk(LOAD, profiled=False, run=forked)[0]) <= 33
    assert len(walk_search(profiled=False, run=forked)[0]) <= 60


def test_a_search_imports_no_pandas_and_nothing_for_data_sets_figures_or_large_galleries():
    """A fresh process: a forked one has imported more."""
    others = {"pandas", "datasets", "faiss", "sklearn", "matplotlib", "torchvision", "lance", "pymilvus"}
    assert not others & set(walk_search(profiled=False)[2])


def test_what_tests_share_is_in_fakes():
    """A test imports from `fakes`, never from another test or from a conftest."""
    own = {path.stem for path in TESTS.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "fakes",
        "outside",
    }
    borrowed = []
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                top = (node.module or "").split(".")[0]
                own_folder = top == path.parent.name and "conftest" not in node.module
                if node.level or (top in own and not own_folder):
                    borrowed.append(f"{path.relative_to(TESTS)}: {'.' * node.level}{node.module}")
    assert not borrowed


def test_tests_stand_where_the_module_that_they_test_stands():
    """`tests/gallery/test_table.py`, or `test_table_<topic>.py`, is about `sketch_prompt/gallery/table.py`."""
    astray = []
    for path in TESTS.rglob("test_*.py"):
        folder = path.parent.relative_to(TESTS)
        name = path.stem.removeprefix("test_")
        if (folder.parts or (name,))[0] in (*OF_THE_WHOLE, "house") or f"{folder}/{name}" in OF_A_ROOM:
            continue
        words = name.split("_")
        starts = ("_".join(words[:count]) for count in range(1, len(words) + 1))
        if not any(_is_module(PACKAGE / folder, start) for start in starts):
            astray.append(str(path.relative_to(TESTS)))
    assert not astray


def _is_module(folder, name):
    files = (f"{name}.py", f"__{name}__.py", "__init__.py" if name == folder.name else name)
    return any((folder / file).exists() for file in files)
