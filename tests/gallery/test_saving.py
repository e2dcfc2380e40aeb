import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.clip import IMAGE_SIZE
from fakes.photos import make_model, picture, write_photos
from fakes.processes import Program
from sketch_prompt import Gallery, SketchPromptProcessor
from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.gallery.saving import DamagedGalleryError
from sketch_prompt.processing import SketchPromptImageProcessor


@pytest.fixture
def saved(model, photos, tmp_path):
    return Gallery.build(model, photos, tmp_path / "gallery", progress=False)


def found(gallery, seed=3):
    return [(hit.path, hit.score, hit.id) for hit in gallery.search(picture(seed), 99)]


def test_a_loaded_gallery_finds_what_the_saved_one_found(saved, tmp_path):
    again = Gallery.load(tmp_path / "gallery", make_model())
    assert found(again) == found(saved)
    assert again.model.embedded == 0
    np.testing.assert_array_equal(again.features, saved.features)
    assert (again.root, again.skipped) == (saved.root, saved.skipped)


def test_a_second_run_over_an_unchanged_folder_embeds_nothing(saved, photos, tmp_path):
    model = make_model()
    again = Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    assert (model.embedded, again.changes.unchanged, len(again)) == (0, 9, 9)


def test_a_saved_gallery_follows_its_folder(saved, photos, tmp_path):
    write_photos(photos, {"horse": 2}, first=300)
    (photos / "cat" / "0.jpg").unlink()
    (photos / "cat" / "1.jpg").rename(photos / "dog" / "new name.jpg")
    model = make_model()
    changes = Gallery.build(model, photos, tmp_path / "gallery", progress=False).changes
    assert (changes.added, changes.removed, changes.renamed, model.embedded) == (2, 1, 1, 2)
    again = Gallery.load(tmp_path / "gallery", make_model())
    fresh = Gallery.build(make_model(), photos, progress=False)
    for seed in (0, 1, 300):
        ours, theirs = found(again, seed), found(fresh, seed)
        assert [path for path, *_ in ours] == [path for path, *_ in theirs]
    assert len(files_of(tmp_path / "gallery")) == 5  # nothing of the old state but its features is left


def test_photos_that_moved_are_found_where_they_are(saved, photos, tmp_path):
    photos.rename(tmp_path / "moved")
    again = Gallery.load(tmp_path / "gallery", make_model(), photos_dir=tmp_path / "moved")
    hit = again.search(picture(3), 1)[0]
    assert Path(hit.path).is_file() and again.image(hit)
    changes = again.refresh(progress=False)
    assert (changes.unchanged, changes.embedded) == (9, 0)


def test_a_gallery_of_another_model_is_refused(saved, photos, tmp_path):
    others = {
        "the weights are others": make_model(seed=1),
        "its method is frozen-clip, this model's clip-at": make_model(method="clip-at"),
    }
    padded = make_model()
    padded.processor = SketchPromptProcessor(
        SketchPromptImageProcessor(size=IMAGE_SIZE, photo_resize="squash")
    )
    others["photo_resize was 'crop' and is 'squash'"] = padded
    for message, model in others.items():
        for use in (
            lambda model=model: Gallery.load(tmp_path / "gallery", model),
            lambda model=model: Gallery.build(model, photos, tmp_path / "gallery", progress=False),
        ):
            with pytest.raises(ValueError, match=f"made with another model: {message}"):
                use()
    assert found(Gallery.load(tmp_path / "gallery", make_model())) == found(saved)


def test_two_adapters_of_one_method_are_told_apart(photos, tmp_path):
    model = make_model(method="clip-at")
    Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    Gallery.load(tmp_path / "gallery", model)
    with torch.no_grad():
        model.adapter.photo_prompts += 1e-4
    with pytest.raises(ValueError, match="the weights are others"):
        Gallery.load(tmp_path / "gallery", model)


def test_the_same_model_in_half_precision_and_with_another_sketch_pipeline_is_welcome(saved, tmp_path):
    model = make_model().to(torch.bfloat16)
    model.processor.image_processor.sketch_line_width = 2.0
    assert Gallery.load(tmp_path / "gallery", model).search(picture(3), 1)[0].path == found(saved)[0][0]


