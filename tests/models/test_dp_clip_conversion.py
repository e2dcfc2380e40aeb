"""The DP-CLIP reference checkpoint, converted, computes what the reference computed."""

import logging

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fakes import parity
from fakes.reference_names import reference_parameters
from sketch_prompt import SketchPromptModel
from sketch_prompt.models.conversion import from_reference

UNUSED = {"CS_visual_prompt_fn.prompt_norm.weight", "CS_visual_prompt_fn.prompt_norm.bias"}


@pytest.fixture(scope="module")
def case():
    return parity.load_case("dp_clip")


@pytest.fixture(scope="module")
def expected():
    return load_file(parity.FIXTURES / "dp_clip" / "expected.safetensors")


@pytest.fixture(scope="module")
def state(case):
    return {name: torch.as_tensor(value) for name, value in case["weights"].items()}


@pytest.fixture(scope="module")
def inputs(case):
    return {name: torch.from_numpy(value) for name, value in case["inputs"].items()}


@pytest.fixture
def model(state):
    return from_reference("dp-clip", state)


def condition(model, case, inputs):
    support = (inputs[domain][case["support"][domain]] for domain in ("sketch", "photo"))
    return model.condition_on(*support, inputs["category_text"])


def test_prompts_features_and_fused_distances_equal_the_references(model, case, inputs, expected):
    with torch.no_grad():
        known = condition(model, case, inputs)
        assert_close(known.prompts, expected["category_prompts"].squeeze(1), atol=1e-5, rtol=0)
        for name in ("sketch", "photo", "negative"):
            parts = model.get_part_features(inputs[name], known)
            assert_close(parts, expected[f"{name}_features"], atol=1e-5, rtol=0)
        sketches = model.get_sketch_features(inputs["sketch"], condition=known)
        photos = model.get_photo_features(inputs["photo"], condition=known)
    assert_close(sketches.norm(dim=-1), torch.ones(4))
    assert_close((1 + 4 * 0.2) * (1 - sketches @ photos.T), expected["fused_distance"], atol=1e-5, rtol=0)


def test_the_loss_of_three_epochs_equals_the_references(model, case, inputs):
    triplets = {f"{name}_pixel_values": inputs[name] for name in ("sketch", "photo", "negative")}
    instances = torch.tensor(case["fine_grained_labels"])
    known = condition(model, case, inputs)
    for epoch, loss in case["loss_at_epoch"].items():
        model.begin_epoch(int(epoch), 60)
        output = model(**triplets, instance_ids=instances, condition=known)
        assert abs(output.loss.item() - loss) < 1e-6


def test_trainable_set_is_the_references_but_for_what_it_never_uses(model, case, state):
    trained = reference_parameters(model)
    wanted = set(case["trainable_in_reference"]) - UNUSED
    assert set(trained) == wanted
    n_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert n_trainable == sum(state[name].numel() for name in wanted)
    groups = {name: set() for name in ("prompts", "layer_norms", "backbone")}
    for group in model.parameter_groups():
        groups[group["name"]] = {id(parameter) for parameter in group["params"]}
    # The reference's optimiser gives what it adds to CLIP a rate of its own.
    for name, parameter in trained.items():
        part = parameter[0] if isinstance(parameter, tuple) else parameter
        added = not name.startswith("clip.") or "lora" in name
        assert (id(part) in groups["prompts"]) == added, name


def test_unused_tensors_are_reported_and_missing_or_misshapen_ones_are_errors(state, caplog):
    with caplog.at_level(logging.WARNING, logger="sketch_prompt"):
        from_reference("dp-clip", state)
    assert all(name in caplog.text for name in UNUSED)
    for name in ("local_proj", "CS_visual_prompt_fn.prompt_proj.bias", "clip.visual.attn_lora_SS.3.0.bias"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            from_reference("dp-clip", {k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="size mismatch for local_proj"):
        from_reference("dp-clip", {**state, "local_proj": torch.zeros(4, 3, 512)})


def test_a_converted_model_saves_and_loads_to_the_same_features(model, case, inputs, tmp_path):
    model.save_pretrained(tmp_path)
    again = SketchPromptModel.from_pretrained(tmp_path)
    with torch.no_grad():
        ours, theirs = (
            m.get_photo_features(inputs["photo"], condition=condition(m, case, inputs))
            for m in (model, again)
        )
    assert torch.equal(ours, theirs)
    assert again.processor.image_processor.image_mean == model.processor.image_processor.image_mean


def test_sizes_are_read_off_the_tensors(state):
    """A narrower, shallower tower with a finer grid, and a checkpoint without the windows."""
    small = {}
    for name, value in state.items():
        if any(f".{part}.{i}." in name for part in ("resblocks", "attn_lora_SS") for i in range(4, 12)):
            continue
        shape = [{128: 64, 384: 192}.get(size, size) for size in value.shape]
        shape = [256 if size == 512 and "mlp" in name else size for size in shape]
        if name == "clip.visual.conv1.weight":
            shape[2:] = [16, 16]
        if name in ("clip.visual.positional_embedding", "CS_visual_prompt_fn.prompt_embeddings"):
            shape[0] = 1 + 14 * 14 if "positional" in name else 4
        small[name] = torch.randn(shape) * 0.1
    model = from_reference("dp-clip", small)
    vision = model.config.clip_config.vision_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.patch_size) == (64, 4, 16)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        known = model.condition_on(images[:1], images, torch.randn(512))
        assert model.get_part_features(images, known).shape == (2, 5, 512)
        whole = from_reference("dp-clip", {k: v for k, v in small.items() if not k.startswith("local_")})
        parts = whole.get_part_features(images, whole.condition_on(images[:1], images, None))
    assert parts.shape == (2, 1, 512)
