"""The map of the package: lines of each room, the arrows between rooms, and what two everyday calls import and run.

    python scripts/map.py

`tests/test_house.py` reads the same map and compares it with docs/development.md.
"""

import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "sketch_prompt"
# From the bottom to the top: a room imports only from rooms above it in this list. A room is a folder or a few files.
ROOMS = {
    "base": (
        "atomic",
        "auto_classes",
        "catalogue",
        "checksums",
        "expansion",
        "hints",
        "imaging",
        "locking",
        "machine",
        "notebook",
        "sources",
        "strict_yaml",
        "terminal",
        "top_k",
        "vocabulary",
    ),
    "plotting": ("plotting",),
    "hub": ("hub",),
    "data": ("data",),
    "metrics": ("metrics",),
    "processing": ("image_processing", "preprocessing", "processing"),
    "explain": ("explain",),
    "embedding": ("embedding",),
    "lens": ("lens",),
    "models": ("losses", "models", "hub.conversion", "assets"),
    "testing": ("testing",),
    "export": ("export", "exported"),
    "evaluation": ("evaluation",),
    "gallery": ("gallery",),
    "training": ("training",),
    "space": ("space",),
    "cli": ("cli", "__main__"),
}
ROOM_OF = {part: room for room, parts in ROOMS.items() for part in parts}
ARROWS_HEADING = "## Rooms and arrows"

# Counts modules of ours that are imported, and files of ours in which a function runs.
WALK = """
import json, sys
package = {package!r}
ran = set()
def called(frame, event, argument):
    if frame.f_code.co_filename.startswith(package) and not frame.f_code.co_name.startswith("<"):
        ran.add(frame.f_code.co_filename)
if {profiled}:
    sys.setprofile(called)
try:
    {call}
finally:
    sys.setprofile(None)
    imported = sorted(name for name in sys.modules if name.split(".")[0] == "sketch_prompt")
    packages = sorted({{name.split(".")[0] for name in sys.modules}})
    print("\\n" + json.dumps([imported, sorted(ran), packages]))
"""
LOAD = "from sketch_prompt import SketchPromptModel; SketchPromptModel.from_pretrained('mini-clip-at')"
SEARCH = """from sketch_prompt.cli import app
    sys.argv = ['sketch-prompt', 'search', {gallery!r}, {sketch!r}]
    app()"""
INDEX = (
    "from sketch_prompt import Gallery; Gallery.build('mini-clip-at', {photos!r}, {gallery!r}, device='cpu')"
)


def module_name(path: Path) -> str:
    """`gallery.table` for src/sketch_prompt/gallery/table.py; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module: that of the longest name that it begins with; KeyError for one that is in none."""
    while module not in ROOM_OF and "." in module:
        module = module.rpartition(".")[0]
    return ROOM_OF[module]


def modules() -> dict[str, Path]:
    """Every module of the package and its file, except the package's own `__init__`, which is its front door."""
    return {name: path for path in sorted(PACKAGE.rglob("*.py")) if (name := module_name(path))}


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a module imports, anywhere in its file; what is imported for types only does not count."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                above = ".".join(
                    ["sketch_prompt", *filter(None, package.split("."))][: -(node.level - 1) or None]
                )
                start = f"{above}.{start}".rstrip(".")
            names = [f"{start}.{alias.name}" for alias in node.names]
        for name in names:
            inside = name.partition("sketch_prompt.")[2] if name.startswith("sketch_prompt.") else None
            if inside is not None:
                inside = inside if inside in known else inside.rpartition(".")[0]
                if inside:  # not the front door, of which only `__version__` is asked
                    yield inside


def arrows() -> dict[str, dict[str, list[str]]]:
    """{room: {room that it imports from: ["module -> module", ...]}}"""
    known = modules()
    found: dict[str, dict[str, list[str]]] = {room: {} for room in ROOMS}
    for module, path in known.items():
        for target in imports(module, path, known):
            here, there = room_of(module), room_of(target)
            if here != there:
                found[here].setdefault(there, []).append(f"{module} -> {target}")
    return found


def lines() -> Counter:
    """Lines of the files of each room."""
    counts: Counter = Counter()
    for module, path in modules().items():
        counts[room_of(module)] += path.read_text(encoding="utf-8").count("\n")
    return counts


def start_python(code: str) -> str:
    """What code prints in a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return done.stdout


def walk(
    call: str, profiled: bool = True, run: Callable[[str], str] = start_python
) -> tuple[list[str], list[str], list[str]]:
    """What happens when a new process executes code.

    Returns:
        Modules of ours that are imported; if profiled, files of ours that run; all packages that are imported.
    """
    printed = run(WALK.format(package=str(PACKAGE), call=call, profiled=profiled))
    imported, ran, packages = json.loads(printed.splitlines()[-1])
    return imported, ran, packages


def walk_search(
    profiled: bool = True, run: Callable[[str], str] = start_python
) -> tuple[list[str], list[str], list[str]]:
    """`walk` of `sketch-prompt search` in a gallery of two pictures."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        photos, gallery = Path(folder, "photos"), Path(folder, "gallery")
        photos.mkdir()
        for name in ("red", "blue"):
            Image.new("RGB", (32, 32), name).save(photos / f"{name}.png")
        walk(INDEX.format(photos=str(photos), gallery=str(gallery)), False, run)
        return walk(SEARCH.format(gallery=str(gallery), sketch=str(photos / "red.png")), profiled, run)


def main() -> None:
    """Print the map."""
    print("Lines")
    counts = lines()
    for room in ROOMS:
        print(f"  {room:<12}{counts[room]:>7,}")
    print(f"  {'in all':<12}{counts.total():>7,}")
    print("Arrows: a room and the rooms that it imports from")
    for room, targets in arrows().items():
        print(f"  {room:<12}{', '.join(name for name in ROOMS if name in targets) or '-'}")
    for name, (imported, ran, _) in (
        ("sketch-prompt search", walk_search()),
        ('from_pretrained("mini-clip-at")', walk(LOAD)),
    ):
        print(f"{name}: {len(imported)} modules imported, {len(ran)} files run")


if __name__ == "__main__":
    main()
