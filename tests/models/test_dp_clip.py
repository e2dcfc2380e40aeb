"""What is DP-CLIP's own: conditions, windows, its losses, and its modules taken away one by one."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from torch.testing import assert_close

from fakes.clip import DIM, IMAGE_SIZE, LAYERS, WIDTH, WordProcessor, images, tiny_clip
from sketch_prompt import DpClipConfig, DpClipModel, SketchPromptModel, losses
from sketch_prompt.models import prompted_clip
from sketch_prompt.models.dp_clip import prompting
from sketch_prompt.models.dp_clip.category_text import category_sentences
from sketch_prompt.models.dp_clip.prompting import window_masks
from sketch_prompt.models.outputs import TripletBatch
from sketch_prompt.models.prompted_clip import embed_patches

CLASSES = ["cup", "cat"]


class PictureProcessor(WordProcessor):
    """Words, and pictures as they are."""

    def preprocess(self, image, domain):
        if not isinstance(image, Image.Image):
            with Image.open(image) as opened:
                image = opened.convert("RGB")
        pixels = np.asarray(image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE)), np.float32)
        return torch.from_numpy(pixels / 128 - 1).permute(2, 0, 1)


def model(seed=0, moved=True, **fields):
    """A model whose low-rank branches do something, unless it should be fresh."""
    torch.manual_seed(seed)
    m = DpClipModel(DpClipConfig(base_model=None, **fields), backbone=tiny_clip()).eval()
    if moved:
        with torch.no_grad():
            for name, parameter in m.adapter.named_parameters():
                if "scalers" in name or name.endswith(("attention_out", "mlp_out")):
                    parameter.normal_(std=0.3)
    return m


def pictures(n, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (n, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in pixels]


def taught(*names, **fields):
    """A model that was shown these categories."""
    m = model(**fields)
    m.set_classes(CLASSES, PictureProcessor())
    for seed, name in enumerate(names):
        m.add_category(name, pictures(1, seed), pictures(2, 10 + seed), PictureProcessor())
    return m


def batch(n=4, labels=None):
    return {
        "sketch_pixel_values": images(n, 1),
        "photo_pixel_values": images(n, 2),
        "negative_pixel_values": images(n, 3),
        "labels": torch.zeros(n, dtype=torch.long) if labels is None else torch.tensor(labels),
        "instance_ids": torch.arange(n),
    }


def test_prompts_come_out_in_the_places_of_the_projected_embeddings():
    m = model()
    generator = m.adapter.prompts
    with torch.no_grad():
        made = m.condition_on(images(1), images(2, 1), None).prompts
        tokens = embed_patches(m.clip.vision_model, torch.cat([images(1), images(2, 1)])).flatten(0, 1)
        for layer in range(LAYERS):
            prompts = generator.projection(generator.embeddings[layer])
            sequence = torch.cat([tokens, prompts])[None]
            alone = generator.block(sequence, attention_mask=None)
            alone = alone[0] if isinstance(alone, tuple) else alone
            assert_close(made[layer], alone.reshape(-1, WIDTH)[-3:], atol=1e-5, rtol=0)


def test_windows_are_the_corners_of_the_grid_and_keep_the_papers_proportion():
    for grid, side in ((7, 5), (14, 10), (8, 6), (4, 3)):
        masks = window_masks(grid)
        assert masks.shape == (4, 1 + grid * grid) and masks[:, 0].all()
        for mask, (top, left) in zip(masks[:, 1:], itertools.product((0, grid - side), repeat=2)):
            seen = {tuple(place) for place in mask.view(grid, grid).nonzero().tolist()}
            assert seen == set(itertools.product(range(top, top + side), range(left, left + side)))


@pytest.mark.parametrize("own_block", [False, True])
def test_local_features_equal_each_window_alone_through_the_block(own_block):
    m = model(own_local_block=own_block, rank=0)
    matcher, last = m.adapter.matcher, m.clip.vision_model.encoder.layers[-1]
    tokens = torch.randn(2, 17, WIDTH)
    with torch.no_grad():
        together = matcher(tokens, last)
        for number, mask in enumerate(window_masks(4)):
            window = tokens[:, mask]
            attended, _ = last.self_attn(matcher.layer_norm1(window), attention_mask=None)
            hidden = window + attended
            hidden = (hidden + last.mlp(matcher.layer_norm2(hidden)))[:, 0]
            alone = matcher.norms[number](hidden) @ matcher.projections[number]
            assert_close(together[:, number], alone, atol=1e-5, rtol=0)


def test_the_inner_product_of_fused_features_stands_for_the_weighted_distance():
    m = model(local_distance_weight=0.3)
    a, b = torch.randn(2, 6, 5, DIM)
    distance = 1 - (normalize(a, dim=-1)[:, None] * normalize(b, dim=-1)).sum(-1)
    weighted = distance[..., 0] + 0.3 * distance[..., 1:].sum(-1)
    assert_close((1 + 4 * 0.3) * (1 - m.fuse(a) @ m.fuse(b).T), weighted)


def test_a_text_scales_the_branches_and_the_support_makes_the_prompts():
    m, text = model(), torch.randn(DIM)
    with torch.no_grad():
        known = m.condition_on(images(1), images(2), text)
        for other in (
            m.condition_on(images(1), images(2), -text),
            m.condition_on(images(1, 5), images(2), text),
        ):
            changed = m.get_photo_features(images(2), condition=other)
            assert not torch.allclose(m.get_photo_features(images(2), condition=known), changed, atol=1e-3)
        several = m.condition_on(images(1), images(2), torch.stack([text + 1, text - 1]))
        assert_close(several.scales, known.scales)


def test_rows_of_different_categories_embed_as_each_alone():
    m = taught("cup", "cat", "dog")
    names = ["dog", "cup", "dog", "cat"]
    with torch.no_grad():
        together = m.get_photo_features(images(4), category=names)
        for row, name in enumerate(names):
            alone = m.get_photo_features(images(4)[row : row + 1], category=name)
            assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


def test_categories_are_saved_with_the_adapter_and_can_be_forgotten(tmp_path):
    m = taught("cup", "dog")
    m.save_pretrained(tmp_path, include_backbone=True)
    again = SketchPromptModel.from_pretrained(tmp_path)
    assert again.categories == ["cup", "dog"]
    with torch.no_grad():
        for name in (None, "cup", "dog"):
            expected = m.get_sketch_features(images(2), category=name)
            assert torch.equal(again.get_sketch_features(images(2), category=name), expected)
    again.remove_category("cup")
    assert again.categories == ["dog"]
    with torch.no_grad():
        assert torch.equal(
            again.get_sketch_features(images(2), category="dog"),
            m.get_sketch_features(images(2), category="dog"),
        )
    again.remove_category("dog")
    assert again.categories == [] and again.adapter.category_prompts is None


def test_switching_to_training_and_back_keeps_the_categories():
    m = taught("cup", "dog")
    before = m.get_sketch_features(images(2), category="cup")
    m.train().eval()
    assert m.categories == ["cup", "dog"]
    assert torch.equal(m.get_sketch_features(images(2), category="cup"), before)
    m.train().add_category("cat", pictures(1), pictures(2), PictureProcessor())
    assert m.training and not m.clip.training and m.categories == ["cup", "dog", "cat"]


def test_a_category_that_training_outdated_says_so_when_it_is_used(tmp_path):
    m = taught("cup", "dog")
    m.train()(**batch()).loss.backward()
    m.eval().add_category("dog", pictures(1), pictures(2), PictureProcessor())
    assert m.categories == ["dog"]
    with pytest.raises(ValueError, match="'cup' was shown before the model was trained further"):
        m.get_sketch_features(images(1), category="cup")
    m.save_pretrained(tmp_path, include_backbone=True)
    assert SketchPromptModel.from_pretrained(tmp_path).categories == ["dog"]


def test_showing_a_category_again_replaces_it():
    m = taught("cup", "dog")
    before = m.get_sketch_features(images(2), category="cup")
    m.add_category("cup", pictures(1, 7), [], PictureProcessor())
    assert sorted(m.categories) == ["cup", "dog"] and len(m.adapter.category_prompts) == 2
    assert not torch.allclose(m.get_sketch_features(images(2), category="cup"), before, atol=1e-3)


def test_category_agnostic_features_are_those_of_the_mean_training_class_whatever_else_was_shown():
    m = taught(*CLASSES)
    before = m.get_photo_features(images(2))
    stored = m.adapter.category_prompts.mean(0), m.adapter.category_scales.mean(0)
    from sketch_prompt.models.dp_clip import DpClipCondition

    assert_close(m.get_photo_features(images(2), condition=DpClipCondition(*stored)), before)
    m.add_category("dog", pictures(1), pictures(2), PictureProcessor())
    assert torch.equal(m.get_photo_features(images(2)), before)


def test_a_category_is_predicted_by_the_plain_clip_and_its_text():
    m = taught("cup", "cat", "dog")
    image = m.clip.get_image_features(pixel_values=images(6)).pooler_output
    texts = [
        torch.stack(
            [
                m.get_text_features(WordProcessor()([line])["input_ids"])[0]
                for line in category_sentences(name)
            ]
        )
        for name in m.categories
    ]
    scores = normalize(image, dim=-1) @ normalize(torch.stack(texts).mean(1), dim=-1).T
    expected = [m.categories[row] for row in scores.argmax(-1).tolist()]
    assert m.predict_categories(images(6)) == expected
    assert set(m.predict_categories(images(6), ["dog"])) == {"dog"}


def test_what_cannot_be_conditioned_on_is_said(tmp_path):
    m = taught("hot air balloon")
    with pytest.raises(ValueError, match=r"no category 'hot air baloon'; did you mean 'hot air balloon'"):
        m.get_sketch_features(images(1), category="hot air baloon")
    with pytest.raises(ValueError, match="2 categories do not fit 3 images"):
        m.get_sketch_features(images(3), category=["hot air balloon"] * 2)
    with pytest.raises(ValueError, match="support set is empty"):
        m.condition_on(images(0), images(0), torch.zeros(DIM))
    with pytest.raises(ValueError, match="support set is empty"):
        m.add_category("cup", [], [], PictureProcessor())
    with pytest.raises(ValueError, match=r"text features must be \(32,\)"):
        m.condition_on(images(1), None, torch.zeros(7))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"support photo 2 of 'cup' cannot be used.*broken\.jpg"):
        m.add_category("cup", [], [*pictures(1), tmp_path / "broken.jpg"], PictureProcessor())
    with pytest.raises(ValueError, match="without a processor"):
        m.add_category("cup", pictures(1), [])
    with pytest.raises(ValueError, match="no category to choose from"):
        model().predict_categories(images(1))
    assert m.categories == ["hot air balloon"]


def test_a_checkpoint_whose_categories_do_not_fit_is_an_error(tmp_path):
    m = taught("cup")
    m.config.categories = ["cup", "dog"]
    m.save_pretrained(tmp_path, include_backbone=True)
    with pytest.raises(ValueError, match=r"category_prompts.*2 categories"):
        SketchPromptModel.from_pretrained(tmp_path)


def test_in_training_the_support_set_is_drawn_from_the_rows_of_the_label():
    m = taught(prompt_dropout=0.0).train()
    given = batch(labels=[0, 1, 0, 1])
    made = m._batch_condition(
        TripletBatch(given["sketch_pixel_values"], given["photo_pixel_values"], labels=given["labels"])
    )
    for label, rows in ((0, [0, 2]), (1, [1, 3])):
        text = m.adapter.class_embeddings[label]
        possible = [
            m.condition_on(given["sketch_pixel_values"][[row]], given["photo_pixel_values"][rows], text)
            for row in rows
        ]
        for row in rows:
            assert any(torch.allclose(made.prompts[row], one.prompts, atol=1e-5) for one in possible)
            assert_close(made.scales[row], possible[0].scales)


def test_the_loss_moves_from_random_to_hard_negatives():
    m = taught(hard_weight_step=0.25, hard_weight_every=2).train()
    known = m.eval().condition_on(images(1), images(2), torch.randn(DIM))
    for epoch, weight in ((0, 0), (1, 0), (2, 0.25), (9, 1), (10, 1.25)):
        m.begin_epoch(epoch, 12)
        output = m(**batch(), condition=known)
        parts = [
            normalize(m.get_part_features(images(4, seed), known), dim=-1).unbind(1) for seed in (1, 2, 3)
        ]
        expected = 0
        for part, (sketch, photo, negative) in enumerate(zip(*parts)):
            share = 1 if part == 0 else 0.1
            random = losses.triplet_loss(sketch, photo, negative, 0.15)
            hard = losses.hardest_triplet_loss(sketch, photo, torch.arange(4), 0.15)
            expected += share * (max(0, 1 - weight) * random + weight * hard)
        assert_close(output.loss, expected)
        assert set(output.loss_terms) == {
            *(["triplet"] if weight < 1 else []),
            *(["hard_triplet"] if weight else []),
        }


def test_at_category_level_no_photo_of_the_sketchs_own_category_is_a_negative():
    m = taught(hard_weight_step=1.0, hard_weight_every=1, prompt_dropout=0.0).train()
    m.begin_epoch(1, 2)  # hard negatives alone
    known = m.eval().condition_on(images(1), images(2), torch.randn(DIM))
    m.train()
    labels = torch.tensor([0, 1, 0, 1])
    given = {**batch(), "labels": labels, "negative_labels": 1 - labels}
    sketch, photo = (
        normalize(m.get_part_features(images(4, seed), known), dim=-1).unbind(1) for seed in (1, 2)
    )
    expected = 0
    for part, (s, p) in enumerate(zip(sketch, photo)):
        for i in range(4):
            nearest = min((1 - s[i] @ p[j]) / 2 for j in range(4) if labels[j] != labels[i])
            excess = torch.relu(0.15 + (1 - s[i] @ p[i]) / 2 - nearest)
            expected += (1 if part == 0 else 0.1) * excess / 4
    assert_close(m(**given, condition=known).loss, expected)
    # The same rows as instances: photos of the own category are negatives then.
    as_instances = {**given, "negative_labels": labels}
    assert not torch.isclose(m(**as_instances, condition=known).loss, expected)


def test_a_batch_of_one_category_without_hard_negatives_is_refused_before_they_count():
    m = taught(hard_weight_step=0.25, hard_weight_every=10).train()
    other = {"negative_labels": torch.ones(4, dtype=torch.long)}
    m.begin_epoch(0, 60)
    with pytest.raises(ValueError, match=r"only one category: train with data\.batches=pk"):
        m(**batch(), **other)
    assert torch.isfinite(m(**batch(labels=[0, 1, 0, 1]), **other).loss)
    assert torch.isfinite(taught(hard_weight_step=0).train()(**batch(), **other).loss)
    same = {"negative_labels": torch.zeros(4, dtype=torch.long)}
    assert torch.isfinite(m(**batch(), **same).loss)  # instances of one category


@pytest.mark.parametrize(
    "fields",
    [
        {"visual_prompts": "common"},
        {"visual_prompts": "none"},
        {"text_scaling": False},
        {"rank": 0},
        {"local_parts": 0},
        {"visual_prompts": "none", "rank": 0, "local_parts": 0},
    ],
)
def test_every_module_can_be_taken_away(fields):
    m = taught(moved=False, **fields)
    m.train()(**batch()).loss.backward()
    named = {id(p) for p in m.trainable_parameters().values()}
    assert {id(p) for p in m.parameters() if p.grad is not None} == named
    with_condition = fields.get("visual_prompts", "support") == "support" or fields.get("rank") != 0
    assert m.is_conditional == with_condition
    m.eval().add_category("cup", pictures(1), pictures(2), PictureProcessor())
    width = DIM * (1 if fields.get("local_parts") == 0 else 5)
    assert m.get_sketch_features(images(2), category="cup").shape == (2, width)


def test_the_windows_block_is_shared_with_the_tower_unless_it_is_its_own():
    shared, own = model(moved=False), model(moved=False, own_local_block=True)
    assert not any("matcher.self_attn" in name for name in shared.adapter_tensors())
    tensors = own.adapter_tensors()
    trained = set(own.trainable_parameters())
    assert "adapter.matcher.self_attn.q_proj.weight" in trained
    assert "adapter.matcher.mlp.fc1.weight" in tensors.keys() - trained
    with torch.no_grad():
        assert_close(own.get_photo_features(images(2)), shared.get_photo_features(images(2)))


def test_sentences_about_a_category_are_the_reference_codes():
    lines = category_sentences("apple")
    assert len(lines) == len(set(lines)) == 63
    assert {"There is an apple in the scene.", "itap of my apple.", "This is an embroidered apple."} <= set(
        lines
    )
    assert "This is a photo of a cup." in category_sentences("cup")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "needs labels"),
        ({"negative_pixel_values": None}, "needs negative_pixel_values"),
    ],
)
def test_a_loss_whose_inputs_are_missing_says_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        taught().train()(**{**batch(), **change})


def test_hard_negatives_need_instances():
    m = taught().train()
    m.begin_epoch(10, 60)
    with pytest.raises(ValueError, match="needs instance_ids"):
        m(**{**batch(), "instance_ids": None})


@pytest.mark.parametrize(
    "fields",
    [
        {"visual_prompts": "all"},
        {"local_parts": 3},
        {"rank": -1},
        {"prompt_dropout": 1.0},
        {"text_templates": "some"},
        {"own_local_block": False, "trainable": "reference"},
    ],
)
def test_values_that_no_dp_clip_can_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        DpClipConfig(**fields)


@pytest.mark.parametrize("fields", [{}, {"local_parts": 0}, {"rank": 0}, {"text_scaling": False}])
def test_patches_are_known_by_the_keys_that_tower_and_windows_attend_to(fields, monkeypatch):
    m = taught("cup", "cat", **fields)
    seen = {}

    def recording(name, attend):
        def call(attn, queries, keys, values, *args, **kwargs):
            seen[name] = keys
            return attend(attn, queries, keys, values, *args, **kwargs)

        return call

    for name, module in (("tower", prompted_clip), ("windows", prompting)):
        monkeypatch.setattr(module, "attend", recording(name, module.attend))
    with torch.no_grad():
        for category in ("cup", None):
            m.get_photo_features(images(2), category=category)
            expected = torch.cat([keys[:, 1:17] for keys in seen.values()], dim=-1)
            features = m.get_patch_features(images(2), "photo", category=category)
            assert_close(features, expected, atol=1e-5, rtol=0)
    assert ("windows" in seen) == (m.adapter.matcher is not None)


def test_an_explanation_is_of_the_category_that_is_given():
    m = taught("cup", "cat")
    as_cup, as_cat, agnostic = (
        m.explain(images(1), images(1, 1), category=category) for category in ("cup", "cat", None)
    )
    assert not np.array_equal(as_cup.similarity, as_cat.similarity)
    assert not np.array_equal(as_cup.similarity, agnostic.similarity)
    with pytest.raises(ValueError, match="shown no category 'dog'"):
        m.explain(images(1), images(1, 1), category="dog")
