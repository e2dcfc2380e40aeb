"""The trained lens: the tower that reads sketches trains, photos stay the frozen CLIP's, and a step is one pass."""

from typing import ClassVar

import pytest
import torch
from torch.nn.functional import log_softmax, normalize
from torch.testing import assert_close

from fakes.clip import images, tiny_clip
from sketch_prompt import FrozenClipModel, SketchLensModel, SketchPromptConfig
from sketch_prompt.gallery.fingerprint import describe_model
from sketch_prompt.lens import clarity
from sketch_prompt.losses import photo_softmax_loss
from sketch_prompt.models.outputs import SeenFeatures
from sketch_prompt.processing import SketchPromptImageProcessor, SketchPromptProcessor
from sketch_prompt.testing import MethodContract


class TestTrainedLens(MethodContract):
    """The contract with `train_tower`."""

    model_class = SketchLensModel
    fields: ClassVar = {"train_tower": True}


class TestTrainedLensWithMargins(MethodContract):
    """The contract with margins by how clear a drawing is."""

    model_class = SketchLensModel
    fields: ClassVar = {"train_tower": True, "ambiguity_margin": 0.1}


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def trained():
    return TestTrainedLens().train_a_little(steps=3)


def test_training_moves_sketches_and_leaves_photos_bit_equal_to_frozen_clip():
    model = trained()
    frozen = FrozenClipModel(SketchPromptConfig("frozen-clip", base_model=None), backbone=tiny_clip()).eval()
    with torch.no_grad():
        assert torch.equal(model.get_photo_features(images(4)), frozen.get_photo_features(images(4)))
        moved = model.get_sketch_features(images(4)) - frozen.get_sketch_features(images(4))
    assert moved.abs().max() > 1e-4


def test_a_gallery_of_frozen_clip_takes_a_trained_lens_and_one_with_classes_for_its_own():
    processor = SketchPromptProcessor(SketchPromptImageProcessor(size=16))
    model = trained()
    assert model.adapter.class_embeddings is not None
    frozen = FrozenClipModel(SketchPromptConfig("frozen-clip", base_model=None), backbone=model.clip)
    assert describe_model(model, processor) == describe_model(frozen, processor)


@pytest.mark.parametrize(("smoothing", "margin"), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.2)])
def test_the_softmax_over_photos_is_that_of_a_loop(smoothing, margin):
    sketches, photos = unit(3, 8), unit(10, 8, seed=1)
    labels, photo_labels = torch.tensor([0, 1, 1]), torch.arange(10) % 3
    margins = margin * torch.tensor([0.5, 1.0, 1.5])
    total = 0.0
    for row in range(3):
        right = photo_labels == labels[row]
        scores = torch.stack([sketches[row] @ photo for photo in photos]) - margins[row] * right
        logs = log_softmax(scores / 0.05, 0)
        target = (1 - smoothing) * right / right.sum() + smoothing / 10
        total -= float((target * logs).sum()) / 3
    right = labels[:, None] == photo_labels
    value = photo_softmax_loss(sketches, photos, right, 0.05, smoothing, margins if margin else None)
    assert value.item() == pytest.approx(total, rel=1e-5)


def test_a_sketch_without_a_photo_of_its_class_is_refused():
    with pytest.raises(ValueError, match="no photo of its class"):
        photo_softmax_loss(unit(1, 4), unit(2, 4), torch.zeros(1, 2, dtype=torch.bool), 0.1)


def seen_of(model, count=6):
    """What `begin_training` is given for some noise of three classes."""
    with torch.no_grad():
        features = [model._embed(images(count, seed)) for seed in (0, 50)]
    labels = torch.arange(count) % 3
    return SeenFeatures(features[0], labels, features[1], labels)


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_a_step_after_begin_training_reads_sketches_alone_and_computes_the_losses_over_all_seen_photos(
    monkeypatch, margin
):
    contract = TestTrainedLens()
    contract.fields = {"train_tower": True, "ambiguity_margin": margin}
    model = contract.ready().train()
    seen = seen_of(model)
    model.begin_training(seen)
    monkeypatch.setattr(model, "_embed", None)  # the frozen CLIP is not asked again
    rows = torch.tensor([4, 1])
    output = model(images(6)[rows], labels=seen.sketch_labels[rows], sketch_rows=rows)
    assert output.photo_embeds is None
    queries = normalize(output.sketch_embeds - seen.sketches.mean(0), dim=1)
    margins = clarity(seen.sketches, model.adapter.class_embeddings, seen.sketch_labels)
    margins = margin * (margins / margins.mean())[rows]
    right = seen.sketch_labels[rows][:, None] == seen.photo_labels
    expected = photo_softmax_loss(queries, seen.photos, right, 0.05, 0.1, margins)
    assert_close(output.loss_terms["photo_softmax"], expected)
    pull = (1 - (output.sketch_embeds * seen.sketches[rows]).sum(1)).mean()
    assert_close(output.loss_terms["pull"], pull)
    assert_close(output.loss, expected + pull)
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.trainable_parameters().values())


def test_photos_are_needed_without_begin_training():
    model = TestTrainedLens().ready().train()
    with pytest.raises(ValueError, match="begin_training"):
        model(images(2), labels=torch.zeros(2, dtype=torch.long))
