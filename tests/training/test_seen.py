"""A trained lens in the training loop: photos are embedded once, by content, and read by every later run."""

import json

import numpy as np
import pytest
import torch

from sketch_prompt import SketchPromptModel, load_benchmark
from sketch_prompt.models.prompted_clip import encode_vision
from sketch_prompt.training import seen
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import RecipeError


@pytest.fixture
def embedded(monkeypatch):
    """How many images the frozen CLIP embedded for the cache, one entry a forward pass."""
    counts = []
    encode = seen._encode
    monkeypatch.setattr(
        seen,
        "_encode",
        lambda way, pixels, images: counts.append(len(images)) or encode(way, pixels, images),
    )
    return counts


@pytest.fixture
def trained_lens(recipe, tmp_path):
    """Builds a recipe of a trained lens."""

    def build(**sections):
        model = {"method": "sketch-lens", "train_tower": True, "lens": "none"} | sections.pop("model", {})
        data = {"feature_cache": str(tmp_path / "features")} | sections.pop("data", {})
        return recipe(model=model, data=data, **sections)

    return build


def test_a_trained_lens_trains_is_fitted_again_and_shares_the_photos_of_frozen_clip(trained_lens, embedded):
    config = trained_lens(data={"validation_classes": 0})
    result = train(config)
    assert result.steps == 18 and sum(embedded) == 48  # four classes, six sketches and six photos each
    lines = [json.loads(line) for line in (config.output_dir / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    assert set(steps[0]["terms"]) == {"photo_softmax", "pull"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    model = SketchPromptModel.from_pretrained(config.output_dir)
    assert model.adapter.lens_mean is not None and model.photo_method == "frozen-clip"
    frozen = SketchPromptModel.from_base_model("frozen-clip", config.model.base_model).eval()
    pixels = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.get_photo_features(pixels), frozen.get_photo_features(pixels))
        mean = model.adapter.lens_mean
        assert not torch.allclose(
            torch.nn.functional.normalize(frozen.get_sketch_features(pixels) - mean),
            model.get_sketch_features(pixels),
            atol=1e-3,
        )
    embedded.clear()
    again = train(trained_lens(data={"validation_classes": 0}, run={"resume": "never"}))
    assert not embedded  # a second run reads what the first one kept
    assert again.test.metrics == result.test.metrics


def test_a_step_reads_no_photo_and_passes_the_tower_once(trained_lens, monkeypatch):
    passes = []
    from sketch_prompt.models.sketch_lens import modeling_sketch_lens as module

    monkeypatch.setattr(
        module,
        "encode_vision",
        lambda tower, pixels, *rest: passes.append(len(pixels)) or encode_vision(tower, pixels, *rest),
    )
    opened = []
    from sketch_prompt.data import loading

    read = loading.read_image
    monkeypatch.setattr(
        loading, "read_image", lambda source, **kw: opened.append(source) or read(source, **kw)
    )
    config = trained_lens(
        data={"validation_classes": 0}, optimisation={"epochs": 1}, evaluation={"test": False, "baseline": False},
        model={"lens": None},
    )  # fmt: skip
    result = train(config)
    assert passes == [4] * result.steps
    # Beside the sketches of the steps, one sketch and one photo of each class, to know that they can be read.
    assert len(opened) == 4 * result.steps + 2 * 4


def test_features_are_kept_by_content_and_preparation(trained_lens, embedded, sketch_folder):
    train(trained_lens(data={"validation_classes": 0}, optimisation={"epochs": 1}))
    embedded.clear()
    train(
        trained_lens(
            data={"validation_classes": 0}, optimisation={"epochs": 1},
            processor={"sketch_crop_margin": False}, run={"resume": "never"},
        )
    )  # fmt: skip
    assert sum(embedded) == 48


def test_unreadable_images_have_no_features(trained_lens, recipe, tmp_path):
    config = trained_lens()
    model = SketchPromptModel.from_base_model("sketch-lens", config.model.base_model, train_tower=True)
    from sketch_prompt.processing import SketchPromptProcessor

    processor = SketchPromptProcessor.from_base_model(config.model.base_model)
    benchmark = load_benchmark(config.data.benchmark, config.data.data_dir, **config.data.options)
    table = benchmark["train_photo"].select(range(4))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    images = [
        {"path": str(broken), "bytes": None},
        *table.with_format(None).cast_column("image", seen.datasets.Image(decode=False))["image"][1:],
    ]
    table = (
        table.remove_columns("image").add_column("image", images).cast_column("image", seen.datasets.Image())
    )
    found = seen.seen_features(
        model, processor, table, table, torch.arange(9), tmp_path / "f", progress=False
    )
    assert np.isnan(found.sketches[0]).all() and found.sketches[1:].isfinite().all()
    assert found.photos.shape[0] == 3 and found.photos.isfinite().all() and found.mean.isfinite().all()


def test_augmentation_is_refused_with_photos_that_are_embedded_once(trained_lens):
    with pytest.raises(RecipeError, match="cannot be augmented"):
        train(trained_lens(data={"augmentation": {"flip": 0.5}}))
