"""What `pip install` gives to someone who has no checkout: built from the tracked files alone, by way of an sdist."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from fakes.hub import TOKEN

REPOSITORY = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's file."""
    pytest.importorskip("setuptools", "77", reason="needs setuptools, which pip fetches to build")
    folder = tmp_path_factory.mktemp("wheel")
    clone, built = folder / "clone", folder / "built"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (REPOSITORY / name).is_file() and not name.startswith("tests/"):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, clone / name)
    _build("build_sdist", clone, built)
    (sdist,) = built.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder)
    _build("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), built)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _build(what, source, output):
    output.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, output], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_recipes_the_types_and_every_data_file(installed):
    package = installed / "sketch_prompt"
    recipes = {path.parent.name for path in (REPOSITORY / "hub_configs").glob("*/training.yaml")}
    assert {path.parent.name for path in package.glob("recipes/*/training.yaml")} == recipes
    assert (package / "recipes/clip-at-mini-fg/ablations.yaml").is_file()
    source = REPOSITORY / "src/sketch_prompt"
    data = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "recipes" not in path.parts
    }
    assert data <= {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}


def test_an_installed_wheel_finds_its_recipes_from_any_folder(installed, tmp_path):
    code = """
from sketch_prompt.cli import app
from sketch_prompt.training.recipe import find_recipe
print(find_recipe("clip-at-mini"))
app(["train", "--list"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, *listed = done.stdout.split()
    assert found == str(installed / "sketch_prompt/recipes/clip-at-mini")
    recipes = (REPOSITORY / "hub_configs").glob("*/training.yaml")
    assert listed == sorted(path.parent.name for path in recipes)


@pytest.mark.parametrize(
    "dependencies", ["of this environment", pytest.param("from the index", marks=pytest.mark.slow)]
)
def test_the_wheel_installs_in_a_fresh_environment_finds_its_recipes_and_pushes(
    dependencies, wheel, hub, tmp_path
):
    pytest.importorskip("pip")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    programs = next(path for name in ("bin", "Scripts") if (path := tmp_path / "venv" / name).is_dir())
    python = next(programs.glob("python*"))
    options = ["--constraint", REPOSITORY / "constraints.txt"]
    if dependencies == "of this environment":
        options = ["--no-deps", "--no-index"]
        site = Path(
            _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip()
        )
        (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    _run([sys.executable, "-m", "pip", "--python", python, "install", "-q", *options, wheel], tmp_path)
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": "",
    }
    command = programs / "sketch-prompt"
    where = _run([python, "-c", "import sketch_prompt; print(sketch_prompt.__file__)"], tmp_path, environment)
    assert Path(where.strip()).is_relative_to(tmp_path / "venv")
    assert "clip-at-mini" in _run([command, "train", "--list"], tmp_path, environment).split()
    assert _run([command, "push", "mini-clip-at", "me/first"], tmp_path, environment).startswith(hub.url)
    assert {"adapter_model.safetensors", "README.md"} <= set(hub["me/first"].files())


def _run(command, folder, environment=None):
    environment = os.environ | (environment or {})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
