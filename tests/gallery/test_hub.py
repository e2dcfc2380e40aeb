import re

import datasets
import numpy as np
import pytest

from fakes.photos import make_model, picture
from sketch_prompt import Gallery


@pytest.mark.parametrize("include_photos", [False, True])
def test_a_gallery_comes_back_from_the_hub(hub, model, photos, tmp_path, include_photos):
    gallery = Gallery.build(model, photos, progress=False)
    gallery.add([picture(50)], names=["in memory"], progress=False)
    gallery.remove("cat/0.jpg")
    commit = gallery.push_to_hub("my-photos", include_photos=include_photos, private=True, token="hf_me")
    repository = hub["datasets/me/my-photos"]
    assert repository.private and commit.startswith(f"{hub.url}/datasets/me/my-photos/commit/")

    again = Gallery.from_hub("me/my-photos", make_model(), revision="main")
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


def test_it_is_a_data_set_like_any_other(hub, model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    gallery.push_to_hub("my-photos", include_photos=True)
    table = datasets.load_dataset("me/my-photos", split="train")
    assert table.column_names == ["id", "path", "category", "digest", "features", "image"]
    assert len(table) == 9 and table[0]["image"].size == (40, 40)
    np.testing.assert_array_equal(np.array(table["features"][:], np.float32), gallery.features)
    streamed = next(iter(datasets.load_dataset("me/my-photos", split="train", streaming=True)))
    assert streamed["image"].size == (40, 40)


def test_pushing_again_replaces_what_was_there_on_the_branch_that_is_asked_for(hub, model, photos):
    gallery = Gallery.build(model, photos, progress=False)
    gallery.push_to_hub("me/my-photos")
    gallery.remove("cat/0.jpg")
    gallery.push_to_hub("me/my-photos", revision="fewer")
    assert len(Gallery.from_hub("me/my-photos", model)) == 9
    assert len(Gallery.from_hub("me/my-photos", model, revision="fewer")) == 8
    pull = gallery.push_to_hub("me/my-photos", create_pr=True)
    assert pull.pr_revision == "refs/pr/1"
    assert len(Gallery.from_hub("me/my-photos", model, revision="refs/pr/1")) == 8


def test_nothing_on_the_hub_names_a_folder_of_this_machine(hub, photos, tmp_path):
    model = make_model()
    model.config.base_model = str(tmp_path / "secret" / "clip")
    files = [photos / "cat" / "0.jpg", photos / "dog" / "0.jpg"]
    Gallery.build(model, files, progress=False).push_to_hub("x")
    for content in hub["datasets/me/x"].files().values():
        assert str(tmp_path).encode() not in content
    again = Gallery.from_hub("me/x", model)
    assert sorted(again.photos.paths) == ["0 (2).jpg", "0.jpg"]


def test_galleries_of_other_models_and_other_data_sets_are_refused(hub, model, photos):
    with pytest.raises(ValueError, match="the gallery is empty"):
        Gallery(model).push_to_hub("x")
    assert "datasets/me/x" not in hub
    Gallery.build(model, photos, progress=False).push_to_hub("x")
    with pytest.raises(ValueError, match="the gallery in me/x was made with another model"):
        Gallery.from_hub("me/x", make_model(seed=1))
    with pytest.raises(ValueError, match="does not say where its frozen-clip model is"):
        Gallery.from_hub("me/x")
    files = hub["datasets/me/x"].files()
    hub.add("me/other", {name: files[name] for name in files if name != "gallery.json"}, kind="dataset")
    with pytest.raises(ValueError, match="me/other is not a gallery"):
        Gallery.from_hub("me/other", model)
    with pytest.raises(FileNotFoundError, match="no data set 'me/none': the Hub has none of that name"):
        Gallery.from_hub("me/none", model)


def test_the_code_on_its_card_runs_as_printed(hub, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture(50).save("drawing.png")
    Gallery.build("mini-frozen-clip", photos, progress=False).push_to_hub("pets")
    card = hub["datasets/me/pets"].files()["README.md"].decode()
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})
    assert len(capsys.readouterr().out.splitlines()) == 9
    for line in ("license: unknown", "pretty_name: pets", "size_categories:", "dataset_info:", "- n<1K"):
        assert line in card


def test_pushing_says_what_is_wrong_in_one_sentence(hub, model, photos, monkeypatch):
    gallery = Gallery.build(model, photos, progress=False)
    with pytest.raises(PermissionError, match=r"this token may not write to you/pets: log in"):
        gallery.push_to_hub("you/pets")
    with pytest.raises(
        PermissionError, match="there is no token for pushing to me/pets, or the token is wrong"
    ):
        gallery.push_to_hub("me/pets", token="hf_wrong")
    with pytest.raises(ValueError, match="cannot be a repository's id: give owner/name"):
        gallery.push_to_hub("me/pets/all")
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.fail("/commit/", "close", times=99)
    with pytest.raises(ConnectionError, match="push again, and files that arrived are not sent twice"):
        gallery.push_to_hub("me/pets")
    assert list(hub["datasets/me/pets"].files()) == []
    hub.faults.clear()
    gallery.push_to_hub("me/pets")
