"""The prompted towers against transformers' own, and against prompts put in by hand."""

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import LAYERS, WIDTH, images, tiny_clip, token_ids
from sketch_prompt.models.prompted_clip import encode_text, encode_vision, patch_keys


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


def prompts(n, *batch, seed=1):
    return torch.randn(*batch, n, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("hidden_act", ["quick_gelu", "gelu"])
def test_without_prompts_the_towers_are_transformers_towers(attention, hidden_act):
    clip = tiny_clip(hidden_act=hidden_act)
    clip.set_attn_implementation(attention)
    with torch.no_grad():
        theirs = clip.vision_model(pixel_values=images(3), output_hidden_states=True)
        ours = encode_vision(clip.vision_model, images(3))
        everything = encode_vision(clip.vision_model, images(3), output_hidden_states=True)
        assert_close(ours.pooled, theirs.pooler_output, atol=2e-6, rtol=1e-5)
        assert_close(everything.pooled, theirs.pooler_output, atol=2e-6, rtol=1e-5)
        for our, their in zip(everything.hidden_states, theirs.hidden_states, strict=True):
            if our is not everything.hidden_states[0]:  # theirs is after pre_layrnorm as well
                assert_close(our, their, atol=2e-5, rtol=1e-5)
        ids = token_ids(6)
        mask = (ids != 0).long()
        text = clip.text_model(input_ids=ids, attention_mask=mask)
        assert_close(encode_text(clip.text_model, ids).pooled, text.pooler_output, atol=2e-6, rtol=1e-5)


def test_attentions_are_distributions_and_leave_the_features_alone(clip):
    with torch.no_grad():
        plain = encode_vision(clip.vision_model, images(2), prompts(3))
        shown = encode_vision(clip.vision_model, images(2), prompts(3), output_attentions=True)
    assert len(shown.attentions) == LAYERS and shown.attentions[0].shape == (2, 2, 20, 20)
    assert_close(shown.attentions[0].sum(-1), torch.ones(2, 2, 20))
    assert_close(shown.pooled, plain.pooled, atol=2e-6, rtol=1e-5)


def layer_by_layer(vision, pixel_values, deep):
    """Deep prompts put in by hand around transformers' own layers."""
    tokens = vision.embeddings(pixel_values)
    n = tokens.shape[1]
    hidden = vision.pre_layrnorm(torch.cat([tokens, deep[0].expand(len(tokens), -1, -1)], dim=1))
    for i, layer in enumerate(vision.encoder.layers):
        if i and len(deep) > 1:
            hidden = torch.cat([hidden[:, :n], deep[i].expand(len(tokens), -1, -1)], dim=1)
        hidden = layer(hidden, None)
    return vision.post_layernorm(hidden[:, 0])


@pytest.mark.parametrize("deep", [False, True])
def test_vision_prompts_stand_after_the_patches(clip, deep):
    p = [prompts(2, seed=i) for i in range(LAYERS if deep else 1)]
    with torch.no_grad():
        ours = encode_vision(clip.vision_model, images(3), p if deep else p[0]).pooled
        assert_close(ours, layer_by_layer(clip.vision_model, images(3), p), atol=2e-6, rtol=1e-5)


def test_rows_may_carry_different_prompts(clip):
    a, b = prompts(2, seed=1), prompts(2, seed=2)
    with torch.no_grad():
        mixed = encode_vision(clip.vision_model, images(2), torch.stack([a, b])).pooled
        alone = [encode_vision(clip.vision_model, images(2), p).pooled for p in (a, b)]
    assert_close(mixed, torch.stack([alone[0][0], alone[1][1]]), atol=2e-6, rtol=1e-5)


def test_text_prompts_precede_or_replace_the_words(clip):
    """Prompts that equal the embeddings of words do what the words do."""
    text, ids = clip.text_model, token_ids(6)
    words = torch.tensor([5, 6])
    p = text.embeddings.token_embedding(words)
    preceded = torch.cat([ids[:, :1], words.expand(6, 2), ids[:, 1:]], dim=1)
    replaced = torch.cat([ids[:, :1], words.expand(6, 2), ids[:, 3:]], dim=1)
    with torch.no_grad():
        for placement, expected in (("precede", preceded), ("replace", replaced)):
            ours = encode_text(text, ids, p, placement=placement).pooled
            assert_close(ours, encode_text(text, expected).pooled, atol=2e-6, rtol=1e-5)
        deep = encode_text(text, ids, [p] * LAYERS).pooled
    assert not torch.allclose(deep, encode_text(text, ids, p).pooled)


def test_embeddings_of_an_image_do_not_depend_on_its_batch(clip):
    batch, order = images(16), torch.randperm(16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        together = encode_vision(clip.vision_model, batch, prompts(3)).pooled
        alone = torch.cat(
            [encode_vision(clip.vision_model, one, prompts(3)).pooled for one in batch.split(1)]
        )
        shuffled = encode_vision(clip.vision_model, batch[order], prompts(3)).pooled
    assert_close(alone, together, atol=1e-6, rtol=1e-5)
    assert_close(shuffled, together[order], atol=1e-6, rtol=1e-5)


def gradients(clip, p, checkpointing=False, plain=False):
    if checkpointing:
        clip.gradient_checkpointing_enable()
    p = p.clone().requires_grad_(True)
    run = layer_by_layer(clip.vision_model, images(3), [p]) if plain else None
    pooled = run if plain else encode_vision(clip.vision_model, images(3), p).pooled
    pooled.square().sum().backward()
    clip.gradient_checkpointing_disable()
    return p.grad


def test_gradients_are_those_of_the_plain_layers_with_and_without_checkpointing(clip):
    plain = gradients(clip, prompts(2), plain=True)
    assert_close(gradients(clip, prompts(2)), plain, atol=1e-4, rtol=1e-4)
    assert_close(gradients(clip, prompts(2), checkpointing=True), plain, atol=1e-4, rtol=1e-4)


def test_bfloat16_stays_near_float32(clip):
    half = tiny_clip().to(torch.bfloat16)
    with torch.no_grad():
        full = encode_vision(clip.vision_model, images(4), prompts(2)).pooled
        ours = encode_vision(half.vision_model, images(4), prompts(2)).pooled
        with torch.autocast("cpu", dtype=torch.bfloat16):
            autocast = encode_vision(clip.vision_model, images(4), prompts(2)).pooled
    for other in (ours, autocast):
        assert torch.cosine_similarity(other.float(), full).min() > 0.995


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: encode_vision(c.vision_model, torch.zeros(1, 3, 24, 24)), r"takes \(B, 3, 32, 32\)"),
        (lambda c: encode_vision(c.vision_model, images(2), torch.zeros(2, 5)), "5 wide"),
        (lambda c: encode_vision(c.vision_model, images(2), prompts(2, 3)), "batch of 3"),
        (lambda c: encode_vision(c.vision_model, images(2), [prompts(2)] * 2), "got 2 for 3 layers"),
        (lambda c: encode_text(c.text_model, token_ids(6), prompts(9)), "do not fit the context of 16"),
        (
            lambda c: encode_text(c.text_model, token_ids(2), prompts(2), placement="after"),
            "'precede' or 'replace'",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(clip, call, message):
    with pytest.raises(ValueError, match=message):
        call(clip)


def test_patch_keys_are_what_the_last_layers_attention_compares(clip):
    """They are what its own projection gives the attention."""
    vision, seen = clip.vision_model, {}
    layer = vision.encoder.layers[-1].self_attn
    hook = layer.k_proj.register_forward_hook(lambda module, args, out: seen.update(keys=out))
    with torch.no_grad():
        tower = encode_vision(vision, images(2), prompts(3))
        expected = seen["keys"][:, 1:17]
        assert_close(patch_keys(vision, tower), expected)
    hook.remove()
    assert expected.shape == (2, 16, WIDTH)
