"""A lens on the sketch features, on every method alike."""

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import images
from sketch_prompt import SketchPromptConfig, SketchPromptModel
from sketch_prompt.lens import Lens
from sketch_prompt.models import method_folders
from sketch_prompt.models.auto import model_class
from sketch_prompt.testing import MethodContract

METHODS = sorted(method_folders())


def contract(method):
    return type("Contract", (MethodContract,), {"model_class": model_class(method)})()


def some_lens(model, seed=0):
    """A lens for the features of a model, with a map that turns them."""
    dim = model.get_photo_features(images(1)).shape[1]
    random = torch.Generator().manual_seed(seed)
    mean = 0.1 * torch.randn(dim, generator=random, dtype=torch.float64)
    return Lens(mean, torch.randn(dim, dim, generator=random, dtype=torch.float64), 1.0, drawings=9)


@pytest.mark.parametrize("method", METHODS)
def test_any_method_carries_a_lens_that_changes_queries_and_no_photo(method, tmp_path):
    model = contract(method).train_a_little()
    with torch.no_grad():
        plain, photos = model.get_sketch_features(images(3)), model.get_photo_features(images(3))
        lens = some_lens(model)
        model.set_lens(lens, "photos", ["cup", "tent"])
        seen = model.get_sketch_features(images(3))
        assert_close(seen, lens(plain))
        assert torch.equal(model.get_photo_features(images(3)), photos)
        assert "tent" in model.config.seen_classes
        model.save_pretrained(tmp_path)
        loaded = SketchPromptModel.from_pretrained(tmp_path)
        assert_close(loaded.get_sketch_features(images(3)), seen, atol=1e-6, rtol=0)
        assert torch.equal(loaded.get_photo_features(images(3)), photos)
        assert loaded.config.lens == "photos" and loaded.config.lens_classes == ["cup", "tent"]
        assert loaded.config.lens_fit["drawings"] == 9
        if model.has_reranker:
            tokens = model.encode_tokens(images(3), "sketch")
            assert_close(model.pool_tokens(tokens, "sketch"), seen)
        loaded.set_lens(None)
        assert_close(loaded.get_sketch_features(images(3)), plain, atol=1e-6, rtol=0)
        assert loaded.config.lens_classes is None


def test_each_adapter_has_its_own_lens():
    model = contract("clip-at").train_a_little()
    first = some_lens(model)
    with torch.no_grad():
        plain = model.get_sketch_features(images(3))
        model.set_lens(first, "none")
        model.add_adapter(type(model.config).from_dict(model.config.to_dict()), "other")
        other = model.get_sketch_features(images(3))
        model.set_adapter("default")
        assert_close(model.get_sketch_features(images(3)), first(plain))
        model.set_adapter("other")
        assert_close(model.get_sketch_features(images(3)), other)


def test_an_unknown_target_of_a_lens_is_refused():
    with pytest.raises(ValueError, match=r"'lens' expected one of .*photos"):
        SketchPromptConfig("sketch-lens", lens="words")
