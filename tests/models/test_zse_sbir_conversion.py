"""The ZSE-SBIR reference checkpoint, converted, computes what the reference computed."""

import copy
import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fakes import parity
from sketch_prompt import SketchPromptModel
from sketch_prompt.models.conversion import from_reference
from sketch_prompt.models.zse_sbir.conversion_zse_sbir import reference_names

DRAWN = ("sketch", "sketch_negative"), ("photo", "photo_negative")


@pytest.fixture(scope="module")
def case():
    return parity.load_case("zse_sbir")


@pytest.fixture(scope="module")
def expected():
    return load_file(parity.FIXTURES / "zse_sbir" / "expected.safetensors")


@pytest.fixture(scope="module")
def state(case):
    return {name: torch.from_numpy(value) for name, value in case["weights"].items()}


@pytest.fixture(scope="module")
def model(state):
    return from_reference("zse-sbir", state)


@pytest.fixture(scope="module")
def tokens(model, case):
    """Tokens of the recorded sketches and photos, matching ones first."""
    with torch.no_grad():
        return [
            model.encode_tokens(torch.cat([torch.from_numpy(case["inputs"][name]) for name in names]), domain)
            for domain, names in zip(("sketch", "photo"), DRAWN)
        ]


def test_retrieval_tokens_equal_the_references(tokens, expected):
    for domain, values in zip(("sketch", "photo"), tokens):
        assert values.shape == (4, 197, 768)
        assert_close(values[:, 0], expected[f"{domain}_retrieval_tokens"], atol=1e-5, rtol=0)


def test_class_tokens_and_relation_scores_of_aligned_pairs_equal_the_references(model, tokens, expected):
    with torch.no_grad():
        pairs = model.adapter.matcher(*tokens)
    classes = torch.cat([pairs.sketch_class, pairs.photo_class])
    assert_close(classes, expected["cls_tokens"], atol=1e-5, rtol=0)
    assert_close(pairs.scores[:, None], expected["relation_scores"], atol=1e-6, rtol=0)


def test_pair_scores_equal_the_references(model, tokens, expected):
    with torch.no_grad():
        assert_close(model.score_pairs(*tokens), expected["pair_scores"], atol=1e-6, rtol=0)


def test_both_losses_equal_the_references(model, case):
    sketch, mismatched, photo, negative = (
        torch.from_numpy(case["inputs"][name]) for names in DRAWN for name in names
    )
    with torch.no_grad():
        out = model(sketch, photo, negative, mismatched_sketch_pixel_values=mismatched)
    # distances of about 19, of which float32 knows the next 2e-6
    assert abs(2 * out.loss_terms["triplet"].item() - case["loss_triplet"]) < 1e-5
    assert abs(4 * out.loss_terms["relation"].item() - case["loss_relation"]) < 1e-6
    assert_close(out.loss.item(), case["loss_triplet"] + case["loss_relation"], atol=1e-5, rtol=0)


def theirs(tensors, ours):
    """What the reference packs into one tensor, (P,)."""
    return torch.cat([tensors[name].detach() for name in ours]).flatten()


def test_a_training_step_without_dropout_is_the_references(model, case):
    """Gradients and one step of AdamW, recorded from the reference code in eval mode: norms, and six places each."""
    recorded = json.loads((parity.FIXTURES / "zse_sbir" / "training_step.json").read_text())
    trained = copy.deepcopy(model).train()
    assert trained.config.dropout == trained.config.vision_dropout == 0
    sketch, mismatched, photo, negative = (
        torch.from_numpy(case["inputs"][name]) for names in DRAWN for name in names
    )
    optimizer = torch.optim.AdamW(trained.trainable_parameters().values(), lr=1e-5, weight_decay=1e-2)
    out = trained(sketch, photo, negative, mismatched_sketch_pixel_values=mismatched)
    out.loss.backward()
    optimizer.step()
    values = trained.trainable_parameters()
    gradients = {name: value.grad for name, value in values.items()}
    names = reference_names(model.config)
    assert set(names) == set(recorded["parameters"])
    for name, facts in recorded["parameters"].items():
        gradient = theirs(gradients, names[name])
        assert gradient.norm().item() == pytest.approx(facts["gradient_norm"], rel=1e-3, abs=1e-7), name
        expected, scale = torch.tensor(facts["gradient"]), gradient.abs().max().item()
        assert_close(gradient[facts["places"]], expected, atol=1e-3 * scale + 1e-7, rtol=1e-3)
        # where the gradient is next to nothing, its sign, and so the step's, is rounding
        clear = expected.abs() > 1e-6
        after, step = theirs(values, names[name])[facts["places"]], torch.tensor(facts["after_step"])
        assert_close(after[clear], step[clear], atol=1e-6, rtol=0)


