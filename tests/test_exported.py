"""Exported encoders in place of the model: the same gallery, which says what made it."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from fakes.clip import IMAGE_SIZE, tiny_clip
from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery, SketchPromptConfig, SketchPromptModel, SketchPromptProcessor
from sketch_prompt.cli import app
from sketch_prompt.export import export_onnx
from sketch_prompt.exported import ExportedModel
from sketch_prompt.processing import SketchPromptImageProcessor

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "some", {"cat": 6, "dog": 6})


@pytest.fixture(scope="module")
def model():
    config = SketchPromptConfig("clip-at", base_model=None)
    model = SketchPromptModel.from_config(config, backbone=tiny_clip(0)).eval()
    model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=IMAGE_SIZE))
    return model


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("onnx")
    for name in ("full", "int8"):
        export_onnx(model, root / name, int8=name == "int8")
    return root


@pytest.fixture(scope="module")
def by_torch(model, photos):
    return Gallery.build(model, photos, progress=False)


def saved_model(folder):
    return json.loads((folder / "gallery.json").read_text())["model"]


def test_a_gallery_of_exported_encoders_is_that_of_the_model(photos, folders, by_torch, tmp_path):
    gallery = Gallery.build(str(folders / "full"), photos, tmp_path / "gallery", progress=False)
    np.testing.assert_allclose(gallery.features, by_torch.features, atol=1e-4)
    assert saved_model(tmp_path / "gallery")["fingerprint"]["engine"] == "onnx"
    ours, theirs = gallery.search(picture(3), 5), by_torch.search(picture(3), 5)
    assert [hit.path for hit in ours] == [hit.path for hit in theirs]
    again = Gallery.load(tmp_path / "gallery")
    assert isinstance(again.model, ExportedModel) and again.refresh(progress=False).embedded == 0


@pytest.mark.parametrize("first", ["onnx", "torch"])
def test_encoders_and_model_search_each_others_galleries_without_a_word(
    first, model, photos, folders, tmp_path
):
    one, other = (folders / "full", model) if first == "onnx" else (model, folders / "full")
    Gallery.build(one, photos, tmp_path / "gallery", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = Gallery.load(tmp_path / "gallery", other)
    assert len(opened.search(picture(3), 3)) == 3
    write_photos(tmp_path / "more", {"cow": 1}, first=50)
    assert opened.add(tmp_path / "more" / "cow", progress=False).embedded == 1


def test_a_gallery_in_eight_bits_says_so_and_takes_no_photos_in_others(
    model, photos, folders, by_torch, tmp_path
):
    gallery = Gallery.build(folders / "int8", photos, tmp_path / "gallery", progress=False)
    assert (gallery.features * by_torch.features).sum(1).min() > 0.99
    assert saved_model(tmp_path / "gallery")["fingerprint"]["computed_in"] == "int8"
    with pytest.warns(UserWarning, match="were embedded in int8, drawings are in float32"):
        opened = Gallery.load(tmp_path / "gallery", model)
    assert len(opened.search(picture(3), 4)) == 4
    write_photos(tmp_path / "more", {"cow": 1}, first=50)
    with pytest.raises(ValueError, match="this model embeds in float32: add photos with the model"):
        opened.add(tmp_path / "more" / "cow", progress=False)
    opened.save(tmp_path / "gallery")
    assert saved_model(tmp_path / "gallery")["fingerprint"]["computed_in"] == "int8"


def test_features_in_eight_bits_do_not_depend_on_the_batch(photos, folders):
    galleries = (
        Gallery.build(folders / "int8", photos, batch_size=size, progress=False).features for size in (1, 5)
    )
    np.testing.assert_array_equal(*galleries)


def test_another_models_gallery_is_refused(photos, folders, tmp_path):
    Gallery.build(make_model(), photos, tmp_path / "gallery", progress=False)
    with pytest.raises(ValueError, match="made with another model"):
        Gallery.load(tmp_path / "gallery", folders / "full")


def test_what_encoders_cannot_do_says_who_can(photos, folders):
    gallery = Gallery.build(folders / "full", photos, progress=False)
    with pytest.raises(ValueError, match=r"embed no words; open the gallery with the model"):
        gallery.search(text="a photo of a cat")
    with pytest.raises(ValueError, match=r"cannot explain; open the gallery with the model"):
        gallery.explain(picture(3), gallery.photos.paths[0])
    with pytest.raises(ValueError, match="has no re-ranker"):
        gallery.search(picture(3), rerank=3)
    with pytest.raises(ValueError, match="contain their CLIP"):
        Gallery(folders / "full", base_model="mini-clip")


@pytest.mark.parametrize("content", ["{", "[]", '{"method": "clip-at"}', None])
def test_encoders_without_their_facts_are_refused(content, folders, tmp_path):
    copy = shutil.copytree(folders / "full", tmp_path / "copy")
    (copy / "exported.json").unlink()
    if content is not None:
        (copy / "exported.json").write_text(content)
    with pytest.raises(ValueError, match="Export them once more: sketch-prompt export"):
        Gallery(copy)


def test_the_commands_index_and_search_with_an_exported_folder(photos, folders, tmp_path):
    gallery = str(tmp_path / "gallery")
    index = ["index", str(photos), "-o", gallery, "-m", str(folders / "int8"), "--json"]
    done = CliRunner().invoke(app, index)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["encoder"] == {"engine": "onnx", "dtype": "int8"}
    done = CliRunner().invoke(app, ["search", gallery, str(next(photos.rglob("*.jpg"))), "--top-k", "3"])
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 3, done.output


def test_a_search_with_exported_encoders_imports_nothing_of_transformers(photos, folders, tmp_path):
    """Nor what only other searches need; this is why it starts in seconds."""
    Gallery.build(folders / "full", photos, tmp_path / "gallery", progress=False)
    picture(3).save(tmp_path / "drawing.png")
    search = ["search", str(tmp_path / "gallery"), str(tmp_path / "drawing.png")]
    code = (
        f"import sys; from sketch_prompt.cli import app; app({search!r}, standalone_mode=False); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *hits, imported = done.stdout.splitlines()
    others = {
        "transformers",
        "tokenizers",
        "accelerate",
        "scipy",
        "pandas",
        "datasets",
        "faiss",
        "matplotlib",
    }
    assert len(hits) == 12 and not others & set(imported.split())
