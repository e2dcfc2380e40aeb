"""What is SpLIP's own, against loops over transformers' layers: mappings, wiring, losses, cache."""

import copy

import pytest
import torch
from torch.testing import assert_close

from fakes.clip import DIM, IMAGE_SIZE, LAYERS, PATCH, WIDTH, WordProcessor, images, tiny_clip
from sketch_prompt import SketchPromptModel, SplipConfig, SplipModel, losses
from sketch_prompt.hub.model_card import model_card
from sketch_prompt.models.prompted_clip import (
    coloured_blobs,
    embed_patches,
    encode_text,
    encode_vision,
    end_of_text_positions,
    mean_tokens,
    project_image,
)
from sketch_prompt.models.splip import modeling_splip
from sketch_prompt.models.tiles import shuffle_tiles
from sketch_prompt.training.checkpoints import load_adapter_tensors

CLASSES = ["cup", "cat", "hot air balloon"]
PATCHES = (IMAGE_SIZE // PATCH) ** 2
SMALL = {"solver_feedforward": 16, "mapping_hidden_size": 8}
IMAGES = ("sketch", "photo", "negative")
LOSSES = ("triplet_weight", "classification_weight", "jigsaw_weight")

# The rows of the paper's tables 5 and 6.
ABLATIONS = {
    "classification": {"triplet_weight": 0.0, "jigsaw_weight": 0.0},
    "triplet": {"adaptive_margin": False, "classification_weight": 0.0, "jigsaw_weight": 0.0},
    "both": {"adaptive_margin": False, "jigsaw_weight": 0.0},
    "adaptive margin": {"jigsaw_weight": 0.0},
    "no LayerNorms": {"layer_norms": "none"},
    "no B_v": {"text_guided_prompts": False},
    "no B_t": {"n_text_prompts": 0},
    "no B_vt": {"n_semantic_prompts": 0},
    "no visual prompts": {"text_guided_prompts": False, "n_semantic_prompts": 0},
    "no prompts": {"text_guided_prompts": False, "n_semantic_prompts": 0, "n_text_prompts": 0},
    "nothing of the text tower": {"n_semantic_prompts": 0, "classification_weight": 0.0},
    "vision LayerNorms": {"layer_norms": "vision"},
    "prompts at the mean token": {"prompt_init": "mean_token"},
    "T of each image": {"text_prompt_source": "image"},
    "patch shuffling": {"patch_shuffling_weight": 1.0, "jigsaw_weight": 0.0},
}


def model(seed=0, classes=CLASSES, clip=None, **fields):
    clip = clip or tiny_clip()
    torch.manual_seed(seed)
    made = SplipModel(SplipConfig(base_model=None, **{**SMALL, **fields}), backbone=clip).eval()
    if classes:
        made.set_classes(classes, WordProcessor())
    return made


def batch(n=4, seed=1):
    return {
        "sketch_pixel_values": images(n, seed),
        "photo_pixel_values": images(n, seed + 1),
        "negative_pixel_values": images(n, seed + 2),
        "labels": torch.arange(n) % 3,
        "negative_labels": (torch.arange(n) + 1) % 3,
    }


def step(m, seed=1, lr=1e-2):
    torch.manual_seed(seed)
    m.train()(**batch(seed=seed)).loss.backward()
    with torch.no_grad():
        for parameter in m.trainable_parameters().values():
            parameter -= lr * parameter.grad.sign()
    m.zero_grad()
    m.eval()


def trained(**fields):
    """A model that has left its initialisation and has seen images."""
    m = model(**fields)
    step(m, 1)
    step(m, 2)
    return m


def features(m):
    with torch.no_grad():
        return torch.cat([m.get_sketch_features(images(3)), m.get_photo_features(images(3))])


def live_features(m):
    """The same past the cache, which serves only where no gradient is recorded."""
    return torch.cat([m.get_sketch_features(images(3)), m.get_photo_features(images(3))]).detach()


# Wiring


def text_prompts_by_hand(m, domain):
    """B_t in loops: patches to m tokens, then the width, in three linear layers."""
    block, patches = m.adapter.patches_to_text, m.adapter.patch_means[domain]
    prompts = []
    for weights, bias in zip(block.mix.weight, block.mix.bias):
        token = sum(w * patch for w, patch in zip(weights, patches)) + bias
        hidden = torch.nn.functional.gelu(block.down.weight @ token + block.down.bias)
        prompts.append(block.up.weight @ hidden + block.up.bias)
    return torch.stack(prompts)


def sentence_by_hand(m, words, prompts):
    """Layer by layer through transformers' own layers: (the end token's outputs, the mean's, the embedding)."""
    text, n = m.adapter.clip.text_model, len(prompts)
    ids = WordProcessor()([words])["input_ids"]
    tokens = text.embeddings.token_embedding(ids)
    hidden = torch.cat([tokens[:, :1], prompts[None], tokens[:, 1:]], dim=1)
    hidden = hidden + text.embeddings.position_embedding.weight[: hidden.shape[1]]
    size = hidden.shape[1]
    mask = torch.full((size, size), float("-inf")).triu(1)[None, None]
    ends, means = [], []
    for i, layer in enumerate(text.encoder.layers):
        if i:
            hidden = torch.cat([hidden[:, :1], prompts[None], hidden[:, 1 + n :]], dim=1)
        hidden = layer(hidden, mask)
        shown = hidden
        if i + 1 < len(text.encoder.layers):  # as the next layer sees it
            shown = torch.cat([hidden[:, :1], prompts[None], hidden[:, 1 + n :]], dim=1)
        ends.append(hidden[0, -1])
        means.append(shown[0].mean(0))
    embedding = m.adapter.clip.text_projection(text.final_layer_norm(hidden[:, -1]))[0]
    return ends, means, embedding / embedding.norm()


def visual_prompts_by_hand(m, domain, readout="end", join="mean"):
    """V^tg and V^ms of every layer, and the class embeddings, one class, one layer, one token at a time."""
    text = m.adapter.clip.text_model
    sentence = ("sketch of a {}", "photo of a {}")[domain]
    prompts = text_prompts_by_hand(m, domain)
    start = WordProcessor()([sentence.removesuffix(" {}")])["input_ids"][0, :-1]
    mapping = m.adapter.words_to_vision
    guided = [mapping.weight @ text.embeddings.token_embedding.weight[i] + mapping.bias for i in start]
    by_class = [sentence_by_hand(m, sentence.format(name), prompts) for name in CLASSES]
    semantic = []
    for depth, block in enumerate(m.adapter.layers_to_vision.mappings):
        outputs = torch.stack([one[0 if readout == "end" else 1][depth] for one in by_class])
        joined = outputs.mean(0) if join == "mean" else outputs.max(0).values
        semantic.append(block(joined).view(-1, WIDTH))
    return torch.stack(guided), semantic, torch.stack([one[2] for one in by_class])


def embedding_by_hand(m, pixels, layers):
    """The vision tower in transformers' own layers with deep prompts, one image at a time."""
    vision = m.adapter.clip.vision_model
    tokens = vision.embeddings(pixels[None])
    n = tokens.shape[1]
    hidden = vision.pre_layrnorm(torch.cat([tokens, layers[0][None]], dim=1))
    for i, layer in enumerate(vision.encoder.layers):
        if i:
            hidden = torch.cat([hidden[:, :n], layers[i][None]], dim=1)
        hidden = layer(hidden, None)
    embedding = m.adapter.clip.visual_projection(vision.post_layernorm(hidden[:, 0]))[0]
    return embedding / embedding.norm()


@pytest.mark.parametrize(("readout", "join"), [("end", "mean"), ("mean", "mean"), ("end", "max")])
def test_every_mapping_is_wired_as_the_loops_say(readout, join):
    m = trained(text_readout=readout, class_aggregation=join)
    with torch.no_grad():
        prompts = m.prompts()
        for domain, embed in enumerate((m.get_sketch_features, m.get_photo_features)):
            guided, semantic, classes = visual_prompts_by_hand(m, domain, readout, join)
            assert_close(prompts.text[domain], text_prompts_by_hand(m, domain), atol=1e-5, rtol=1e-5)
            assert_close(prompts.text_guided[domain], guided, atol=1e-5, rtol=1e-5)
            assert_close(prompts.class_embeddings[domain], classes, atol=1e-5, rtol=1e-5)
            for ours, theirs in zip(prompts.semantic, semantic, strict=True):
                assert_close(ours[domain], theirs, atol=1e-5, rtol=1e-5)
            layers = [torch.cat([guided, layer]) for layer in semantic]
            by_hand = torch.stack([embedding_by_hand(m, one, layers) for one in images(2)])
            assert_close(embed(images(2)), by_hand, atol=1e-5, rtol=1e-5)


def test_shapes_are_the_papers():
    m = trained()
    with torch.no_grad():
        prompts = m.prompts()
    assert prompts.text.shape == (2, 4, WIDTH)  # m
    assert prompts.text_guided.shape == (2, 4, WIDTH)  # J - 1: start, "sketch", "of", "a"
    assert len(prompts.semantic) == LAYERS and prompts.semantic[0].shape == (2, 2, WIDTH)  # n
    assert prompts.class_embeddings.shape == (2, 3, DIM)
    assert prompts.visual(0, LAYERS)[0].shape == (6, WIDTH)
    assert m.adapter.patch_means.shape == (2, PATCHES, WIDTH)


def test_text_guided_prompts_are_the_same_in_every_layer_and_semantic_ones_differ():
    m = trained()
    with torch.no_grad():
        layers = m.prompts().visual(1, LAYERS)
    for a, b in zip(layers, layers[1:]):
        assert torch.equal(a[:4], b[:4])
        assert (a[4:] - b[4:]).abs().max() > 1e-3


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_towers_of_unequal_depth_are_joined_from_the_first_layer_to_the_last(depth):
    m = model(clip=tiny_clip(num_hidden_layers=depth), jigsaw_weight=0.0)
    with torch.no_grad():
        semantic = m.prompts().semantic
    assert len(semantic) == depth
    assert all(not torch.allclose(a, b) for a, b in zip(semantic, semantic[1:]))
    read = m.adapter.layers_to_vision.text_layers
    assert read == {2: [1, 2], 3: [0, 1, 2], 5: [0, 1, 1, 2, 2]}[depth]


def test_a_change_of_the_text_tower_reaches_the_visual_features():
    m = trained()
    before = features(m)
    with torch.no_grad():
        m.clip.text_model.encoder.layers[0].mlp.fc1.weight[0] += 0.5
    changed = features(m)
    assert (changed - before).abs().amax(1).min() > 1e-5
    m.clip.text_model.embeddings.token_embedding.weight.data += 0.1
    assert not torch.allclose(live_features(m), changed, atol=1e-5)


def test_a_change_of_the_images_reaches_the_text_features():
    m = trained()
    ids = WordProcessor()(["a cup"])["input_ids"]
    with torch.no_grad():
        before = {domain: m.get_text_features(ids, domain=domain) for domain in ("sketch", "photo")}
        m.adapter.patch_means[1] += 1.0
        assert torch.equal(m.get_text_features(ids, domain="sketch"), before["sketch"])
        assert not torch.allclose(m.get_text_features(ids), before["photo"], atol=1e-4)
    m.train()
    seen = []
    for seed in (1, 5):  # other images, the same labels and permutations
        torch.manual_seed(0)
        out = m(
            **batch(seed=seed) | {"photo_pixel_values": images(4, 2), "negative_pixel_values": images(4, 3)}
        )
        seen.append(out.photo_embeds.detach())
    assert torch.equal(*seen)  # photos take their prompts from photos
    torch.manual_seed(0)
    other = m(**batch() | {"negative_pixel_values": images(4, 9)}).photo_embeds
    assert not torch.allclose(other, seen[0], atol=1e-6)


def test_sketches_and_photos_are_embedded_with_prompts_of_their_own():
    m = trained()
    with torch.no_grad():
        assert not torch.allclose(
            m.get_sketch_features(images(2)), m.get_photo_features(images(2)), atol=1e-4
        )


def test_without_any_module_it_is_the_frozen_clip():
    m = model(**ABLATIONS["no prompts"], layer_norms="none")
    with torch.no_grad():
        theirs = m.clip.get_image_features(pixel_values=images(3)).pooler_output
        theirs = torch.nn.functional.normalize(theirs, dim=-1)
        assert_close(m.get_photo_features(images(3)), theirs, atol=1e-6, rtol=0)


def test_the_one_pass_over_a_triplet_equals_three_passes():
    m = trained()
    with torch.no_grad():
        out = m(**batch())
    assert_close(out.sketch_embeds, m.get_sketch_features(images(4, 1)), atol=1e-6, rtol=0)
    assert_close(out.photo_embeds, m.get_photo_features(images(4, 2)), atol=1e-6, rtol=0)
    assert_close(out.negative_embeds, m.get_photo_features(images(4, 3)), atol=1e-6, rtol=0)


def test_embeddings_do_not_depend_on_the_batch():
    m, many = trained(), images(64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for embed in (m.get_sketch_features, m.get_photo_features):
            together = embed(many)
            assert_close(embed(many[order]), together[order], atol=1e-6, rtol=0)
            assert_close(torch.cat([embed(one) for one in many.split(1)]), together, atol=1e-6, rtol=0)


@pytest.mark.parametrize("momentum", [None, 0.25])
def test_the_patch_means_run_over_all_images_seen(momentum):
    m = model(patch_mean_momentum=momentum)
    every, expected = [], None
    for seed, n in ((1, 4), (2, 2), (3, 6)):
        part = batch(n, seed)
        m.train()(**part, return_loss=False)
        photos = torch.cat([part["photo_pixel_values"], part["negative_pixel_values"]])
        patches = embed_patches(m.clip.vision_model, photos)[:, 1:]
        every.append(patches)
        share = max(momentum or 0, len(patches) / sum(map(len, every)))
        expected = patches.mean(0) if share == 1 else torch.lerp(expected, patches.mean(0), share)
    if momentum is None:
        assert_close(expected, torch.cat(every).mean(0))
    assert_close(m.adapter.patch_means[1], expected, atol=1e-5, rtol=1e-5)
    assert m.adapter.images_seen.tolist() == [12, 24]
    before = m.adapter.patch_means.clone()
    m.eval()(**batch(), return_loss=False)
    assert torch.equal(m.adapter.patch_means, before)


def test_patch_features_are_those_under_the_prompts_of_the_domain():
    m = trained()
    with torch.no_grad():
        sketch, photo = (m.get_patch_features(images(2), domain) for domain in ("sketch", "photo"))
    assert sketch.shape == photo.shape == (2, PATCHES, WIDTH)
    assert not torch.allclose(sketch, photo, atol=1e-4)


# Losses


def test_margins_are_the_cosines_of_the_classes_texts_in_the_frozen_clip():
    m = trained(same_class_margin=0.7)
    frozen = tiny_clip()
    ids = WordProcessor()([f"a photo of a {name}" for name in CLASSES])["input_ids"]
    texts = frozen.get_text_features(input_ids=ids, attention_mask=(ids != 0).long()).pooler_output.detach()
    labels, negatives = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 2, 0, 2])
    margins = m._margins(None, labels, negatives)
    for mu, a, b in zip(margins[:3], labels, negatives):
        assert_close(mu, torch.cosine_similarity(texts[a], texts[b], dim=0), atol=1e-5, rtol=1e-5)
    assert margins[3] == pytest.approx(0.7)  # fine-grained: one class


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({"adaptive_margin": False, "fixed_margin": 0.4}, True, 0.4),
        ({"fixed_margin": 0.3}, False, 0.3),
    ],
)
def test_the_margin_is_fixed_where_it_cannot_or_shall_not_adapt(fields, given, expected):
    m = model(**fields)
    assert m._margins(None, torch.tensor([0]), torch.tensor([1]) if given else None) == expected