def test_a_model_given_by_name_is_found_again(photos, tmp_path):
    Gallery.build("mini-frozen-clip", photos, tmp_path / "gallery", progress=False, device="cpu")
    assert Gallery.load(tmp_path / "gallery", device="cpu").model.method == "frozen-clip"


def test_a_gallery_that_does_not_name_its_model_asks_for_it(saved, tmp_path):
    with pytest.raises(ValueError, match="does not say where its frozen-clip model is"):
        Gallery.load(tmp_path / "gallery")
    with pytest.raises(FileNotFoundError, match=r"no gallery in .*sketch-prompt index PHOTOS -o"):
        Gallery.load(tmp_path / "nothing", make_model())


def test_a_newer_format_is_refused_without_calling_it_damaged(saved, tmp_path):
    path = tmp_path / "gallery" / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(ValueError, match="has format 2") as error:
        Gallery.load(tmp_path / "gallery", make_model())
    assert not isinstance(error.value, DamagedGalleryError)


def files_of(directory):
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(str(path.relative_to(directory)) for path in files)


@pytest.mark.parametrize("keep", [0, 0.5, 0.9])
@pytest.mark.parametrize("number", range(4))
def test_any_file_cut_short_is_named_and_mended_by_indexing_again(saved, photos, tmp_path, number, keep):
    directory, expected = tmp_path / "gallery", found(saved)
    saved.skipped.append(UnreadableImage("notes.txt", "not an image"))
    saved.save(directory)
    path = directory / files_of(directory)[number]
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DamagedGalleryError, match="sketch-prompt index PHOTOS -o"):
        Gallery.load(directory, make_model())
    model = make_model()
    mended = Gallery.build(model, photos, directory, progress=False)
    assert model.embedded == (9 if path.suffix == ".safetensors" else 0)
    for gallery in (mended, Gallery.load(directory, make_model())):
        for ours, theirs in zip(found(gallery), expected, strict=True):
            assert ours[0] == theirs[0] and ours[1] == pytest.approx(theirs[1], abs=1e-5)


@pytest.mark.parametrize("key", ["model", "index", "files", "root", "count", "next_id"])
def test_a_manifest_that_lacks_something_is_damaged(saved, photos, tmp_path, key):
    path = tmp_path / "gallery" / "gallery.json"
    manifest = json.loads(path.read_text())
    lacking = {name: value for name, value in manifest.items() if name != key}
    for broken in (lacking, {**manifest, key: "?"}):
        path.write_text(json.dumps(broken))
        if key != "root" or broken is lacking:
            with pytest.raises(DamagedGalleryError):
                Gallery.load(tmp_path / "gallery", make_model())
    model = make_model()
    assert len(Gallery.build(model, photos, tmp_path / "gallery", progress=False)) == 9
    assert model.embedded == 0


