"""The contract, checked for every method: a new one is tested by adding its name."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoConfig, AutoModel

from fakes.clip import DIM, IMAGE_SIZE, WIDTH, WordProcessor, images, tiny_clip, token_ids
from sketch_prompt import SketchPromptConfig, SketchPromptModel
from sketch_prompt.models.auto import MODELS, model_class

METHODS = sorted(MODELS)
TRAINED = sorted(set(METHODS) - {"frozen-clip"})
CLASSES = ["cup", "cat", "hot air balloon"]


def build(method, seed=0, vision=None, **fields):
    clip = tiny_clip(**vision or {})
    torch.manual_seed(seed)
    return SketchPromptModel.from_config(
        SketchPromptConfig(method, base_model=None, **fields), backbone=clip
    ).eval()


def trained(method, seed=0, steps=2, **fields):
    """A model whose adapter has moved away from its initialisation."""
    model = build(method, seed, **fields)
    if method == "frozen-clip":
        return model
    model.set_classes(CLASSES, WordProcessor())
    optimizer = torch.optim.Adam(list(model.trainable_parameters().values()), lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
    return model.eval()


def loss(model, seed=0, size=IMAGE_SIZE):
    batch = {
        "sketch_pixel_values": images(3, seed, size),
        "photo_pixel_values": images(3, seed + 10, size),
        "negative_pixel_values": images(3, seed + 20, size),
        "labels": torch.arange(3),
        "negative_labels": (torch.arange(3) + 1) % 3,
    }
    torch.manual_seed(seed)  # a method may draw numbers (dropout, permutations)
    return model.train()(**batch).loss


def features(model):
    with torch.no_grad():
        return torch.cat([model.get_sketch_features(images(3)), model.get_photo_features(images(3))])


@pytest.mark.parametrize("method", METHODS)
def test_features_are_unit_vectors_that_do_not_depend_on_the_batch(method):
    model = build(method)
    assert model.method == method
    with torch.no_grad():
        for embed in (model.get_sketch_features, model.get_photo_features):
            together = embed(images(8))
            # Fused parts are side by side, each as wide as the CLIP's own features.
            assert together.shape[0] == 8 and together.shape[1] % DIM == 0
            assert_close(together.norm(dim=-1), torch.ones(8))
            assert_close(torch.cat([embed(one) for one in images(8).split(1)]), together, atol=1e-6, rtol=0)
        text = model.get_text_features(token_ids(4))
        assert_close(text.norm(dim=-1), torch.ones(4))


def test_frozen_clip_is_the_clip_itself():
    model = build("frozen-clip")
    with torch.no_grad():
        theirs = model.clip.get_image_features(pixel_values=images(4)).pooler_output
        assert_close(model.get_photo_features(images(4)), torch.nn.functional.normalize(theirs, dim=-1))
        assert torch.equal(model.get_photo_features(images(4)), model.get_sketch_features(images(4)))
    assert not model.trainable_parameters()
    with pytest.raises(ValueError, match="nothing to train"):
        model(images(2), images(2), images(2), labels=torch.zeros(2))


@pytest.mark.parametrize("method", TRAINED)
def test_gradient_reaches_exactly_what_is_named_trainable(method):
    model = build(method)
    model.set_classes(CLASSES, WordProcessor())
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    loss(model).backward()
    with_gradient = {id(p) for p in model.parameters() if p.grad is not None}
    named = {id(p) for p in model.trainable_parameters().values()}
    assert with_gradient == named
    assert {id(p) for group in model.parameter_groups() for p in group["params"]} == named
    assert {id(p) for p in model.parameters() if p.requires_grad} == named
    torch.optim.SGD(model.parameter_groups(), lr=1.0).step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, frozen[name])}
    assert changed and all(name.startswith("adapters.") for name in changed)


@pytest.mark.parametrize("method", TRAINED)
def test_training_keeps_the_backbone_in_eval_mode_and_brings_the_loss_down(method):
    model = build(method)
    model.set_classes(CLASSES, WordProcessor())
    assert model.train().training and not model.clip.training
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
    history = []
    for _ in range(12):
        optimizer.zero_grad()
        history.append(loss(model))
        history[-1].backward()
        optimizer.step()
    assert history[-1] < history[0]


@pytest.mark.parametrize("method", TRAINED)
def test_gradient_checkpointing_and_bfloat16_train_too(method):
    model = build(method)
    model.set_classes(CLASSES, WordProcessor())
    loss(model).backward()
    plain = {name: p.grad.clone() for name, p in model.trainable_parameters().items()}
    model.zero_grad()
    model.gradient_checkpointing_enable()
    loss(model).backward()
    for name, parameter in model.trainable_parameters().items():
        assert_close(parameter.grad, plain[name], atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(loss(model))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_itself(method, tmp_path):
    model = trained(method)
    known = model.explain(images(1), images(1, seed=1))
    grid = (IMAGE_SIZE // model.patch_size,) * 2
    assert known.method == method and known.sketch_grid == known.photo_grid == grid
    assert known.similarity.shape == (grid[0] ** 2,) * 2 and known.similarity.max() <= 1 + 1e-6
    assert known.sketch_map.shape == known.photo_map.shape == grid
    assert len(known.matches) and (np.diff(known.weights) <= 0).all() and known.weights.min() > 0
    with torch.no_grad():
        features = model.get_sketch_features(images(1)), model.get_photo_features(images(1, seed=1))
    assert known.score == pytest.approx(float((features[0] * features[1]).sum()), abs=1e-5)
    assert not np.array_equal(model.explain(images(1), images(1, seed=2)).similarity, known.similarity)
    with torch.inference_mode():
        assert np.array_equal(model.explain(images(1), images(1, seed=1)).similarity, known.similarity)
    model.save_pretrained(tmp_path, include_backbone=True)
    half = SketchPromptModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.explain(images(1), images(1, seed=1)).similarity.dtype == np.float32


@pytest.mark.parametrize(("size", "patch"), [(16, 8), (40, 8), (56, 8), (36, 8), (48, 16), (42, 14)])
@pytest.mark.parametrize("method", METHODS)
def test_every_patch_grid_trains_and_explains_itself(method, size, patch):
    # odd grids, hardly any patches, and (36, 8): a border that is no whole patch
    model = build(method, vision={"image_size": size, "patch_size": patch})
    model.set_classes(CLASSES, WordProcessor())
    if method in TRAINED:
        value = loss(model, size=size)
        value.backward()
        assert torch.isfinite(value)
    known = model.eval().explain(images(1, 0, size), images(1, 1, size))
    assert known.sketch_map.shape == known.photo_map.shape == (size // patch,) * 2


@pytest.mark.parametrize("include_backbone", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_saving_and_loading_gives_bit_equal_features(method, include_backbone, tmp_path):
    model = trained(method)
    model.clip.save_pretrained(tmp_path / "clip")
    model.config.base_model = str(tmp_path / "clip")
    model.save_pretrained(tmp_path / "saved", include_backbone=include_backbone)
    expected = features(model)
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {"config.json", "sketch_prompt_model.py", "README.md"} <= files
    assert "adapter_config.json" not in files
    assert ("model.safetensors" in files) == include_backbone
    for load in (SketchPromptModel, AutoModel, model_class(method)):
        again = load.from_pretrained(tmp_path / "saved")
        assert type(again) is type(model) and not again.training
        assert torch.equal(features(again), expected)
        assert again.config.class_names == model.config.class_names
    assert AutoConfig.from_pretrained(tmp_path / "saved").method == method
    shared = SketchPromptModel.from_pretrained(tmp_path / "saved", backbone=model.clip)
    assert torch.equal(features(shared), expected) and shared.clip is model.clip


@pytest.mark.parametrize("method", TRAINED)
def test_several_adapters_live_on_one_backbone(method, tmp_path):
    first, second = trained(method, seed=1), trained(method, seed=2, steps=4)
    for name, model in (("first", first), ("second", second)):
        model.save_pretrained(tmp_path / name, include_backbone=True)
    expected = {"default": features(first), "other": features(second)}
    model = SketchPromptModel.from_pretrained(tmp_path / "first")
    model.load_adapter(tmp_path / "second", adapter_name="other")
    assert model.active_adapter == "other" and model.active_adapters() == ["other"]
    for name in ("other", "default", "other"):
        model.set_adapter(name)
        assert torch.equal(features(model), expected[name])
    with pytest.raises(ValueError, match=r"no adapter 'third'; loaded: default, other"):
        model.set_adapter("third")
    with pytest.raises(ValueError, match="already"):
        model.load_adapter(tmp_path / "second", adapter_name="other")
    model.set_adapter("default")
    model.delete_adapter("other")
    assert torch.equal(features(model), expected["default"])
    assert not any("other" in name for name, _ in model.named_parameters())


def test_methods_share_one_backbone_without_touching_each_other(tmp_path):
    models = {method: trained(method) for method in METHODS}
    expected = {method: features(model) for method, model in models.items()}
    for method, model in models.items():
        model.save_pretrained(tmp_path / method, include_backbone=True)
    host = tiny_clip()
    loaded = {
        method: SketchPromptModel.from_pretrained(tmp_path / method, backbone=host) for method in METHODS
    }
    for method in [*METHODS, *reversed(METHODS)]:
        assert torch.equal(features(loaded[method]), expected[method])
    with pytest.raises(ValueError, match="share the CLIP across methods"):
        loaded["clip-at"].load_adapter(tmp_path / "frozen-clip", adapter_name="frozen")


@pytest.mark.parametrize("method", METHODS)
def test_attention_implementation_can_be_chosen_and_changed(method, tmp_path):
    model = trained(method)
    expected = features(model)
    model.save_pretrained(tmp_path, include_backbone=True)
    eager = SketchPromptModel.from_pretrained(tmp_path, attn_implementation="eager")
    assert eager.clip.vision_model.config._attn_implementation == "eager"
    assert_close(features(eager), expected, atol=1e-5, rtol=0)
    eager.set_attn_implementation("sdpa")
    assert eager.clip.vision_model.config._attn_implementation == "sdpa"
    assert_close(features(eager), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_the_whole_model_loads_in_bfloat16(method, tmp_path):
    model = trained(method)
    model.save_pretrained(tmp_path, include_backbone=True)
    half = SketchPromptModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert torch.cosine_similarity(features(half).float(), features(model)).min() > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_config_key_is_an_error_naming_the_nearest(method):
    with pytest.raises(ValueError, match=r"no key 'base_modell'; did you mean 'base_model'\?"):
        SketchPromptConfig(method, base_modell="x")
    with pytest.raises(ValueError, match=r"did you mean '" + method):
        SketchPromptConfig(method + "x")


def test_width_of_the_backbone_decides_the_width_of_the_prompts():
    assert build("clip-at").adapter.sketch_prompts.shape == (3, WIDTH)
