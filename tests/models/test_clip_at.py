"""What is CLIP-AT's own: its prompts, its losses, its two trainable sets."""

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import LAYERS, WIDTH, WordProcessor, images, tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, losses

CLASSES = ["cup", "cat"]


def model(**fields):
    torch.manual_seed(0)
    return ClipAtModel(ClipAtConfig(base_model=None, **fields), backbone=tiny_clip())


def batch(n=4):
    return {
        "sketch_pixel_values": images(n, 1),
        "photo_pixel_values": images(n, 2),
        "negative_pixel_values": images(n, 3),
        "labels": torch.arange(n) % 2,
    }


def test_sketches_and_photos_have_prompts_of_their_own_drawn_from_the_named_deviation():
    m = model(n_prompts=400, prompt_init_std=0.5)
    a, b = m.adapter.sketch_prompts, m.adapter.photo_prompts
    assert a.shape == b.shape == (400, WIDTH) and not torch.equal(a, b)
    assert a.std().item() == pytest.approx(0.5, rel=0.02)
    m.eval()
    with torch.no_grad():
        assert not torch.allclose(m.get_sketch_features(images(2)), m.get_photo_features(images(2)))


def test_the_one_pass_over_a_triplet_equals_three_passes():
    m = model().eval()
    with torch.no_grad():
        out = m(**batch(), return_loss=False)
        assert out.loss is None
        assert_close(out.sketch_embeds, m.get_sketch_features(images(4, 1)), atol=1e-6, rtol=0)
        assert_close(out.photo_embeds, m.get_photo_features(images(4, 2)), atol=1e-6, rtol=0)
        assert_close(out.negative_embeds, m.get_photo_features(images(4, 3)), atol=1e-6, rtol=0)


def test_the_loss_is_triplet_plus_half_of_both_classifications():
    m = model(triplet_margin=0.25, temperature=0.1)
    m.set_classes(CLASSES, WordProcessor())
    out = m(**batch())
    classes = m.adapter.class_embeddings
    triplet = losses.triplet_loss(out.sketch_embeds, out.photo_embeds, out.negative_embeds, 0.25)
    sketch = losses.classification_loss(out.sketch_embeds, classes, batch()["labels"], 0.1)
    photo = losses.classification_loss(out.photo_embeds, classes, batch()["labels"], 0.1)
    assert_close(out.loss, triplet + 0.5 * (sketch + photo))
    assert set(out.loss_terms) == {"triplet", "classification_sketch", "classification_photo"}
    assert_close(out.loss_terms["classification_photo"], photo)


def test_class_texts_come_from_the_prompt_sentence_and_train_nothing():
    m = model(class_prompt="a sketch of a {}")
    m.set_classes(CLASSES, WordProcessor())
    ids = WordProcessor()(["a sketch of a cup", "a sketch of a cat"])["input_ids"]
    assert torch.equal(m.adapter.class_embeddings, m.get_text_features(ids))
    assert m.config.class_names == CLASSES and not m.adapter.class_embeddings.requires_grad


def test_the_papers_trainable_set_is_prompts_and_vision_layer_norms_of_either_modality():
    names = set(model().trainable_parameters())
    layers = {f"encoder.layers.{i}.layer_norm{k}" for i in range(LAYERS) for k in (1, 2)}
    norms = layers | {"pre_layrnorm", "post_layernorm"}
    expected = {f"clip.vision_model.{n}.{kind}" for n in norms for kind in ("weight", "bias")}
    prompts = {"adapter.sketch_prompts", "adapter.photo_prompts"}
    of_photos = {name.replace("clip.", "adapter.tuned_photo.", 1) for name in expected}
    assert names == expected | of_photos | prompts
    assert set(model(layer_norms="shared").trainable_parameters()) == expected | prompts
    groups = {group["name"]: len(group["params"]) for group in model().parameter_groups()}
    assert groups == {"prompts": 2, "layer_norms": 2 * len(expected)}


