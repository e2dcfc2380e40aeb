"""A lens on the sketch features, on every method alike."""

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import images
from sketch_prompt import SketchPromptConfig
from sketch_prompt.lens import Lens
from sketch_prompt.models.auto import model_class
from sketch_prompt.testing import MethodContract


def contract(method):
    return type("Contract", (MethodContract,), {"model_class": model_class(method)})()


def some_lens(model, seed=0):
    """A lens for the features of a model, with a map that turns them."""
    dim = model.get_photo_features(images(1)).shape[1]
    random = torch.Generator().manual_seed(seed)
    mean = 0.1 * torch.randn(dim, generator=random, dtype=torch.float64)
    return Lens(mean, torch.randn(dim, dim, generator=random, dtype=torch.float64), 1.0, drawings=9)


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
