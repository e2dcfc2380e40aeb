"""Drawings and photos in folders, a lens out."""

import json

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fakes.models import TinyModel, TinyProcessor
from sketch_prompt import SketchLensModel, SketchPromptModel
from sketch_prompt.cli import app
from sketch_prompt.data import drawings
from sketch_prompt.data.drawings import UNNAMED_CLASS, doodle_table, folder_table
from sketch_prompt.embedding.tables import embed
from sketch_prompt.evaluation import SeenClassError, Task, evaluate_model
from sketch_prompt.lens import fit_features
from sketch_prompt.lens.tables import fit_model_lens, lens_tables

N_CLASSES = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """`sketches/` and `photos/` of 24 classes, three pictures each, of one colour a class."""
    root = tmp_path_factory.mktemp("data")
    for number in range(N_CLASSES):
        for domain in ("sketches", "photos"):
            folder = root / domain / f"thing {number:02}"
            folder.mkdir(parents=True)
            for copy in range(3):
                noise = np.random.default_rng([number, copy, domain == "photos"]).integers(0, 60, (32, 32, 3))
                colour = np.random.default_rng(number).integers(0, 195, 3)
                picture = Image.fromarray((noise + colour).astype(np.uint8))
                picture.save(folder / (f"{copy}.png" if domain == "photos" else f"{copy}-1.png"))
    return root


@pytest.fixture
def few_doodles(monkeypatch):
    """The first drawings of the first 25 classes."""
    names = drawings.doodle_classes()[:25]
    read = drawings.read_doodles
    monkeypatch.setattr(drawings, "doodle_classes", lambda: names)
    monkeypatch.setattr(drawings, "read_doodles", lambda chosen: read(chosen, limit=2))
    return names


def clip(path, **fields):
    return SketchLensModel.from_base_model(str(path), **fields).eval()


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_is_a_table_of_classes(folders):
    photos = folder_table(folders / "photos", "photo")
    sketches = folder_table(folders / "sketches", "sketch", photos)
    assert len(photos) == len(sketches) == 3 * N_CLASSES
    assert photos.features["label"].names == [f"thing {n:02}" for n in range(N_CLASSES)]
    assert set(sketches["instance_id"]) == set(photos["instance_id"])
    assert set(sketches["domain"]) == {"sketch"}


def test_images_in_no_class_folder_are_of_one_unnamed_class(folders):
    table = folder_table(folders / "photos" / "thing 03", "photo")
    assert table.features["label"].names == [UNNAMED_CLASS] and len(table) == 3


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        folder_table(tmp_path / "nowhere", "photo")
    with pytest.raises(FileNotFoundError, match="has no images"):
        folder_table(tmp_path, "photo")


def test_doodles_are_a_table(few_doodles):
    table = doodle_table()
    assert len(table) == 50 and table.features["label"].names == list(few_doodles)
    assert table[0]["image"].size == (256, 256)


@pytest.mark.parametrize("targets", ["photos", "text", "both", "instances", "none"])
def test_the_lens_of_a_model_is_that_of_its_features(folders, tiny_clip, targets):
    photos = folder_table(folders / "photos", "photo")
    sketches = folder_table(folders / "sketches", "sketch", photos)
    model = clip(tiny_clip)
    model.fit(sketches, photos, targets, penalty=1.0, progress=False)
    frozen = clip(tiny_clip)
    tables = [
        embed(frozen, table, model.processor, domain, progress=False)
        for domain, table in (("sketch", sketches), ("photo", photos))
    ]
    names = sketches.features["label"].names
    lens = fit_features(
        tables[0].features,
        tables[0].labels,
        names,
        targets,
        photos=tables[1].features,
        photo_labels=tables[1].labels,
        texts=frozen.embed_classes(names, model.processor),
        instance_ids=tables[0].instance_ids,
        photo_instance_ids=tables[1].instance_ids,
        penalty=1.0,
    )
    pixels = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = lens(frozen.get_sketch_features(pixels))
        assert torch.allclose(model.get_sketch_features(pixels), expected, atol=1e-5)
        assert torch.equal(model.get_photo_features(pixels), frozen.get_photo_features(pixels))
    assert model.config.lens == targets and model.config.lens_classes == names
    assert model.config.lens_fit["drawings"] == 3 * N_CLASSES


def test_a_fit_with_ambiguity_is_that_of_its_features_and_is_remembered(
    folders, tiny_clip, tmp_path, monkeypatch
):
    # The tiny CLIP has the same text for every class.
    texts = torch.nn.functional.normalize(
        torch.randn(N_CLASSES, 32, generator=torch.Generator().manual_seed(0)), dim=1
    )
    monkeypatch.setattr(SketchLensModel, "embed_classes", lambda *_: texts)
    sketches = folder_table(folders / "sketches", "sketch")
    model, frozen = clip(tiny_clip), clip(tiny_clip)
    assert model.config.clip_config.projection_dim == texts.shape[1]
    model.fit(sketches, targets="text", penalty=1.0, ambiguity=True, progress=False)
    table = embed(frozen, sketches, model.processor, "sketch", progress=False)
    names = sketches.features["label"].names
    plain, weighted = (
        fit_features(
            table.features, table.labels, names, "text", texts=texts, penalty=1.0, ambiguity=ambiguity
        )
        for ambiguity in (False, True)
    )
    assert torch.allclose(model.adapter.lens_map.double(), weighted.map, atol=1e-5)
    assert torch.allclose(model.adapter.lens_mean.double(), weighted.mean, atol=1e-6)
    assert not torch.allclose(plain.mean, weighted.mean, atol=1e-6)
    model.save_pretrained(tmp_path)
    assert SketchPromptModel.from_pretrained(tmp_path).config.lens_ambiguity is True
    assert model.config.lens_fit["drawings"] == 3 * N_CLASSES


