"""The CLIP-AT reference checkpoint, converted, computes what the reference computed."""

import logging

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fakes import parity
from fakes.reference_names import reference_parameters
from sketch_prompt.models.conversion import from_reference, load_reference_checkpoint


@pytest.fixture(scope="module")
def case():
    return parity.load_case("clip_at_category")


@pytest.fixture(scope="module")
def expected():
    return load_file(parity.FIXTURES / "clip_at_category" / "expected.safetensors")


def state_dict(case):
    return {name: torch.as_tensor(value) for name, value in case["weights"].items()}


def inputs(case):
    return {f"{name}_pixel_values": torch.from_numpy(value) for name, value in case["inputs"].items()}


@pytest.fixture
def model(case):
    return from_reference("clip-at", state_dict(case))


def normalized(features):
    return torch.nn.functional.normalize(features, dim=-1)


def test_features_equal_the_references(model, case, expected):
    batch = inputs(case)
    with torch.no_grad():
        sketch = model.get_sketch_features(batch["sketch_pixel_values"])
        photo = model.get_photo_features(batch["photo_pixel_values"])
        negative = model.get_photo_features(batch["negative_pixel_values"])
        text = model.get_text_features(torch.tensor(case["token_ids"]))
    assert_close(sketch, normalized(expected["sketch_features"]), atol=1e-5, rtol=0)
    assert_close(photo, normalized(expected["photo_features"]), atol=1e-5, rtol=0)
    assert_close(negative, normalized(expected["negative_features"]), atol=1e-5, rtol=0)
    assert_close(text, normalized(expected["text_features"]), atol=1e-5, rtol=0)


def test_unnormalised_features_equal_the_references(model, case, expected):
    from sketch_prompt.models.prompted_clip import encode_vision

    model.set_adapter("default")
    with torch.no_grad():
        tower = encode_vision(
            model.clip.vision_model,
            inputs(case)["sketch_pixel_values"],
            model.adapter.sketch_prompts,
            class_embedding=model.adapter.class_embedding,
        )
        features = model.clip.visual_projection(tower.pooled)
    assert_close(features, expected["sketch_features"], atol=1e-5, rtol=1e-5)


def test_loss_and_gradients_equal_the_references(model, case, expected):
    output = model.train()(**inputs(case))
    assert abs(output.loss.item() - case["loss"]) < 1e-6
    output.loss.backward()
    trained = reference_parameters(model)
    recorded = {name.removeprefix("grad/"): v for name, v in expected.items() if name.startswith("grad/")}
    assert len(recorded) == 4
    for name, value in recorded.items():
        assert_close(trained[name].grad, value, atol=1e-6, rtol=1e-4, msg=name)


def test_trainable_set_is_the_references(model, case):
    trained = reference_parameters(model)
    assert sorted(trained) == sorted(case["trainable_in_reference"])
    weights = state_dict(case)
    for name, parameter in trained.items():
        parts = parameter if isinstance(parameter, tuple) else (parameter,)
        assert sum(part.numel() for part in parts) == weights[name].numel(), name
    n_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert n_trainable == sum(weights[name].numel() for name in case["trainable_in_reference"])


def test_one_adam_step_with_the_references_learning_rates_equals_the_references(model, case, expected):
    model.train()
    rates = {"prompts": 1e-4, "layer_norms": 1e-6, "backbone": 1e-6}
    optimizer = torch.optim.Adam(
        [{**group, "lr": rates[group["name"]]} for group in model.parameter_groups()]
    )
    model(**inputs(case)).loss.backward()
    optimizer.step()
    trained = reference_parameters(model)
    for name in ("sk_prompt", "clip.visual.ln_post.weight"):
        assert_close(trained[name].detach(), expected[f"after_step/{name}"], atol=1e-6, rtol=0)


def test_unused_tensors_are_reported_and_missing_ones_are_errors(case, caplog):
    state = state_dict(case)
    with caplog.at_level(logging.WARNING, logger="sketch_prompt"):
        from_reference("clip-at", {**state, "optimizer_step": torch.tensor(3)})
    assert "optimizer_step" in caplog.text
    for name in ("sk_prompt", "clip.visual.ln_pre.bias", "clip.visual.conv1.weight"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            from_reference("clip-at", {k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="size mismatch"):
        from_reference("clip-at", {**state, "clip.visual.ln_pre.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match="no converter for 'clipat'"):
        from_reference("clipat", state)


def test_a_converted_model_saves_and_loads_to_the_same_features(model, case, tmp_path):
    from sketch_prompt import SketchPromptModel

    model.save_pretrained(tmp_path)
    again = SketchPromptModel.from_pretrained(tmp_path)
    batch = inputs(case)
    with torch.no_grad():
        ours, theirs = (m.get_sketch_features(batch["sketch_pixel_values"]) for m in (model, again))
        text, again_text = (m.get_text_features(torch.tensor(case["token_ids"])) for m in (model, again))
    assert torch.equal(ours, theirs) and torch.equal(text, again_text)
    assert again.processor.image_processor.image_mean == model.processor.image_processor.image_mean


def test_a_lightning_checkpoint_is_read_without_running_code(case, tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state_dict(case), "epoch": 3}, path)
    assert from_reference("clip-at", load_reference_checkpoint(path)).method == "clip-at"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        load_reference_checkpoint(path)


def test_the_old_place_of_the_converters_still_works():
    from sketch_prompt.hub import conversion

    assert conversion.from_reference is from_reference
    assert conversion.load_reference_checkpoint is load_reference_checkpoint
