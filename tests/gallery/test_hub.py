import shutil
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from fakes.photos import make_model, picture
from sketch_prompt import Gallery
from sketch_prompt.gallery import hub


@pytest.fixture
def hub_folder(monkeypatch, tmp_path):
    """A Hub that is a folder, with one data set in it; what was asked of it."""
    folder, asked = tmp_path / "hub", {}

    class Api:
        def __init__(self, token=None):
            asked["token"] = token

        def create_repo(self, repo_id, repo_type, private, exist_ok):
            asked["create"] = repo_id, repo_type, private
            return SimpleNamespace(repo_id=f"me/{repo_id}")

        def upload_folder(self, *, repo_id, repo_type, folder_path, **options):
            asked["upload"] = repo_id, repo_type
            shutil.copytree(folder_path, folder)
            return SimpleNamespace(commit_url="https://hub/commit")

    def snapshot_download(repo_id, *, repo_type, revision, **options):
        asked["download"] = repo_id, repo_type, revision
        return str(folder)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return folder, asked


@pytest.mark.parametrize("include_photos", [False, True])
def test_a_gallery_comes_back_from_the_hub(hub_folder, model, photos, tmp_path, include_photos):
    _, asked = hub_folder
    gallery = Gallery.build(model, photos, progress=False)
    gallery.add([picture(50)], names=["in memory"], progress=False)
    gallery.remove("cat/0.jpg")
    url = gallery.push_to_hub("my-photos", include_photos=include_photos, private=True, token="secret")
    assert url == "https://hub/commit" and asked["token"] == "secret"
    assert (asked["create"], asked["upload"]) == (("my-photos", "dataset", True), ("me/my-photos", "dataset"))

    again = Gallery.from_hub("me/my-photos", make_model(), revision="main")
    assert asked["download"] == ("me/my-photos", "dataset", "main")
    assert again.model.embedded == 0
    np.testing.assert_array_equal(again.features, gallery.features)
    hits, ours = again.search(picture(50), 9), gallery.search(picture(50), 9)
    assert [(hit.score, hit.id, hit.category) for hit in hits] == [
        (hit.score, hit.id, hit.category) for hit in ours
    ]
    assert hits[0].path == "in memory"
    if include_photos:
        assert again.image(hits[0]).tobytes() == picture(50).tobytes()
        assert all(again.image(hit).size == (40, 40) for hit in hits)
    else:
        with pytest.raises(ValueError, match="no such file"):
            again.image(hits[0])
    again.add([picture(60)], names=["new"], progress=False)
    assert again.search(picture(60), 1)[0].path == "new"
    again.save(tmp_path / "saved")
    assert len(Gallery.load(tmp_path / "saved", make_model())) == 10


def test_it_is_a_data_set_like_any_other(hub_folder, model, photos):
    folder, _ = hub_folder
    gallery = Gallery.build(model, photos, progress=False)
    gallery.push_to_hub("my-photos", include_photos=True)
    table = datasets.load_dataset(str(folder), split="train", cache_dir=str(folder / "cache"))
    assert table.column_names == ["id", "path", "category", "digest", "features", "image"]
    assert len(table) == 9 and table[0]["image"].size == (40, 40)
    np.testing.assert_array_equal(np.array(table["features"][:], np.float32), gallery.features)


def test_nothing_on_the_hub_names_a_folder_of_this_machine(hub_folder, photos, tmp_path):
    folder, _ = hub_folder
    model = make_model()
    model.config.base_model = str(tmp_path / "secret" / "clip")
    files = [photos / "cat" / "0.jpg", photos / "dog" / "0.jpg"]
    Gallery.build(model, files, progress=False).push_to_hub("x")
    for path in folder.rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes()
    again = Gallery.from_hub("x", model)
    assert sorted(again.photos.paths) == ["0 (2).jpg", "0.jpg"]


def test_galleries_of_other_models_and_other_data_sets_are_refused(hub_folder, model, photos, monkeypatch):
    folder, _ = hub_folder
    with pytest.raises(ValueError, match="the gallery is empty"):
        Gallery(model).push_to_hub("x")
    Gallery.build(model, photos, progress=False).push_to_hub("x")
    with pytest.raises(ValueError, match="the gallery in x was made with another model"):
        Gallery.from_hub("x", make_model(seed=1))
    with pytest.raises(ValueError, match="does not say where its frozen-clip model is"):
        Gallery.from_hub("x")
    (folder / "gallery.json").unlink()
    with pytest.raises(ValueError, match="x is no gallery"):
        Gallery.from_hub("x", model)

    def missing(*arguments, **options):
        raise RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(hub, "snapshot_download", missing)
    with pytest.raises(FileNotFoundError, match="no gallery 'x': the Hub has no such data set"):
        Gallery.from_hub("x", model)
