"""The baselines of CLIP-AT's paper, as configurations of the same class."""

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from fakes.clip import LAYERS, WIDTH, WordProcessor, images, tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, losses
from sketch_prompt.models.prompted_clip import (
    encode_text,
    encode_vision,
    mean_tokens,
    project_image,
    project_text,
)

CLASSES = ["cup", "cat"]


def model(**fields):
    torch.manual_seed(0)
    made = ClipAtModel(ClipAtConfig(base_model=None, **fields), backbone=tiny_clip())
    made.set_classes(CLASSES, WordProcessor())
    return made


def batch(n=4):
    return {
        "sketch_pixel_values": images(n, 1),
        "photo_pixel_values": images(n, 2),
        "negative_pixel_values": images(n, 3),
        "labels": torch.arange(n) % 2,
    }


def step(m):
    optimizer = torch.optim.Adam(list(m.trainable_parameters().values()), lr=1e-2)
    m.train()(**batch()).loss.backward()
    optimizer.step()
    return m.eval()


def frozen_features(clip, pixels):
    with torch.no_grad():
        return project_image(clip, encode_vision(clip.vision_model, pixels).pooled)


@pytest.mark.parametrize("depth", [2, 3])
def test_deep_prompts_are_new_in_each_of_the_first_layers_and_go_on_through_the_others(depth):
    m = model(prompt_depth=depth).eval()
    assert m.adapter.sketch_prompts.shape == (depth, 3, WIDTH)
    tower, hidden = m.clip.vision_model, None
    with torch.no_grad():
        for i, layer in enumerate(tower.encoder.layers):
            if i == 0:
                tokens = encode_vision(tower, images(2), output_hidden_states=True)
                patches = tokens.hidden_states[0]
                prompts = tower.pre_layrnorm(m.adapter.photo_prompts[0]).expand(2, -1, -1)
                hidden = torch.cat([patches, prompts], dim=1)
            elif i < depth:
                hidden = torch.cat([hidden[:, :17], m.adapter.photo_prompts[i].expand(2, -1, -1)], dim=1)
            hidden = layer(hidden, attention_mask=None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        expected = project_image(m.clip, tower.post_layernorm(hidden[:, 0]))
        assert_close(m.get_photo_features(images(2)), expected, atol=1e-5, rtol=0)
    assert len(range(LAYERS)) >= depth


def test_prompts_can_start_around_the_mean_token_of_their_layer():
    m = model(prompt_depth=2, prompt_init="mean_token", prompt_init_std=0.0)
    assert_close(
        m.adapter.photo_prompts.detach(), mean_tokens(m.clip.vision_model)[:2, None].expand(-1, 3, -1)
    )
    shallow = model(prompt_init="mean_token", prompt_init_std=0.0)
    assert_close(shallow.adapter.sketch_prompts.detach(), mean_tokens(m.clip.vision_model)[:1].expand(3, -1))


def test_conditional_prompts_move_with_what_the_frozen_clip_sees_in_the_image():
    m = step(model(prompt_kind="conditional"))
    given = images(3, 5)
    with torch.no_grad():
        bias = m.adapter.meta_net(frozen_features(m.clip, given))
        for row in range(3):
            alone = given[row : row + 1]
            prompts = m.adapter.photo_prompts + bias[row]
            tower = m.adapter.photo_clip
            expected = project_image(tower, encode_vision(tower.vision_model, alone, prompts).pooled)
            assert_close(m.get_photo_features(given)[row : row + 1], expected, atol=1e-6, rtol=0)
    assert bias.std(0).max() > 0


def test_multimodal_prompts_enter_the_text_tower_and_through_a_linear_layer_the_vision_tower():
    m = model(prompt_kind="multimodal", prompt_depth=2, n_prompts=2).eval()
    coupled = m.adapter.sketch_coupled
    assert coupled is not m.adapter.photo_coupled and m.adapter.sketch_prompts is None
    with torch.no_grad():
        visual = [layer(text) for layer, text in zip(coupled.couplings, coupled.text)]
        tower = m.adapter.clip.vision_model
        pooled = encode_vision(tower, images(2), [*visual, *[None] * (LAYERS - 2)]).pooled
        assert_close(m.get_sketch_features(images(2)), project_image(m.adapter.clip, pooled))
        out = m(**batch())
        for name, embeds in (("sketch", out.sketch_embeds), ("photo", out.photo_embeds)):
            prompts = [*getattr(m.adapter, f"{name}_coupled").text, *[None] * (LAYERS - 2)]
            ids = WordProcessor()([f"a photo of a {word}" for word in CLASSES])["input_ids"]
            classes = project_text(m.clip, encode_text(m.clip.text_model, ids, prompts).pooled)
            expected = losses.classification_loss(
                embeds, classes, batch()["labels"], torch.exp(-m.clip.logit_scale)
            )
            assert_close(out.loss_terms[f"classification_{name}"], expected)
            assert_close(m.get_text_features(ids, domain=name), classes)


@pytest.mark.parametrize("layer_norms", [None, "separate"])
def test_full_fine_tuning_starts_as_the_frozen_clip_and_trains_all_of_the_vision_tower(layer_norms):
    m = model(trainable="vision", n_prompts=0, layer_norms=layer_norms)
    assert m.config.layer_norms == (layer_norms or "shared")
    for read in (m.get_sketch_features, m.get_photo_features):
        assert_close(read(images(2)).detach(), frozen_features(m.clip, images(2)), atol=1e-6, rtol=0)
    expected = {
        name
        for name, _ in m.clip.named_parameters()
        if name.startswith(("vision_model.", "visual_projection."))
    }
    names = {name.removeprefix("clip.") for name in m.trainable_parameters() if name.startswith("clip.")}
    assert names == expected
    encoders = 2 if layer_norms else 1
    assert len(m.trainable_parameters()) == encoders * len(expected)
    assert {group["name"] for group in m.parameter_groups()} == {"layer_norms", "backbone"}
    before = {name: value.clone() for name, value in m.clip.named_parameters()}
    step(m)
    assert all(torch.equal(value, before[name]) for name, value in m.clip.named_parameters())
    with torch.no_grad():
        sketch, photo = m.get_sketch_features(images(2)), m.get_photo_features(images(2))
    assert torch.equal(sketch, photo) == (layer_norms is None)


def test_a_linear_probe_starts_as_the_frozen_clip_and_is_all_that_trains():
    m = model(linear_probe=True, trainable="prompts", n_prompts=0)
    assert_close(m.get_photo_features(images(2)).detach(), frozen_features(m.clip, images(2)))
    assert set(m.trainable_parameters()) == {"adapter.probe.weight"}
    step(m)
    with torch.no_grad():
        expected = normalize(frozen_features(m.clip, images(2)) @ m.adapter.probe.weight.T, dim=-1)
        assert_close(m.get_sketch_features(images(2)), expected)


def test_prompts_alone_train_without_layer_norms():
    m = model(trainable="prompts")
    assert set(m.trainable_parameters()) == {"adapter.sketch_prompts", "adapter.photo_prompts"}


@pytest.mark.parametrize(
    "fields",
    [
        {"n_prompts": 0, "trainable": "prompts"},
        {"n_prompts": 0, "linear_probe": True, "prompt_kind": "conditional"},
        {"prompt_depth": 0},
        {"prompt_kind": "deep"},
        {"prompt_init": "mean_token", "prompt_kind": "multimodal"},
    ],
)
def test_values_that_no_baseline_can_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        ClipAtConfig(**fields)