@pytest.mark.parametrize("image", ["sketch", "photo"])
def test_separate_layer_norms_train_on_their_own_modality_alone(image):
    m = model().eval()
    for parameter in m.trainable_parameters().values():
        parameter.requires_grad_(True)
    getattr(m, f"get_{image}_features")(images(2)).square().flatten()[:3].sum().backward()
    moved = {name for name, value in m.trainable_parameters().items() if value.grad is not None}
    start, prompts = {"sketch": ("clip.", "adapter.sketch"), "photo": ("adapter.tuned", "adapter.photo")}[
        image
    ]
    norms = {name for name in m.trainable_parameters() if name.startswith(start)}
    assert moved == norms | {f"{prompts}_prompts"}


def test_separate_layer_norms_start_as_shared_ones_and_part_when_trained_and_are_saved(tmp_path):
    from sketch_prompt import SketchPromptModel

    m, shared = (
        model(classification_weight=0).eval(),
        model(classification_weight=0, layer_norms="shared").eval(),
    )
    with torch.no_grad():
        assert torch.equal(m.get_photo_features(images(3)), shared.get_photo_features(images(3)))
        assert_close(m(**batch()).loss, shared(**batch()).loss)
    optimizer = torch.optim.Adam(list(m.trainable_parameters().values()), lr=1e-2)
    m.train()(**batch()).loss.backward()
    optimizer.step()
    m.eval()
    sketches, photos = m.adapter.clip.vision_model, m.adapter.photo_clip.vision_model
    assert not torch.equal(sketches.post_layernorm.weight, photos.post_layernorm.weight)
    assert sketches.encoder.layers[0].mlp is photos.encoder.layers[0].mlp
    assert torch.equal(m.clip.vision_model.post_layernorm.weight, torch.ones(WIDTH))
    with torch.no_grad():
        m.save_pretrained(tmp_path, include_backbone=True)
        again = SketchPromptModel.from_pretrained(tmp_path)
        assert again.config.layer_norms == "separate"
        for read in ("get_sketch_features", "get_photo_features"):
            assert torch.equal(getattr(again, read)(images(3)), getattr(m, read)(images(3)))
        for domain in ("sketch", "photo"):
            assert torch.equal(
                again.get_patch_features(images(2), domain), m.get_patch_features(images(2), domain)
            )


def test_a_checkpoint_from_before_the_choice_has_shared_layer_norms():
    assert ClipAtConfig().layer_norms == "separate"
    assert ClipAtConfig(common_prompts=True).layer_norms == "shared"
    assert ClipAtConfig(trainable="reference").layer_norms == "shared"
    new = ClipAtConfig().to_dict()
    assert ClipAtConfig.from_dict(new).layer_norms == "separate"
    assert (
        ClipAtConfig.from_dict({k: v for k, v in new.items() if k != "layer_norms"}).layer_norms == "shared"
    )
    with pytest.raises(ValueError, match="layer_norms must be 'shared' with trainable='reference'"):
        ClipAtConfig(trainable="reference", layer_norms="separate")


def test_the_references_trainable_set_trains_and_is_saved(tmp_path):
    from sketch_prompt import SketchPromptModel

    m = model(trainable="reference", classification_weight=0.0)
    groups = {group["name"]: len(group["params"]) for group in m.parameter_groups()}
    assert groups == {"prompts": 2, "layer_norms": 2 * (2 * (2 * LAYERS) + 3), "backbone": 2 * LAYERS * 6 + 6}
    optimizer = torch.optim.Adam(list(m.trainable_parameters().values()), lr=1e-2)
    m.train()(**batch()).loss.backward()
    optimizer.step()
    m.eval()
    with torch.no_grad():
        moved = m.get_photo_features(images(3))
        m.save_pretrained(tmp_path, include_backbone=True)
        again = SketchPromptModel.from_pretrained(tmp_path)
        assert torch.equal(again.get_photo_features(images(3)), moved)
    assert again.adapter.class_embedding is not None


@pytest.mark.parametrize(
    ("fields", "change", "message"),
    [
        ({}, {"negative_pixel_values": None}, "needs negative_pixel_values"),
        ({}, {"labels": None}, "needs labels"),
        ({}, {}, "call model.set_classes"),
        ({"triplet_weight": 0.0, "classification_weight": 0.0}, {}, "there is no loss"),
    ],
)
def test_a_loss_whose_inputs_are_missing_says_what_to_do(fields, change, message):
    with pytest.raises(ValueError, match=message):
        model(**fields)(**{**batch(), **change})


