"""The folder `space/`: what is pushed to Hugging Face."""

import re
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def names(requirements):
    return {re.match(r"[A-Za-z0-9_-]+", line)[0] for line in requirements if re.match(r"[A-Za-z]", line)}


def test_requirements_are_the_packages_own_and_what_reads_photos_of_telephones_and_cameras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = (ROOT / "space" / "requirements.txt").read_text().splitlines()
    photos = project["optional-dependencies"]["photos"]
    assert names(listed) == names([*project["dependencies"], *photos])


def test_front_matter_names_what_is_there():
    _, front, text = (ROOT / "space" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["sdk"] == "gradio" and fields["license"] == "apache-2.0"
    assert (ROOT / "space" / fields["app_file"]).is_file()
    assert f"gradio=={fields['sdk_version']}" in (ROOT / "constraints.txt").read_text()
    assert len(fields["short_description"]) <= 60  # the Hub refuses longer ones
    assert text.strip()


def test_app_serves_the_bundled_models(monkeypatch):
    page = pytest.importorskip("sketch_prompt.space.page", reason="needs gradio: pip install -e '.[space]'")
    served = []

    class Catalogue:
        def prepare(self):
            served.append("prepared")

    class Page:
        def block_thread(self):
            served.append("blocked")

    monkeypatch.setattr("sketch_prompt.space.catalogue.Catalogue", Catalogue)
    monkeypatch.setattr(page, "launch_page", lambda catalogue: (served.append(type(catalogue)), Page()))
    exec(compile((ROOT / "space" / "app.py").read_text(), "app.py", "exec"), {})
    assert served == ["prepared", Catalogue, "blocked"]