def test_prompted_margins_follow_the_photos_prompted_texts_without_training_them():
    m = model(margin_text="prompted")
    prompts = m.prompts()
    a, b = prompts.class_embeddings[1][0], prompts.class_embeddings[1][2]
    margin = m._margins(prompts, torch.tensor([0]), torch.tensor([2]))
    assert_close(margin, (a @ b)[None])
    assert not margin.requires_grad


def test_the_loss_is_triplet_plus_alpha_classification_plus_beta_jigsaw():
    m = model(classification_weight=0.5, jigsaw_weight=0.25, temperature=0.1)
    given = batch()
    torch.manual_seed(3)
    out = m(**given)
    torch.manual_seed(3)
    permutation = torch.randint(m.config.n_permutations, (4,))
    bank = modeling_splip.permutation_bank(m.config.n_permutations)
    shuffled = modeling_splip.shuffle_tiles(given["sketch_pixel_values"], bank[permutation])
    with torch.no_grad():
        s, p, n = (m.get_sketch_features(images(4, 1)), *(m.get_photo_features(images(4, k)) for k in (2, 3)))
        s_shuffled = m.get_sketch_features(shuffled)
        margins = m._margins(None, given["labels"], given["negative_labels"])
        classes = m.prompts().class_embeddings
        terms = {
            "triplet": losses.squared_triplet_loss(s, p, n, margins),
            "classification_sketch": losses.classification_loss(s, classes[0], given["labels"], 0.1),
            "classification_photo": losses.classification_loss(p, classes[1], given["labels"], 0.1),
            "classification_negative": losses.classification_loss(
                n, classes[1], given["negative_labels"], 0.1
            ),
            "jigsaw": losses.conditional_jigsaw_loss(
                *(m.adapter.solver(clue, s_shuffled) for clue in (s, p, n)), permutation
            ),
        }
    assert out.loss_terms.keys() == terms.keys()
    for name, value in terms.items():
        assert_close(out.loss_terms[name], value, atol=1e-5, rtol=1e-5)
    total = terms["triplet"] + 0.25 * terms["jigsaw"]
    total += 0.5 * sum(terms[f"classification_{name}"] for name in ("sketch", "photo", "negative"))
    assert_close(out.loss, total, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_from_before_the_choice_does_not_classify_negatives():
    new = SplipConfig().to_dict()
    assert SplipConfig.from_dict(new).classify_negatives
    old = SplipConfig.from_dict({name: value for name, value in new.items() if name != "classify_negatives"})
    assert not old.classify_negatives
    without = model(classify_negatives=False)
    assert "classification_negative" not in without(**{**batch(), "negative_labels": None}).loss_terms


def test_margins_are_raised_to_the_least_and_their_statistics_are_returned():
    m = model()
    given = batch()
    cosines = m._margins(None, given["labels"], given["negative_labels"])
    middle = cosines.median().item()
    raised = model(least_margin=middle)
    assert_close(raised._margins(None, given["labels"], given["negative_labels"]), cosines.clamp(min=middle))
    statistics = m(**given).statistics
    assert_close(statistics["margin"], cosines.mean())
    assert_close(statistics["margin_share_above_0"], (cosines > 0).float().mean())
    assert model(adaptive_margin=False)(**given).statistics is None


def test_prompts_of_the_first_layers_go_on_through_the_others():
    m, depth = model(prompt_depth=1, layer_norms="none"), LAYERS
    assert len(m.adapter.layers_to_vision.mappings) == 1
    prompts = m.prompts()
    vision = m.adapter.clip.vision_model
    with torch.no_grad():
        shallow = encode_vision(vision, images(2), prompts.visual(0, depth)[0])
        assert_close(m._encode(images(2), prompts, 0).pooled, shallow.pooled)
        deep = encode_vision(vision, images(2), prompts.visual(0, depth))
        assert not torch.allclose(deep.pooled, shallow.pooled, atol=1e-4)
    whole, all_layers = model(layer_norms="none"), model(layer_norms="none", prompt_depth=depth)
    assert torch.equal(features(whole), features(all_layers))


def test_text_prompts_replace_the_words_before_the_class_and_never_the_class():
    m = model(text_prompt_placement="replace", n_text_prompts=3)
    text, prompts = m.adapter.clip.text_model, m.prompts()
    photos = m.adapter.class_ids[1]
    with torch.no_grad():
        deep = [prompts.text[1].expand(len(photos), -1, -1)] * LAYERS
        expected = encode_text(text, photos, deep, placement="replace")
        embeds = torch.nn.functional.normalize(m.adapter.clip.text_projection(expected.pooled), dim=-1)
        assert_close(prompts.class_embeddings[1], embeds)
    with pytest.raises(
        ValueError, match="4 prompts in the place of words, but there are only 3 before the class"
    ):
        model(text_prompt_placement="replace", n_text_prompts=4)


def test_prompts_of_an_image_are_what_its_own_patches_and_some_classes_give():
    m = trained(text_prompt_source="image", image_prompt_classes=2)
    given = images(3, 7)
    with torch.no_grad():
        for domain, embed in ((0, m.get_sketch_features), (1, m.get_photo_features)):
            for row in range(3):
                alone = given[row : row + 1]
                patches = embed_patches(m.clip.vision_model, alone)[:, 1:]
                text = m.adapter.patches_to_text(patches)
                ids = m.adapter.class_ids[domain, [0, 2]]  # the first and the last of three
                tower = encode_text(
                    m.adapter.clip.text_model,
                    ids,
                    [text.expand(2, -1, -1)] * LAYERS,
                    output_hidden_states=True,
                )
                ends = encode_ends(m, ids)
                classes = [
                    layer[torch.arange(2), ends].mean(0, keepdim=True) for layer in tower.hidden_states[1:]
                ]
                semantic = m.adapter.layers_to_vision(classes)
                guided = m.prompts().text_guided[domain]
                visual = [torch.cat([guided, layer[0]]) for layer in semantic]
                pooled = encode_vision(m.adapter.clip.vision_model, alone, visual).pooled
                assert_close(embed(given)[row : row + 1], project_image(m.adapter.clip, pooled))
        assert not torch.allclose(m.get_photo_features(given), model_of_means(m).get_photo_features(given))


def encode_ends(m, ids):
    """Places of the end-of-text tokens behind the text prompts."""
    return end_of_text_positions(m.clip.text_model, ids) + m.config.n_text_prompts


def model_of_means(m):
    """The same weights, with prompts of mean patches."""
    m.config.text_prompt_source = "mean"
    return m


def test_prompts_start_at_the_mean_token_of_their_layer_and_train_from_there():
    plain, m = model(), model(prompt_init="mean_token")
    offsets = m.adapter.prompt_offsets
    expected = mean_tokens(m.clip.vision_model)
    assert_close(offsets.detach(), expected)
    seen = encode_vision(m.clip.vision_model, coloured_blobs(IMAGE_SIZE), output_hidden_states=True)
    assert_close(expected[1:], torch.stack([layer[:, 1:].mean((0, 1)) for layer in seen.hidden_states[1:-1]]))
    layers = [part.prompts().visual(1, LAYERS) for part in (plain, m)]
    moved = m.prompts().visual(1, LAYERS, offsets=offsets)
    for before, start, after, offset in zip(*layers, moved, expected):
        assert torch.equal(before, start)
        assert_close(after, before + offset)
    step(m)
    assert not torch.equal(m.adapter.prompt_offsets, expected)
    shallow = model(prompt_init="mean_token", prompt_depth=1)
    assert shallow.adapter.prompt_offsets.shape == (1, WIDTH)
    assert not torch.allclose(features(shallow), features(model(prompt_depth=1)))


def test_patch_shuffling_can_stand_in_for_the_jigsaw(monkeypatch):
    only = {"triplet_weight": 0.0, "classification_weight": 0.0, "jigsaw_weight": 0.0}
    m = model(patch_shuffling_weight=2.0, patch_shuffling_margin=0.4, **only).train()
    first, second = torch.tensor([[1, 0, 2, 3]] * 4), torch.tensor([[3, 2, 1, 0]] * 4)
    monkeypatch.setattr(modeling_splip, "two_orders", lambda rows, tiles: (first, second))
    given = batch()
    output = m(**given)
    prompts = m._make_prompts(m._mean_patches([given[f"{name}_pixel_values"] for name in IMAGES]))
    sketch = m._embed(shuffle_tiles(given["sketch_pixel_values"], first), prompts, 0)
    photos = [
        m._embed(shuffle_tiles(given["photo_pixel_values"], order), prompts, 1) for order in (first, second)
    ]
    assert set(output.loss_terms) == {"patch_shuffling"} and m.adapter.solver is None
    assert_close(output.loss, 2 * losses.patch_shuffling_loss(sketch, *photos, 0.4))
    assert output.negative_embeds.shape == output.photo_embeds.shape


@pytest.mark.parametrize("row", ABLATIONS)
def test_gradient_reaches_exactly_what_an_ablation_leaves_trainable(row):
    m = model(**ABLATIONS[row])
    before = {name: value.clone() for name, value in m.state_dict().items()}
    m.train()(**batch()).loss.backward()
    named = {id(p) for p in m.trainable_parameters().values()}
    assert {id(p) for p in m.parameters() if p.requires_grad} == named
    assert {id(p) for p in m.parameters() if p.grad is not None} == named
    torch.optim.SGD(m.parameter_groups(), lr=1.0).step()
    frozen = {name: v for name, v in m.state_dict().items() if not name.startswith("adapters.")}
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())


