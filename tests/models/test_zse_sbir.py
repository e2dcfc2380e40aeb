"""What is ZSE-SBIR's own: its tokenizer, token selection, cross attention, relation scores and losses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import ViTConfig, ViTModel

from fakes.clip import LAYERS, WIDTH, images, tiny_clip
from sketch_prompt import SketchPromptModel, ZseSbirConfig, ZseSbirModel, losses
from sketch_prompt.explain import patch_similarity
from sketch_prompt.models.prompted_clip import encode_vision
from sketch_prompt.models.zse_sbir.modeling_zse_sbir import LearnedTokenizer

VIT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu",
}
SELECTION = [0.7, 1.0, 0.5]  # of 16 patches 12 stay, then 6


def model(**fields):
    torch.manual_seed(0)
    if fields.get("backbone") == "vit":
        built = ZseSbirModel(ZseSbirConfig(base_model=None, vision_config=VIT, **fields))
    else:
        built = ZseSbirModel(ZseSbirConfig(base_model=None, cross_ffn=48, **fields), backbone=tiny_clip())
    for name, parameter in built.adapter.matcher.named_parameters():
        if "norm" in name or name.endswith("bias"):
            nn.init.normal_(parameter, 1.0 if name.endswith("norm.weight") else 0.0, 0.2)
        elif name.endswith(("out.weight", "fc2.weight")):
            nn.init.normal_(parameter, 0.0, parameter.shape[1] ** -0.5)
    return built.eval()


def tokens(m, n_sketches=3, n_photos=5):
    with torch.no_grad():
        return m.encode_tokens(images(n_sketches, 1), "sketch"), m.encode_tokens(images(n_photos, 2), "photo")


def plain_scores(m, sketches, photos):
    """Every pair on its own: repeated tokens through cross attention and relation network."""
    n_sketches, n_photos = len(sketches), len(photos)
    with torch.no_grad():
        pairs = m.adapter.matcher(sketches.repeat_interleave(n_photos, 0), photos.repeat(n_sketches, 1, 1))
    return pairs.scores.view(n_sketches, n_photos)


KINDS = [{}, {"keep_rates": SELECTION}, {"backbone": "vit", "relation_layout": "reference"}]


@pytest.mark.parametrize("fields", KINDS, ids=["clip", "selection", "vit"])
@pytest.mark.parametrize("pairs_at_once", [1, 2, 100])
def test_pair_scores_equal_the_plain_computation_whatever_the_blocks(fields, pairs_at_once, monkeypatch):
    m = model(**fields)
    monkeypatch.setattr(m.adapter.matcher, "_block", lambda residual: pairs_at_once)
    sketches, photos = tokens(m)
    with torch.no_grad():
        scores = m.score_pairs(sketches, photos)
    assert scores.shape == (3, 5) and scores.std() > 1e-4
    assert_close(scores, plain_scores(m, sketches, photos), atol=1e-6, rtol=0)


def test_what_belongs_to_one_image_is_computed_once_an_image():
    m = model()
    rows = {}
    for name, module in m.adapter.matcher.named_modules():
        if name.endswith((".query", ".key", ".value")):
            rows[name] = 0
            module.register_forward_hook(
                lambda module, inputs, out, name=name: rows.__setitem__(name, rows[name] + len(inputs[0]))
            )
    sketches, photos = tokens(m)
    m.score_pairs(sketches, photos)
    own = {"sketch": 3, "photo": 5}
    for name, count in rows.items():
        _, domain, part = name.split(".")
        other = "photo" if domain == "sketch" else "sketch"
        assert count == own[other if part == "key" else domain], name


def test_queries_and_values_come_from_the_own_image_and_keys_from_the_other():
    m = model()
    side = m.adapter.matcher.sides["sketch"]
    own, other = torch.randn(1, 5, WIDTH), torch.randn(1, 5, WIDTH)
    heads, width = side.heads, WIDTH // side.heads
    split = lambda x: x[0].view(5, heads, width)  # noqa: E731
    q, k, v = split(side.query(own)), split(side.key(other)), split(side.value(own))
    attended = torch.zeros(5, heads, width)
    for h in range(heads):
        for i in range(5):
            weights = torch.softmax(torch.stack([q[i, h] @ k[j, h] / width**0.5 for j in range(5)]), 0)
            attended[i, h] = sum(weights[j] * v[j, h] for j in range(5))

    def norm(layer, x):
        return layer.weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + layer.bias

    hidden = norm(side.attention_norm, own + side.out(attended.flatten(1)))
    expected = norm(side.output_norm, hidden + side.fc2(torch.relu(side.fc1(hidden))))
    out = side(
        own, *(side.split(layer(x)) for layer, x in ((side.query, own), (side.value, own), (side.key, other)))
    )
    assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_anchors_see_the_patches_where_they_are_or_as_the_reference_scrambles_them():
    patches = torch.zeros(1, 16, WIDTH)
    patches[0, 6] = torch.randn(WIDTH)  # row 1, column 2: the upper right anchor
    grid, scrambled = model().adapter.matcher, model(relation_layout="reference").adapter.matcher
    for matcher, n_changed in ((grid, 1), (scrambled, 4)):
        empty = matcher.anchor(torch.zeros_like(patches), None)[0]
        changed = (matcher.anchor(patches, None)[0] - empty).abs().sum(-1) > 1e-6
        assert changed.sum() == n_changed
        if matcher is grid:
            assert changed.nonzero().item() == 1


@pytest.mark.parametrize(("patch", "n_convolutions"), [(2, 1), (7, 1), (8, 3), (14, 2), (16, 4), (32, 5)])
def test_the_tokenizer_ends_at_the_patch_grid_whatever_the_patch_size(patch, n_convolutions):
    tokenizer = LearnedTokenizer(patch, [4, 5, 6, 7], 8, "average")
    assert len(tokenizer.convolutions) == n_convolutions
    pixels, patches = torch.randn(2, 3, 3 * patch, 3 * patch), torch.randn(2, 8, 3, 3)
    out = tokenizer(pixels, patches)
    assert out.shape == patches.shape
    adding = LearnedTokenizer(patch, [4, 5, 6, 7], 8, "add")
    assert torch.equal(adding(pixels, patches), patches)
    adding.load_state_dict(tokenizer.state_dict())
    assert_close(adding(pixels, patches), 2 * out)


def test_a_new_adapter_on_a_clip_embeds_as_the_clip_does():
    m = model(n_prompts=0, tokenizer_domains="both")
    with torch.no_grad():
        theirs = m.clip.get_image_features(pixel_values=images(3)).pooler_output
        assert_close(
            m.get_sketch_features(images(3)), nn.functional.normalize(theirs, dim=-1), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize(("domains", "tokenized"), [("sketch", [1, 0]), ("both", [1, 1]), ("none", [0, 0])])
def test_the_tokenizer_sees_the_domains_it_is_told(domains, tokenized):
    m = model(n_prompts=0, tokenizer_domains=domains, tokenizer_fusion="average")
    with torch.no_grad():
        plain = m.clip.get_image_features(pixel_values=images(2)).pooler_output
        plain = nn.functional.normalize(plain, dim=-1)
        embedded = m.get_sketch_features(images(2)), m.get_photo_features(images(2))
    assert [int(not torch.allclose(e, plain, atol=1e-3)) for e in embedded] == tokenized


def test_features_are_the_pooled_tokens_of_the_same_pass():
    m = model()
    sketches, photos = tokens(m)
    with torch.no_grad():
        assert torch.equal(m.pool_tokens(sketches, "sketch"), m.get_sketch_features(images(3, 1)))
        assert torch.equal(m.pool_tokens(photos, "photo"), m.get_photo_features(images(5, 2)))
    with pytest.raises(ValueError, match="'sketch' or 'photo', not 'drawing'"):
        m.encode_tokens(images(1), "drawing")


def test_token_selection_keeps_what_the_class_token_attends_to_most():
    m = model(keep_rates=SELECTION, n_prompts=2)
    vision, prompts = m.clip.vision_model, list(m.adapter.prompts["photo"])
    with torch.no_grad():
        selected = m.encode_tokens(images(3), "photo")
        full = encode_vision(vision, images(3), prompts, output_attentions=True)
    kept = (selected[:, 1:] != 0).any(-1)
    assert selected.shape == (3, 17, WIDTH) and kept.sum(1).tolist() == [6, 6, 6]
    attention = full.attentions[0][:, :, 0, 1:17].mean(1)
    for row in range(3):
        first = set(attention[row].topk(12).indices.tolist())
        assert set(kept[row].nonzero()[:, 0].tolist()) <= first
    with torch.no_grad():
        alone = torch.cat([m.encode_tokens(image, "photo") for image in images(3).split(1)])
    assert_close(alone, selected, atol=1e-5, rtol=0)


def test_keeping_every_token_changes_nothing():
    kept, all_tokens = model(keep_rates=[1.0] * LAYERS), model()
    assert_close(tokens(kept)[0], tokens(all_tokens)[0], atol=1e-6, rtol=0)
    with torch.no_grad():
        scores = [m.score_pairs(*tokens(m)) for m in (kept, all_tokens)]
    assert_close(*scores, atol=1e-6, rtol=0)


def test_tokens_of_different_keep_rates_are_refused():
    m = model(keep_rates=SELECTION)
    sketches, _ = tokens(m)
    mixed = torch.cat([sketches, tokens(model())[1]])
    with pytest.raises(ValueError, match="different numbers of tokens"):
        m.prepare_pairs(mixed, "photo")
    with pytest.raises(ValueError, match="got 2 for 3 layers"):
        tokens(model(keep_rates=[1.0, 0.5]))


def test_the_loss_is_two_triplets_and_four_relations_of_the_pairs():
    m = model()
    out = m(images(4, 1), images(4, 2), images(4, 3))
    s, p, n = (m.encode_tokens(images(4, i), d) for i, d in ((1, "sketch"), (2, "photo"), (3, "photo")))
    matching, other = m.adapter.matcher(s, p), m.adapter.matcher(s, n)
    triplet = losses.euclidean_triplet_loss(
        matching.sketch_class, matching.photo_class, other.photo_class, margin=1.0
    )
    relation = losses.relation_loss(matching.scores, other.scores)
    assert_close(out.loss_terms["triplet"], triplet)
    assert_close(out.loss_terms["relation"], relation)
    assert_close(out.loss, 2 * triplet + 4 * relation)
    with pytest.raises(ValueError, match="needs negative_pixel_values"):
        m(images(2), images(2))


@pytest.mark.parametrize("fields", KINDS, ids=["clip", "selection", "vit"])
def test_all_pairs_of_a_batch_are_scored_as_one_by_one(fields):
    m = model(relation_pairs="batch", **fields)
    labels, negatives = torch.tensor([0, 1, 0, 2]), torch.tensor([1, 0, 2, 0])
    batch = {"labels": labels, "negative_labels": negatives}
    out = m(images(4, 1), images(4, 2), images(4, 3), **batch)
    s, p, n = (m.encode_tokens(images(4, i), d) for i, d in ((1, "sketch"), (2, "photo"), (3, "photo")))
    scores = plain_scores(m, s, p)
    matches = labels[:, None] == labels
    with torch.no_grad():
        wrong = torch.cat([scores[~matches], m.adapter.matcher(s, n).scores])
    expected = ((scores[matches] - 0.99).square().mean() + (wrong - 0.01).square().mean()) / 2
    assert_close(out.loss_terms["relation"].detach(), expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(
        out.loss_terms["triplet"],
        model(**fields)(images(4, 1), images(4, 2), images(4, 3)).loss_terms["triplet"],
    )
    out.loss.backward()
    assert m.adapter.matcher.relation.layers[0].weight.grad.abs().sum() > 0
    assert "relation loss" in m.whole_batch_needs()[0] and model().whole_batch_needs() == []
    with pytest.raises(ValueError, match="relation_pairs='batch' needs labels"):
        m(images(2), images(2), images(2))


def test_where_negatives_are_of_the_same_class_pairs_match_by_instance():
    m = model(relation_pairs="batch")
    labels, instances = torch.zeros(3, dtype=torch.long), torch.tensor([7, 8, 7])
    batch = {"labels": labels, "negative_labels": labels, "instance_ids": instances}
    found = m(images(3, 1), images(3, 2), images(3, 3), **batch).loss_terms["relation"]
    as_labels = {"labels": instances - 7, "negative_labels": torch.tensor([1, 0, 1])}
    expected = m(images(3, 1), images(3, 2), images(3, 3), **as_labels).loss_terms["relation"]
    assert_close(found, expected)


def test_a_second_sketch_stands_beside_the_negative():
    m = model(mismatched_sketch="second")
    assert m.needs_second_sketch and not model().needs_second_sketch
    second = images(3, 4)
    out = m(images(3, 1), images(3, 2), images(3, 3), mismatched_sketch_pixel_values=second)
    s, p = m.encode_tokens(images(3, 1), "sketch"), m.encode_tokens(images(3, 2), "photo")
    others, n = m.encode_tokens(second, "sketch"), m.encode_tokens(images(3, 3), "photo")
    expected = losses.relation_loss(m.adapter.matcher(s, p).scores, m.adapter.matcher(others, n).scores)
    assert_close(out.loss_terms["relation"], expected)
    with pytest.raises(ValueError, match="mismatched_sketch='second' needs mismatched_sketch_pixel_values"):
        m(images(2), images(2), images(2))


@pytest.mark.parametrize("fields", KINDS, ids=["clip", "selection", "vit"])
@pytest.mark.parametrize("pairs_at_once", [1, 2, 100])
def test_pairs_can_be_scored_by_their_class_tokens_after_the_cross_attention(
    fields, pairs_at_once, monkeypatch
):
    m = model(pair_score="class", **fields)
    monkeypatch.setattr(m.adapter.matcher, "_block", lambda residual: pairs_at_once)
    sketches, photos = tokens(m)
    with torch.no_grad():
        scores = m.score_pairs(sketches, photos)
        pairs = m.adapter.matcher(sketches.repeat_interleave(5, 0), photos.repeat(3, 1, 1))
    distances = (pairs.sketch_class - pairs.photo_class).norm(dim=-1).view(3, 5)
    assert_close(scores, -distances, atol=1e-5, rtol=1e-5)
    fused = m.fuse_scores(np.full((3, 5), 0.25, np.float32), scores.numpy())
    np.testing.assert_allclose(fused, 0.25 - 0.02 * distances.numpy(), atol=1e-6)


def test_pairs_kept_in_bfloat16_score_nearly_the_same():
    m = model()
    sketches, photos = tokens(m)
    half = [
        {name: value.bfloat16() for name, value in m.prepare_pairs(part, domain).items()}
        for part, domain in ((sketches, "sketch"), (photos, "photo"))
    ]
    with torch.no_grad():
        full = m.score_pairs(sketches, photos)
        assert_close(m.score_prepared(*half), full, atol=2e-3, rtol=0)
        m.to(torch.bfloat16)
        whole = m.score_pairs(sketches.bfloat16(), photos.bfloat16())
    assert whole.dtype == torch.float32
    assert_close(whole, full, atol=5e-3, rtol=0)


@pytest.mark.parametrize("fields", KINDS, ids=["clip", "selection", "vit"])
def test_evidence_of_a_pair_is_what_its_score_was_made_of(fields):
    m = model(**fields)
    evidence = m.pair_evidence(images(1, 1), images(1, 2))
    sketches, photos = tokens(m, 1, 1)
    with torch.no_grad():
        assert evidence.score == pytest.approx(m.score_pairs(sketches, photos).item(), abs=1e-6)
        logit = lambda cosines: torch.logit(m.adapter.matcher.relation(cosines[None])).item()  # noqa: E731
        shrunk = (logit(evidence.cosines) - logit(0.999 * evidence.cosines)) / 0.001
    assert evidence.relation_weights.sum().item() == pytest.approx(shrunk, rel=0.05, abs=1e-3)
    assert evidence.cosines.shape == evidence.relation_weights.shape == (4, 4)
    n_kept = 6 if "keep_rates" in fields else 16
    for kept in (evidence.sketch_kept, evidence.photo_kept):
        assert kept.shape == (16,) and kept.sum() == n_kept
    looked = evidence.sketch_attention
    assert looked.shape == evidence.photo_attention.shape == (16, 16)
    assert (looked[~evidence.sketch_kept] == 0).all() and (looked[:, ~evidence.photo_kept] == 0).all()
    assert (looked[evidence.sketch_kept].sum(1) < 1).all()


@pytest.mark.parametrize("fields", KINDS, ids=["clip", "selection", "vit"])
def test_patches_are_related_by_likeness_after_the_cross_attention_and_by_what_their_anchors_add(fields):
    m = model(**fields)
    related, evidence = (call(images(1, 1), images(1, 2)) for call in (m.relate_patches, m.pair_evidence))
    assert related.shape == (16, 16) and related.max() == 1 and related.min() >= 0
    ours, theirs = evidence.sketch_tokens.clone(), evidence.photo_tokens.clone()
    for tokens_, kept in ((ours, evidence.sketch_kept), (theirs, evidence.photo_kept)):
        assert (tokens_[~kept] == 0).all()
        tokens_[~kept] = tokens_[kept].mean(0)
    alike = patch_similarity(ours, theirs, (4, 4), (4, 4))
    expected = torch.zeros(16, 16)
    for i in evidence.sketch_kept.nonzero().flatten().tolist():
        for j in evidence.photo_kept.nonzero().flatten().tolist():
            a, b = (2 * (k // 8) + k % 4 // 2 for k in (i, j))
            counts = 1.0 if "relation_layout" in fields else max(0, evidence.relation_weights[a, b])
            expected[i, j] = max(0, alike[i, j]) * counts
    assert_close(related, expected / expected.max())


def test_a_shortlist_is_sorted_by_ret_and_the_weighted_logit_of_rn():
    m = model(rerank_weight=0.1)
    ret, rn = np.array([[0.5, 0.4, 0.1]], np.float32), np.array([[0.2, 0.9, 1.0]], np.float32)
    fused = m.fuse_scores(ret, rn)
    expected = [0.5 + 0.1 * np.log(0.2 / 0.8), 0.4 + 0.1 * np.log(9), 0.1 + 0.1 * np.log((1 - 1e-6) / 1e-6)]
    np.testing.assert_allclose(fused[0], expected, rtol=1e-5)
    assert np.isfinite(m.fuse_scores(ret, np.array([[0.0, 1.0, 0.5]], np.float32))).all()
    assert np.isnan(m.fuse_scores(ret, np.full((1, 3), np.nan, np.float32))).all()
    m.config.rerank_weight = None
    assert m.fuse_scores(ret, rn) is rn


def test_patches_that_no_anchor_covers_belong_to_none():
    odd = model(backbone="vit").adapter.matcher
    odd.grid = 3
    assert odd.anchor_of_patches().tolist() == [0, 0, -1, 0, 0, -1, -1, -1, -1]


def test_the_vision_transformer_starts_from_a_vit_and_equals_it(tmp_path):
    torch.manual_seed(1)
    vit = ViTModel(ViTConfig(**VIT), add_pooling_layer=False).eval()
    vit.save_pretrained(tmp_path)
    m = ZseSbirModel.from_base_model(str(tmp_path), backbone="vit", tokenizer_domains="none").eval()
    with torch.no_grad():
        theirs = vit(images(2)).last_hidden_state
        assert_close(m.encode_tokens(images(2), "photo"), theirs, atol=1e-5, rtol=1e-5)
    assert m.config.backbone == "vit" and m.clip is None
    groups = {group["name"]: sum(p.numel() for p in group["params"]) for group in m.parameter_groups()}
    assert groups["backbone"] == sum(p.numel() for p in m.adapter.vision.parameters())
    with pytest.raises(ValueError, match="starts from a ViT"):
        ZseSbirModel.from_base_model("mini-clip", backbone="vit")


def test_a_model_without_clip_trains_is_saved_and_loaded_in_any_type(tmp_path):
    m = model(backbone="vit", tokenizer_domains="both", tokenizer_fusion="average")
    m.set_classes(["cup", "cat"], processor=None)
    optimizer = torch.optim.Adam(m.parameter_groups(), lr=1e-3)
    history = []
    for _ in range(8):
        optimizer.zero_grad()
        history.append(m.train()(images(3, 1), images(3, 2), images(3, 3)).loss)
        history[-1].backward()
        optimizer.step()
    assert history[-1] < history[0]
    m.eval().save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    again = SketchPromptModel.from_pretrained(tmp_path)
    assert again.config.class_names == ["cup", "cat"]
    assert torch.equal(tokens(again)[0], tokens(m)[0])
    half = SketchPromptModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    m.load_adapter(tmp_path, adapter_name="second")
    assert torch.equal(tokens(m)[0], tokens(again)[0])


def test_the_vision_transformer_drops_where_the_reference_does(monkeypatch):
    m = model(backbone="vit", tokenizer_domains="none", vision_dropout=0.1)
    dropped, dropout = [], nn.functional.dropout

    def recording(x, p=0.5, training=True, inplace=False):
        if training and p:
            dropped.append((tuple(x.shape), p))
        return dropout(x, p, training, inplace)

    monkeypatch.setattr(nn.functional, "dropout", recording)
    tokens_, wide = (2, 17, 64), (2, 17, 96)
    m.encode_tokens(images(2), "photo")
    assert dropped == []
    m.train().encode_tokens(images(2), "photo")
    layer = [(tokens_, 0.1), (wide, 0.1), (tokens_, 0.1)]  # after attention, in the MLP, after it
    assert dropped == [(tokens_, 0.1), *layer, *layer]
    names = set(model(backbone="vit", tokenizer_domains="none").state_dict())
    assert set(m.state_dict()) == names
    with pytest.raises(ValueError, match=r'vision_dropout must be given with backbone="vit" only'):
        ZseSbirConfig(vision_dropout=0.1)


def test_the_cross_attention_starts_as_it_is_told():
    torch.manual_seed(0)
    zero, clones = (
        ZseSbirModel(ZseSbirConfig(base_model=None, backbone="vit", vision_config=VIT, cross_init=how))
        for how in ("zero", "clones")
    )
    sides = zero.adapter.matcher.sides
    assert not any(side.out.weight.any() or side.fc2.weight.any() for side in sides.values())
    assert not torch.equal(sides["sketch"].query.weight, sides["sketch"].key.weight)
    sides = clones.adapter.matcher.sides
    sketch, photo = (side.state_dict() for side in sides.values())
    assert all(torch.equal(sketch[name], photo[name]) for name in sketch)
    for part in ("key", "value", "out"):
        assert torch.equal(sketch[f"{part}.weight"], sketch["query.weight"])
        assert torch.equal(sketch[f"{part}.bias"], sketch["query.bias"])
    bound = 1 / 64**0.5  # torch's uniform draw for linear layers
    assert sketch["query.weight"].abs().max() <= bound and sketch["query.weight"].std() > bound / 2
    assert sides["sketch"].query.weight is not sides["sketch"].key.weight


def test_layer_norms_train_if_asked_for():
    names = set(model(tune_layer_norms=True).trainable_parameters())
    assert "clip.vision_model.post_layernorm.weight" in names
    assert not any(name.startswith("clip.") for name in model().trainable_parameters())


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "resnet"},
        {"tokenizer_domains": "photo"},
        {"tokenizer_fusion": "mean"},
        {"relation_layout": "columns"},
        {"cross_heads": 0},
        {"dropout": 1.0},
        {"vision_dropout": 1.0, "backbone": "vit"},
        {"cross_init": "copies"},
        {"keep_rates": [1.0, 0.0]},
        {"triplet_margin": -1.0},
        {"rerank_weight": -0.1},
        {"relation_pairs": "all"},
        {"mismatched_sketch": "other"},
        {"pair_score": "patches"},
    ],
)
def test_values_that_no_zse_sbir_can_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        ZseSbirConfig(**fields)


def test_sizes_that_do_not_fit_the_tower_are_refused():
    with pytest.raises(ValueError, match="cross_heads=7 must divide the tower's width 128"):
        model(cross_heads=7)
    with pytest.raises(ValueError, match="tokenizer_channels must have 2 numbers"):
        model(tokenizer_channels=[4])
