"""Every command that README, docs and the help print is one that exists: options, recipes, scripts and make targets.

The walk from a folder of photos to a search is run as `docs/search.md` prints it, with fewer pictures.
"""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import tomllib
import typer
from PIL import Image
from typer.testing import CliRunner

from fakes import processes
from sketch_prompt.cli import app
from sketch_prompt.cli.command import Settings
from sketch_prompt.training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP = typer.main.get_command(app)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OUTSIDE = {path.parent.name for path in (ROOT / "tests" / "outside").rglob("training.yaml")}
BEGINNINGS = ("sketch-prompt ", "make ", "python ", "accelerate ", "pip ", "scripts/")


def commands_of(text):
    """The commands in the fenced blocks and in the inline code of a page."""
    for language, block in FENCED.findall(text):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        if language in ("bash", "console"):
            yield from (line.split("  #")[0].split("   #")[0].strip() for line in lines if line.strip())
    for code in re.findall(r"`([^`]+)`", FENCED.sub("", text)):
        code = " ".join(code.split())
        if code.startswith(BEGINNINGS):
            yield code


def subcommands(group, prefix=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from subcommands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


EXAMPLES = [
    line.strip()
    for _, command in subcommands(GROUP)
    for line in re.sub(r"\\\n\s*", " ", command.help).splitlines()
    if line.strip().startswith("sketch-prompt ")
]
DOCUMENTED = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command[:60]}")
    for page in PAGES
    for command in dict.fromkeys(commands_of(page.read_text(encoding="utf-8")))
]


def check(command):
    words = shlex.split(command)
    if words[:2] == ["accelerate", "launch"]:
        words = ["python", *words[2:]]
    if words[0].startswith("scripts/"):
        words = ["python", *words]
    if words[:3] == ["python", "-m", "sketch_prompt"]:
        words = ["sketch-prompt", *words[3:]]
    program, *arguments = words
    if program == "python" and arguments[0] in ("scripts/train.py", "scripts/embed.py"):
        commands = {"scripts/train.py": "train", "scripts/embed.py": "index"}
        program, arguments = "sketch-prompt", [commands[arguments[0]], *arguments[1:]]
    if program == "sketch-prompt":
        check_arguments(arguments)
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        named = re.findall(r"\[([\w,]+)\]", command)
        assert all(set(names.split(",")) <= extras.keys() for names in named)
    else:
        assert program == "python", command
        module = arguments[1].replace(".", "/") if arguments[0] == "-m" else None
        folder = ROOT / "src" / module if module else None
        source = ROOT / arguments[0] if folder is None else folder / "__main__.py"
        text = source.read_text(encoding="utf-8")
        options = [word.split("=")[0] for word in arguments[1:] if word.startswith("--")]
        assert all(f'"{option}"' in text for option in options), options


def check_arguments(arguments):
    """That the command takes these arguments, under the names of today; a recipe is loaded."""
    root = typer.Context(GROUP, info_name="sketch-prompt", obj=Settings())
    found, parent = GROUP, root
    while hasattr(found, "commands"):
        name, *arguments = arguments
        found = found.commands[name]
        parent = typer.Context(found, info_name=name, parent=parent)
    if not arguments:
        return  # named, not called
    given = found.make_context(found.name, list(arguments), parent=parent.parent).params
    recipe = given.get("recipe")
    if found.name == "train" and recipe is not None and "RECIPE" not in recipe and recipe not in OUTSIDE:
        TrainingConfig.load(ROOT / recipe if "/" in recipe else recipe, given["overrides"])


@pytest.mark.parametrize("command", DOCUMENTED)
def test_a_documented_command_exists_with_these_arguments(command, capsys):
    check(command)
    assert "is now called" not in capsys.readouterr().err


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_in_the_help_can_be_called(command, capsys):
    check(command)
    assert "is now called" not in capsys.readouterr().err


def test_there_are_commands_on_every_page_that_shows_how_to_do_something():
    found = {page: len(list(commands_of(page.read_text(encoding="utf-8")))) for page in PAGES}
    assert found[ROOT / "README.md"] >= 20 and found[ROOT / "docs" / "search.md"] >= 5
    assert len(EXAMPLES) >= len(list(subcommands(GROUP)))


WALKS = {
    "search.md": {"gallery", "photos", "search.png", "search-text.png"},
    "photos.md": {"gallery", "photos", "found.html", "found.csv", "found", "why.png"},
    "researcher.md": {"runs", "compared.png"},
}
"""{page: what its commands leave behind}"""


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_through_runs_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [(language, block) for language, block in FENCED.findall(text) if language]
    made = 0
    for language, block in blocks:
        if language == "python":
            exec(compile(block, page, "exec"), {})
        if can_run(block):
            for command in commands_of(f"```{language}\n{block}```\n"):
                made += run(command)
    assert made >= 4
    assert {path.name for path in tmp_path.iterdir()} >= WALKS[page]


def test_a_walk_through_for_a_person_is_no_longer_than_a_screen():
    for page in ("photos.md", "researcher.md"):
        assert len((ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()) <= 60


def can_run(block):
    """Whether what a block needs is installed; Ray, which needs a minute to start, is left to its own test."""
    extras = {"--engine ray": None, "-o onnx": "onnxruntime", "--index milvus": "pymilvus"}
    needed = [module for words, module in extras.items() if words in block]
    return all(module is not None and importlib.util.find_spec(module) for module in needed)


def run(command):
    """Run a command of the walk; several processes, which need seconds to start, are left to other tests.

    A training takes two steps, and fewer and smaller pictures are drawn.
    """
    program, *arguments = shlex.split(command)
    if program == "accelerate":
        return 0
    if program == "sketch-prompt":
        if arguments[0] == "train" and "-o" in arguments:
            arguments += ["optimisation.max_steps=2", "data.num_workers=0"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return 1
    fewer = {"--instances": "4", "--image-size": "64"}
    for option, value in fewer.items():
        arguments[arguments.index(option) + 1] = value
    done = processes.run(*arguments)
    assert done.returncode == 0, done.stderr
    for name in ("drawing.png", "new.jpg"):  # what the reader has
        Image.open(next(Path("drawings/teapot").iterdir())).convert("RGB").save(name)
    return 1