def test_any_file_deleted_is_noticed_and_mended(saved, photos, tmp_path):
    directory = tmp_path / "gallery"
    for name in files_of(directory):
        shutil.copytree(directory, tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
        with pytest.raises(DamagedGalleryError):
            Gallery.load(tmp_path / "copy", make_model())
        assert len(Gallery.build(make_model(), photos, tmp_path / "copy", progress=False)) == 9
        assert len(Gallery.load(tmp_path / "copy", make_model())) == 9
        shutil.rmtree(tmp_path / "copy")


def test_a_gallery_is_not_saved_into_its_photos_and_never_indexes_itself(saved, photos, tmp_path):
    for use in (lambda: saved.save(photos), lambda: Gallery.build(make_model(), photos, photos)):
        with pytest.raises(ValueError, match="its own folder"):
            use()
    inside = Gallery.build(make_model(), photos, photos / "gallery", progress=False)
    changes = Gallery.build(make_model(), photos, photos / "gallery", progress=False).changes
    assert (changes.unchanged, len(inside)) == (9, 9)
    assert [skip.reason for skip in changes.skipped] == ["a gallery"]


def test_two_processes_do_not_write_into_one_gallery(saved, photos, tmp_path):
    with (
        open(tmp_path / "gallery" / ".lock", "w") as lock,
        pytest.raises(ValueError, match="another process is writing"),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    assert len(Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)) == 9


def test_pictures_in_memory_are_found_after_loading_but_cannot_be_shown(model, tmp_path):
    gallery = Gallery.build(model, [picture(0), picture(1)], progress=False)
    gallery.save(tmp_path / "gallery")
    again = Gallery.load(tmp_path / "gallery", make_model())
    hit = again.search(picture(1), 1)[0]
    assert hit.path == "picture 2"
    with pytest.raises(ValueError, match="picture 2: no such file"):
        again.image(hit)


def test_saving_elsewhere_copies_and_leaves_the_original(saved, tmp_path):
    again = Gallery.load(tmp_path / "gallery", make_model())
    again.remove("cat/0.jpg")
    again.save(tmp_path / "copy")
    assert len(Gallery.load(tmp_path / "copy", make_model())) == 8
    assert len(Gallery.load(tmp_path / "gallery", make_model())) == 9


def test_features_of_photos_long_gone_are_cleared_away(saved, photos, tmp_path):
    directory = tmp_path / "gallery"
    for path in [*(photos / "cat").iterdir(), *(photos / "dog").iterdir()]:
        path.unlink()
    gallery = Gallery.build(make_model(), photos, directory, progress=False)
    assert len(gallery) == 2 and gallery.collection.store.digests == set(gallery.photos.digests)


INDEX_SLOWLY = """
import sys, time
sys.path.insert(0, {tests!r})
from fakes.photos import make_model
from sketch_prompt import Gallery

model = make_model()
embed = model.get_photo_features
def slowly(pixel_values, **conditions):
    time.sleep(0.1)
    return embed(pixel_values, **conditions)
model.get_photo_features = slowly
Gallery.build(model, {photos!r}, {output!r}, batch_size=2, flush_seconds=0, progress=False)
"""


def test_a_killed_run_is_completed_without_doing_its_work_again(tmp_path):
    photos = write_photos(tmp_path / "photos", {"a": 30, "b": 30})
    output = tmp_path / "gallery"
    code = INDEX_SLOWLY.format(tests=str(Path(__file__).parents[1]), photos=str(photos), output=str(output))
    process = Program("-c", code)
    while process.poll() is None and len(list(output.glob("features/[!.]*"))) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (output / "gallery.json").exists()
    with pytest.raises(DamagedGalleryError, match="indexing was cut off"):
        Gallery.load(output, make_model())
    model = make_model()
    gallery = Gallery.build(model, photos, output, progress=False)
    assert len(gallery) == 60 and 0 < model.embedded <= 54
    fresh = Gallery.build(make_model(), photos, progress=False)
    np.testing.assert_allclose(gallery.features, fresh.features, atol=1e-6)
    assert Gallery.load(output, make_model()).search(picture(7), 1)[0].path == str(photos / "a" / "7.jpg")


def test_a_run_that_is_killed_while_it_saves_leaves_the_gallery_of_before(
    saved, photos, tmp_path, monkeypatch
):
    expected = found(saved)
    write_photos(photos, {"horse": 2}, first=300)
    for name in (
        "sketch_prompt.gallery.saving.atomic_write",
        "sketch_prompt.gallery.table.atomic_write",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, lambda path, durable: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
        assert found(Gallery.load(tmp_path / "gallery", make_model())) == expected
    model = make_model()
    assert len(Gallery.build(model, photos, tmp_path / "gallery", progress=False)) == 11
    assert model.embedded == 0


def test_building_again_without_options_uses_those_of_the_gallery(photos, tmp_path):
    Gallery.build(
        "mini-frozen-clip", photos, tmp_path / "gallery", index="hnsw", progress=False, device="cpu"
    )
    write_photos(photos, {"horse": 1}, first=300)
    again = Gallery.build(None, photos, tmp_path / "gallery", progress=False, device="cpu")
    assert (again.model.method, again.collection.describe()["index"]) == ("frozen-clip", "hnsw")
    assert (again.changes.added, again.changes.embedded) == (1, 1)
    with pytest.raises(ValueError, match="holds the photos; give the gallery its own folder"):
        Gallery.build(None, photos, photos, progress=False, device="cpu")