@pytest.mark.parametrize(
    "fields",
    [
        {"n_prompts": 0},
        {"trainable": "all"},
        {"layer_norms": "both"},
        {"triplet_margin": -1.0},
        {"temperature": 0.0},
    ],
)
def test_values_that_no_clip_at_can_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        ClipAtConfig(**fields)


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(Exception, match="n_prompts"):
        ClipAtConfig(n_prompts="three")


def test_common_prompts_are_one_set_that_is_saved_once(tmp_path):
    from sketch_prompt import SketchPromptModel

    m = model(common_prompts=True).eval()
    assert m.adapter.photo_prompts is m.adapter.sketch_prompts
    assert {name for name in m.adapter_tensors() if "prompts" in name} == {"adapter.sketch_prompts"}
    with torch.no_grad():
        assert torch.equal(m.get_sketch_features(images(2)), m.get_photo_features(images(2)))
        m.adapter.sketch_prompts.mul_(2)
        m.save_pretrained(tmp_path, include_backbone=True)
        again = SketchPromptModel.from_pretrained(tmp_path)
        assert torch.equal(again.get_photo_features(images(2)), m.get_photo_features(images(2)))
    assert again.adapter.photo_prompts is again.adapter.sketch_prompts


def test_the_fine_grained_loss_is_the_weighted_sum_of_its_terms():
    weights = {"triplet_weight": 1.0, "f_divergence_weight": 0.1, "patch_shuffling_weight": 0.7}
    m = model(common_prompts=True, **weights)
    m.set_classes(CLASSES, WordProcessor())
    out = m(**batch())
    terms = out.loss_terms
    embeds = out.sketch_embeds, out.photo_embeds, out.negative_embeds
    assert_close(terms["f_divergence"], losses.f_divergence_loss(*embeds, batch()["labels"]))
    classified = terms["classification_sketch"] + terms["classification_photo"]
    expected = terms["triplet"] + 0.1 * terms["f_divergence"] + 0.7 * terms["patch_shuffling"]
    assert_close(out.loss, expected + 0.5 * classified)


def test_patch_shuffling_shuffles_sketch_and_photo_alike_and_the_photo_also_otherwise(monkeypatch):
    m = model(patch_shuffling_weight=1.0, patch_shuffling_tiles=2, patch_shuffling_margin=0.4)
    seen = []

    def embed(parts):
        seen.extend(parts)
        return [torch.nn.functional.normalize(part.flatten(1), dim=-1) for part in parts]

    monkeypatch.setattr(m, "embed_triplets", embed)
    # A picture that is its own index tells which permutation it went through.
    picture = torch.arange(32.0).expand(64, 3, 32, 32) // 16 + 2 * (torch.arange(32.0)[:, None] // 16)
    loss = m._patch_shuffling(picture, picture)
    sketch, photo, other = seen
    assert torch.equal(sketch, photo)
    different = (photo != other).flatten(1).any(1)
    assert different.all() and torch.isfinite(loss)
    assert len({tuple(image[0, ::16, ::16].flatten().tolist()) for image in photo}) > 10


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 0, 1]], ids=["one class", "one triplet of a class"])
def test_an_f_divergence_that_would_be_0_whatever_is_embedded_is_refused_in_training(labels):
    m = model(f_divergence_weight=0.1, classification_weight=0.0)
    inputs = {**batch(), "labels": torch.tensor(labels)}
    assert m.eval()(**inputs).loss_terms["f_divergence"] == 0
    with pytest.raises(
        ValueError, match=r"f_divergence loss .* two classes with two triplets each.*data.batches=pk"
    ):
        m.train()(**inputs)


def test_every_fine_grained_loss_says_what_it_lacks():
    m = model(triplet_weight=0.0, classification_weight=0.0, f_divergence_weight=0.1)
    with pytest.raises(ValueError, match="f_divergence loss needs negative_pixel_values"):
        m(**{**batch(), "negative_pixel_values": None})
    with pytest.raises(ValueError, match="f_divergence loss needs labels"):
        m(**{**batch(), "labels": None})
    with pytest.raises(ValueError, match="patch_shuffling_tiles"):
        ClipAtConfig(patch_shuffling_tiles=1)