def test_classes_of_the_same_name_are_one_and_left_out_ones_are_gone(folders, tiny_clip):
    sketches = folder_table(folders / "sketches", "sketch")
    names = [name.replace(" ", "_").title() for name in sketches.features["label"].names]
    other = sketches.cast_column("label", datasets.ClassLabel(names=names))
    model = clip(tiny_clip)
    model.fit([sketches, other], targets="none", exclude_classes=["THING-07"], progress=False)
    assert len(model.config.lens_classes) == N_CLASSES - 1
    assert "thing 07" not in model.config.lens_classes
    assert model.config.lens_fit["drawings"] == 6 * (N_CLASSES - 1)


def test_a_class_to_exclude_that_is_in_no_table_is_named(folders, tiny_clip):
    sketches = folder_table(folders / "sketches", "sketch")
    with pytest.warns(UserWarning, match="has the class 'thing 99' to exclude; did you mean 'thing"):
        clip(tiny_clip).fit(sketches, targets="none", exclude_classes=["thing 99"], progress=False)


@pytest.mark.parametrize(("kept", "expected"), [(0, "text"), (5, "both"), (N_CLASSES, "photos")])
def test_targets_are_what_there_is(folders, tiny_clip, kept, expected):
    photos = folder_table(folders / "photos", "photo")
    photos = [photos.select(range(3 * kept))] if kept else []
    model = clip(tiny_clip)
    model.fit(folder_table(folders / "sketches", "sketch"), photos, penalty=1.0, progress=False)
    assert model.config.lens == expected


def test_one_class_is_centred_and_blank_drawings_are_refused(folders, tiny_clip, tmp_path):
    model = clip(tiny_clip)
    model.fit(folder_table(folders / "sketches" / "thing 03", "sketch"), progress=False)
    assert model.adapter.lens_map is None and "only 1 classes" in model.config.lens_fit["notes"][0]
    for number in range(3):
        Image.new("RGB", (32, 32), "white").save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="are they blank"):
        clip(tiny_clip).fit(folder_table(tmp_path, "sketch"), progress=False)


def test_a_clip_that_gives_nan_is_refused(folders, tiny_clip):
    model = clip(tiny_clip)
    torch.nn.init.constant_(model.clip.visual_projection.weight, torch.nan)
    with pytest.raises(ValueError, match="NaN or infinity"):
        model.fit(folder_table(folders / "sketches", "sketch"), targets="none", progress=False)


def test_a_method_that_leaves_its_lens_out_is_found_out(folders):
    with pytest.raises(ValueError, match="through_lens"):
        fit_model_lens(
            TinyModel(),
            TinyProcessor(),
            [folder_table(folders / "sketches", "sketch")],
            targets="none",
            progress=False,
        )


def test_the_command_writes_a_lens_that_the_guard_knows(folders, tiny_clip, tmp_path, few_doodles):
    output = tmp_path / "lens"
    result = run(
        "fit", "--base-model", tiny_clip, "--photos", folders / "photos", "--sketches", folders / "sketches",
        "--exclude-class", few_doodles[0], "-o", output, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["classes"] == N_CLASSES + 24 and facts["targets"] == "both"
    model = SketchPromptModel.from_pretrained(output)
    assert model.method == "sketch-lens" and few_doodles[0] not in model.config.seen_classes
    size = (output / "adapter_model.safetensors").stat().st_size
    assert size < 1.1e6 * (model.config.clip_config.projection_dim / 512) ** 2 + 1000
    photos = folder_table(folders / "photos", "photo")
    tested = datasets.DatasetDict(test_sketch=photos, test_photo=photos)
    with pytest.raises(SeenClassError, match="thing 03"):
        evaluate_model(model, model.processor, tested, Task("sketch-folder"), progress=False)


def test_the_command_takes_a_benchmark_or_says_what_there_is(tiny_clip, tmp_path):
    result = run("fit", "--base-model", tiny_clip, "--sketches", "minni", "-o", tmp_path / "lens")
    assert result.exit_code == 1 and "did you mean 'mini'?" in result.stderr


def test_tables_are_doodles_and_what_the_user_adds(folders, few_doodles):
    sketches, photos = lens_tables()
    assert [len(table) for table in sketches] == [50] and photos == []
    sketches, photos = lens_tables(str(folders / "sketches"), folders / "photos")
    assert [len(table) for table in sketches] == [50, 3 * N_CLASSES]
    assert [len(table) for table in photos] == [3 * N_CLASSES]
    sketches, _ = lens_tables(str(folders / "sketches"), doodles=False)
    assert [len(table) for table in sketches] == [3 * N_CLASSES]