def test_features_are_the_retrieval_tokens_normalised(model, case, expected):
    with torch.no_grad():
        features = model.get_sketch_features(torch.from_numpy(case["inputs"]["sketch"]))
    theirs = torch.nn.functional.normalize(expected["sketch_retrieval_tokens"][:2], dim=-1)
    assert_close(features, theirs, atol=1e-6, rtol=0)


def test_every_tensor_is_converted_or_reported(state, model, caplog):
    with caplog.at_level(logging.WARNING, logger="sketch_prompt"):
        from_reference("zse-sbir", {"model": {f"module.{name}": value for name, value in state.items()}})
    unused = {name for name in state if name.startswith("ca.encoder.layers.")}
    assert all(name in caplog.text for name in unused)
    names = reference_names(model.config)
    assert set(names) == set(state) - unused
    ours = [name for parts in names.values() for name in parts]
    assert sorted(ours) == sorted(model.trainable_parameters())


def test_missing_and_misshapen_tensors_are_named(state):
    for name in ("sa.model.cls", "conv2d.bias", "ca.encoder.layer2.0.sublayer.1.norm.b"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            from_reference("zse-sbir", {k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match=r"size mismatch for rn\.rn\.3\.weight: \(5, 343\)"):
        from_reference("zse-sbir", {**state, "rn.rn.3.weight": torch.zeros(5, 343)})


@pytest.mark.parametrize(("patch", "grid", "depth"), [(16, 4, 3), (8, 6, 1), (16, 7, 1)])
def test_other_sizes_are_read_off_the_tensors(state, patch, grid, depth):
    width, channels = 64, [8, 16, 32][: patch.bit_length() - 2]
    smaller = shrink(state, width, patch, grid, depth, channels)
    model = from_reference("zse-sbir", smaller)
    tower = model.config.vision_config
    assert (tower.patch_size, tower.image_size, tower.num_hidden_layers) == (patch, patch * grid, depth)
    assert tower.num_attention_heads == 1 and tower.intermediate_size == 96
    images = torch.randn(2, 3, patch * grid, patch * grid)
    with torch.no_grad():
        tokens = model.encode_tokens(images, "photo")
        assert tokens.shape == (2, 1 + grid**2, width)
        assert model.score_pairs(tokens, tokens).shape == (2, 2)


def shrink(state, width, patch, grid, depth, channels):
    """The recorded weights, cut to other sizes."""
    anchors = (grid // 2) ** 2
    sizes = {768: width, 2304: 3 * width, 3072: 96, 197: 1 + grid**2, 1024: 48, 512: 24}
    sizes |= {2401: anchors**2, 343: round(anchors**1.5), 49: anchors}
    smaller = {}
    for name, value in state.items():
        if "scale.seq" in name:
            continue
        shape = [patch if n == 16 else sizes.get(n, n) for n in value.shape]
        smaller[name] = value[tuple(slice(n) for n in shape)]
        if ".layers.0.0." in name and name.startswith("sa."):
            for layer in range(depth):
                smaller[name.replace("layers.0.0", f"layers.{layer}.0")] = smaller[name]
    for name in [name for name in smaller if name.startswith("sa.") and ".layers.1.0." in name and depth < 2]:
        del smaller[name]
    widths = [3, *channels, width]
    for i, (before, after) in enumerate(zip(widths, widths[1:])):
        kernel = 3 if i else 7
        smaller[f"sa.model.scale.seq.{2 * i}.weight"] = torch.randn(after, before, kernel, kernel) * 0.1
    return smaller


def test_a_converted_model_saves_and_loads_to_the_same_scores(model, tokens, case, tmp_path):
    model.save_pretrained(tmp_path)
    again = SketchPromptModel.from_pretrained(tmp_path)
    assert again.config.backbone == "vit" and again.clip is None and not again.training
    photos = torch.from_numpy(case["inputs"]["photo"])
    with torch.no_grad():
        assert torch.equal(again.encode_tokens(photos, "photo"), tokens[1][:2])
        assert torch.equal(again.score_pairs(*tokens), model.score_pairs(*tokens))
    processor = again.processor.image_processor
    assert processor.size == 224 and processor.photo_resize == "squash" and processor.sketch_crop_margin
    with pytest.raises(ValueError, match="no CLIP, and so no text features"):
        again.get_text_features(torch.zeros(1, 4, dtype=torch.long))
