"""What `pip install` gives to someone who has no checkout: built from the tracked files alone, by way of an sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The unpacked wheel."""
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
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    _build("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), built)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def _build(what, source, output):
    output.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, output], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_recipes_the_types_and_every_data_file(installed):
    package = installed / "sketch_prompt"
    recipes = {path.name for path in (REPOSITORY / "hub_configs").iterdir()}
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
    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
        )

    code = "from sketch_prompt.training import recipe; print(recipe.find_recipe('clip-at-mini'))"
    done = run("-c", code)
    assert done.stdout.strip() == str(installed / "sketch_prompt/recipes/clip-at-mini"), done.stderr
    listed = run("-m", "sketch_prompt", "train", "--list")
    assert listed.stdout.split() == sorted(path.name for path in (REPOSITORY / "hub_configs").iterdir())
    wrong = run("-m", "sketch_prompt", "train", "clip-at-mimi")
    assert wrong.returncode == 1 and "did you mean the recipe 'clip-at-mini'?" in wrong.stderr