@pytest.mark.parametrize(
    ("row", "left_out"),
    [
        ("no B_t", "patches_to_text"),
        ("no B_v", "words_to_vision"),
        ("no B_vt", "layers_to_vision"),
        ("adaptive margin", "solver"),
        ("nothing of the text tower", "patches_to_text"),
        ("no LayerNorms", "layer_norm"),
    ],
)
def test_what_an_ablation_leaves_out_is_not_built(row, left_out):
    assert any(left_out in name for name in model().trainable_parameters())
    assert not any(left_out in name for name in model(**ABLATIONS[row]).trainable_parameters())


# Cache


@pytest.fixture
def count_encodings(monkeypatch):
    calls = []
    original = modeling_splip.encode_text
    monkeypatch.setattr(modeling_splip, "encode_text", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


def test_what_depends_on_the_model_alone_is_computed_once(count_encodings):
    m = trained()
    count_encodings.clear()
    with torch.inference_mode():
        m.get_photo_features(images(2))
        m.get_sketch_features(images(2))
    with torch.no_grad():
        m.get_photo_features(images(2))
    assert len(count_encodings) == 1


def train_a_step(m):
    step(m, 7)


def fused_step(m):
    m.train()(**batch(seed=9)).loss.backward()
    torch.optim.AdamW(m.parameter_groups(), lr=1e-2, fused=True).step()


def load_state_dict(m):
    other = {name: value + 0.05 for name, value in m.state_dict().items() if value.is_floating_point()}
    m.load_state_dict(other, strict=False)


def load_tensors(m):
    load_adapter_tensors(
        m, {name: v * 1.1 if v.is_floating_point() else v for name, v in m.adapter_tensors().items()}
    )


def another_adapter(m):
    m.add_adapter(copy.deepcopy(m.config), "another")
    m.set_classes(CLASSES, WordProcessor())


def half_and_back(m):
    m.to(torch.bfloat16).to(torch.float32)


def clip_to_half_and_back(m):
    m.clip.to(torch.bfloat16).to(torch.float32)


def to_double(m):
    m.double()


def other_classes(m):
    m.set_classes(["tea pot", "moon"], WordProcessor())


def new_images(m):
    with torch.no_grad():
        m.train()(**batch(seed=11), return_loss=False)
    m.eval()


def one_weight_of_the_text_tower(m):
    with torch.no_grad():
        m.clip.text_model.encoder.layers[-1].mlp.fc2.bias[3] += 2.0


@pytest.mark.parametrize(
    "event",
    [
        train_a_step,
        fused_step,
        load_state_dict,
        load_tensors,
        another_adapter,
        half_and_back,
        clip_to_half_and_back,
        to_double,
        other_classes,
        new_images,
        one_weight_of_the_text_tower,
    ],
    ids=lambda event: event.__name__,
)
def test_cached_prompts_are_never_stale(event):
    m = trained()
    with torch.no_grad():
        old = m.prompts()
    event(m)
    with torch.no_grad():
        new, features_now = m.prompts(), m.get_photo_features(images(3).to(m.dtype))
    live = m.prompts()
    assert new.text_guided.dtype == m.dtype
    for ours, theirs in zip(new.visual(1, LAYERS), live.visual(1, LAYERS)):
        assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert_close(new.class_embeddings, live.class_embeddings, atol=1e-6, rtol=0)
    assert_close(features_now, m.get_photo_features(images(3).to(m.dtype)), atol=1e-6, rtol=0)
    moved = [a for a, b in zip(new.visual(1, LAYERS), old.visual(1, LAYERS)) if not torch.equal(a, b.to(a))]
    assert moved, "the event changed nothing: the test would not notice a stale cache"


def test_loading_another_adapter_and_going_back_leaves_nothing_stale(tmp_path):
    first, second = trained(), trained(seed=5)
    expected = {"default": features(first), "other": features(second)}
    second.save_pretrained(tmp_path, include_backbone=True)
    first.load_adapter(tmp_path, adapter_name="other")
    for name in ("other", "default", "other"):
        first.set_adapter(name)
        assert torch.equal(features(first), expected[name])


def test_prompts_cached_in_inference_mode_serve_gradients_of_pixels():
    m = trained()
    with torch.inference_mode():
        m.get_photo_features(images(2))
    with torch.no_grad():
        assert not m.prompts().text_guided.is_inference()
    pixels = images(2).requires_grad_()
    m.get_photo_features(pixels).sum().backward()
    assert pixels.grad.abs().max() > 0


def test_prompts_cached_under_autocast_are_in_full_precision():
    m = trained()
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            m.get_photo_features(images(2))
        cached = features(m)
    assert_close(cached, live_features(m), atol=1e-6, rtol=0)


def test_a_saved_adapter_brings_its_class_texts_along(tmp_path):
    m = trained()
    m.save_pretrained(tmp_path, include_backbone=True)
    again = SketchPromptModel.from_pretrained(tmp_path)
    assert torch.equal(features(again), features(m))
    assert torch.equal(again.adapter.class_ids, m.adapter.class_ids)
    assert again.adapter.class_ids.dtype == torch.int64


# Users' errors, and the card


@pytest.mark.parametrize(
    ("fields", "change", "message"),
    [
        ({}, {"negative_pixel_values": None}, "needs negative_pixel_values"),
        ({}, {"labels": None}, "needs labels"),
        (dict.fromkeys(LOSSES, 0.0), {}, "there is no loss"),
    ],
)
def test_a_loss_whose_inputs_are_missing_says_what_to_do(fields, change, message):
    with pytest.raises(ValueError, match=message):
        model(**fields)(**{**batch(), **change})


def test_training_without_class_texts_says_what_to_call():
    with pytest.raises(ValueError, match=r"call model\.set_classes"):
        model(classes=None)(**batch())


def test_templates_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="'drawing of' is 2 tokens and 'photo of a' 3"):
        model(sketch_prompt="drawing of {}")


