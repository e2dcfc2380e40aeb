"""Every method of this package passes the contract's tests; and what concerns several methods, or one, at once."""

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import DIM, WIDTH, images, tiny_clip
from sketch_prompt import SketchPromptConfig, SketchPromptModel
from sketch_prompt.models import class_prefix, method_folders
from sketch_prompt.models.auto import model_class
from sketch_prompt.testing import MethodContract

METHODS = sorted(method_folders())
CONTRACTS = {}
for _method, _folder in method_folders().items():
    _name = f"Test{class_prefix(_folder)}"
    CONTRACTS[_method] = type(_name, (MethodContract,), {"model_class": model_class(_method)})
    globals()[_name] = CONTRACTS[_method]

# Options that change how a method embeds or what it trains; the contract holds with them too.
VARIANTS = {
    "ClipAtDeep": ("clip-at", {"prompt_depth": 2, "prompt_init": "mean_token"}),
    "ClipAtConditional": ("clip-at", {"prompt_kind": "conditional"}),
    "ClipAtMultimodal": ("clip-at", {"prompt_kind": "multimodal", "prompt_depth": 2}),
    "ClipAtPromptsAlone": ("clip-at", {"trainable": "prompts"}),
    "ClipAtFineTuned": ("clip-at", {"trainable": "vision", "n_prompts": 0, "layer_norms": "separate"}),
    "ClipAtProbe": ("clip-at", {"trainable": "prompts", "n_prompts": 0, "linear_probe": True}),
    "SplipOfImages": ("splip", {"text_prompt_source": "image", "image_prompt_classes": 2}),
    "SplipAtTheMeanToken": ("splip", {"prompt_init": "mean_token", "patch_shuffling_weight": 1.0}),
}
for _name, (_method, _fields) in VARIANTS.items():
    globals()[f"Test{_name}"] = type(f"Test{_name}", (CONTRACTS[_method],), {"fields": _fields})


@pytest.mark.parametrize("method", METHODS)
def test_fused_parts_are_side_by_side_each_as_wide_as_the_clips_own_features(method):
    with torch.no_grad():
        assert CONTRACTS[method]().build().get_photo_features(images(2)).shape[1] % DIM == 0


def test_frozen_clip_is_the_clip_itself():
    model = CONTRACTS["frozen-clip"]().build()
    with torch.no_grad():
        theirs = model.clip.get_image_features(pixel_values=images(4)).pooler_output
        assert_close(model.get_photo_features(images(4)), torch.nn.functional.normalize(theirs, dim=-1))
        assert torch.equal(model.get_photo_features(images(4)), model.get_sketch_features(images(4)))
    assert not model.trainable_parameters()
    with pytest.raises(ValueError, match="nothing to train"):
        model(images(2), images(2), images(2), labels=torch.zeros(2))


def test_methods_share_one_backbone_without_touching_each_other(tmp_path):
    contracts = {method: CONTRACTS[method]() for method in METHODS}
    models = {method: contract.train_a_little() for method, contract in contracts.items()}
    expected = {method: MethodContract.features(model) for method, model in models.items()}
    for method, model in models.items():
        model.save_pretrained(tmp_path / method, include_backbone=True)
    host = tiny_clip()
    loaded = {
        method: SketchPromptModel.from_pretrained(tmp_path / method, backbone=host) for method in METHODS
    }
    for method in [*METHODS, *reversed(METHODS)]:
        assert torch.equal(MethodContract.features(loaded[method]), expected[method])
    with pytest.raises(ValueError, match="share the CLIP across methods"):
        loaded["clip-at"].load_adapter(tmp_path / "frozen-clip", adapter_name="frozen")


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_method_is_an_error_naming_the_nearest(method):
    with pytest.raises(ValueError, match=r"did you mean '" + method):
        SketchPromptConfig(method + "x")


def test_width_of_the_backbone_decides_the_width_of_the_prompts():
    assert CONTRACTS["clip-at"]().build().adapter.sketch_prompts.shape == (3, WIDTH)
