"""The model and the photos of the gallery's own tests, and a Hub that is a folder, whose files anybody may alter."""

import shutil

import pytest

from fakes.photos import model, photos
from sketch_prompt.gallery import hub

__all__ = ["hub_folder", "model", "photos"]


@pytest.fixture
def hub_folder(monkeypatch, tmp_path):
    folder = tmp_path / "hub"
    monkeypatch.setattr(hub, "create_repository", lambda repo_id, *options: repo_id)
    monkeypatch.setattr(hub, "upload", lambda source, *options, **names: shutil.copytree(source, folder))
    monkeypatch.setattr(hub.sources, "download", lambda repo_id, *options, **names: folder)
    return folder