@pytest.mark.parametrize(
    "fields",
    [
        {"sketch_prompt": "a sketch"},
        {"photo_prompt": "{} photo"},
        {"layer_norms": "text"},
        {"n_text_prompts": -1},
        {"n_permutations": 73},
        {"temperature": 0.0},
        {"patch_mean_momentum": 0.0},
        {"jigsaw_weight": -0.5},
        {"solver_heads": 0},
        {"margin_text": "prompted", "n_semantic_prompts": 0, "classification_weight": 0.0},
        {"text_prompt_source": "image", "n_text_prompts": 0},
        {"prompt_init": "mean_token", "n_semantic_prompts": 0, "text_guided_prompts": False},
        {"image_prompt_classes": 0},
        {"patch_shuffling_tiles": 1},
    ],
)
def test_values_that_no_splip_can_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        SplipConfig(**fields)


def test_the_card_tells_every_choice_that_the_paper_left_open():
    config = SplipConfig(jigsaw_weight=0.125, **SMALL)
    card = str(model_card(SplipModel(config, backbone=tiny_clip()), config, "my-splip"))
    assert "Choices that the paper does not specify" in card and "| `jigsaw_weight` | `0.125` |" in card
    for field in SplipConfig.choices:
        assert f"`{field}`" in card and hasattr(config, field)
        assert field in SplipConfig.__doc__
