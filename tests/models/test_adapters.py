"""Adapters on one CLIP: what they share, what they own, and that none of them can get in another's way."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from fakes.clip import LAYERS, images, tiny_clip
from fakes.processes import run
from sketch_prompt import ClipAtConfig, ClipAtModel, FrozenClipConfig, FrozenClipModel, SketchPromptConfig
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.models.backbone import tuned_copies, tuned_view
from sketch_prompt.models.prompted_clip import VISION_LAYER_NORMS


def moved(method, clip, seed, **fields):
    """A model whose adapter, tuned LayerNorms included, is far from where it started."""
    torch.manual_seed(seed)
    model = SketchPromptModel.from_config(
        SketchPromptConfig(method, base_model=None, **fields), backbone=clip
    )
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def features(model):
    with torch.no_grad():
        return torch.cat([model.get_sketch_features(images(3)), model.get_photo_features(images(3, 1))])


def test_a_view_shares_everything_but_the_tuned_modules():
    clip = tiny_clip()
    view = tuned_view(clip, tuned_copies(clip, VISION_LAYER_NORMS))
    ours, theirs = dict(view.named_parameters()), dict(clip.named_parameters())
    assert list(ours) == list(theirs)
    own = {name for name in ours if ours[name] is not theirs[name]}
    assert len(own) == 2 * (2 * LAYERS + 2) and all("norm" in name for name in own)
    assert all(ours[name].requires_grad == (name in own) for name in ours)
    assert view.text_model is clip.text_model and view.config is clip.config
    with torch.no_grad():
        pixels = images(2)
        expected = clip.get_image_features(pixel_values=pixels).pooler_output
        assert torch.equal(view.get_image_features(pixel_values=pixels).pooler_output, expected)
        view.vision_model.post_layernorm.bias.add_(1)
        assert torch.equal(clip.get_image_features(pixel_values=pixels).pooler_output, expected)
        assert not torch.equal(view.get_image_features(pixel_values=pixels).pooler_output, expected)


def test_a_pattern_that_no_module_has_is_an_error():
    with pytest.raises(ValueError, match="no module of the CLIP"):
        tuned_copies(tiny_clip(), r"vision_model\.nothing")


@pytest.mark.parametrize("pattern", [r"vision_model\.encoder\.layers\.1\.self_attn", "visual_projection"])
def test_whole_modules_with_a_configuration_can_be_tuned(pattern):
    clip = tiny_clip()
    view = tuned_view(clip, tuned_copies(clip, pattern))
    assert view.get_submodule(pattern.replace("\\", "")) is not clip.get_submodule(pattern.replace("\\", ""))
    clip.set_attn_implementation("eager")
    assert {m.config._attn_implementation for m in view.modules() if hasattr(m, "config")} == {"eager"}


def test_the_frozen_clip_stays_the_plain_clip_whatever_runs_on_it():
    clip = tiny_clip()
    plain = features(FrozenClipModel(FrozenClipConfig(base_model=None), backbone=clip))
    names = set(clip.state_dict())
    models = [moved(method, clip, 1) for method in ("clip-at", "splip", "dp-clip")]
    assert all(not torch.equal(features(model), plain) for model in models[:1])
    assert torch.equal(features(FrozenClipModel(FrozenClipConfig(base_model=None), backbone=clip)), plain)
    assert set(clip.state_dict()) == names and not any(p.requires_grad for p in clip.parameters())
    assert all(p.requires_grad for model in models for p in model.trainable_parameters().values())


def test_two_threads_with_two_methods_on_one_clip_get_the_features_that_each_gets_alone():
    clip = tiny_clip()
    models = [
        moved("clip-at", clip, 1),
        moved("zse-sbir", clip, 2, tune_layer_norms=True),
        moved("splip", clip, 3),
    ]
    expected = [features(model) for model in models]
    with ThreadPoolExecutor(len(models)) as threads:
        rounds = [threads.submit(features, models[i % 3]) for i in range(60)]
    assert all(torch.equal(done.result(), expected[i % 3]) for i, done in enumerate(rounds))


def test_names_in_the_state_dict_are_the_same_in_every_process_and_for_every_instance():
    first, second = moved("clip-at", tiny_clip(), 0), moved("clip-at", tiny_clip(), 0)
    assert list(first.state_dict()) == list(second.state_dict())
    assert "adapters.default.tuned.vision_model.post_layernorm.weight" in first.state_dict()
    program = (
        "import sys; sys.path.insert(0, 'tests'); from fakes.clip import tiny_clip;"
        "from sketch_prompt import ClipAtConfig, ClipAtModel;"
        "[ClipAtModel(ClipAtConfig(base_model=None), backbone=tiny_clip()) for _ in range(2)];"
        "model = ClipAtModel(ClipAtConfig(base_model=None), backbone=tiny_clip());"
        "print('\\n'.join(model.state_dict()))"
    )
    names = run("-c", program, check=True).stdout
    assert names.split() == list(first.state_dict())
    first.load_state_dict(moved("clip-at", tiny_clip(), 5).state_dict())
    assert torch.equal(features(first), features(moved("clip-at", tiny_clip(), 5)))


def test_every_parameter_counts_once_and_the_frozen_clip_is_in_memory_once():
    clip = tiny_clip()
    frozen = sum(p.numel() for p in clip.parameters())
    models = [moved(method, clip, 1) for method in ("clip-at", "splip")]
    for model in models:
        trained = sum(p.numel() for p in model.trainable_parameters().values())
        assert sum(p.numel() for p in model.parameters()) == frozen + trained
        assert model.num_parameters(only_trainable=True) == trained
        parameters = [p for module in model.modules() for p in module.parameters(recurse=False)]
        assert len(parameters) == len(set(map(id, parameters)))  # as DistributedDataParallel collects them
        for name, parameter in model.adapter.clip.named_parameters():
            if not parameter.requires_grad:
                assert parameter is clip.get_parameter(name)


def test_what_is_done_to_the_model_reaches_the_view_and_what_is_done_to_another_model_does_not():
    clip = tiny_clip()
    first, second = moved("clip-at", clip, 1), moved("clip-at", clip, 2)
    first.gradient_checkpointing_enable()
    switched = [layer.gradient_checkpointing for layer in first.adapter.clip.vision_model.encoder.layers]
    assert switched == [True] * LAYERS
    assert not any(layer.gradient_checkpointing for layer in second.adapter.clip.vision_model.encoder.layers)
    first.gradient_checkpointing_disable()
    assert not first.adapter.clip.vision_model.encoder.layers[0].gradient_checkpointing
    first.set_attn_implementation("eager")
    assert first.adapter.clip.vision_model.config._attn_implementation == "eager"
    first.to(torch.float64)
    view = first.adapter.clip
    assert {p.dtype for p in view.parameters()} == {torch.float64}
    assert view.vision_model.post_layernorm.weight is first.adapter.tuned.vision_model.post_layernorm.weight
    first.train()
    assert not view.training and not first.clip.training and first.adapter.training


def test_a_copy_and_a_pickled_model_look_through_adapters_of_their_own():
    for method in ("clip-at", "splip"):
        model = moved(method, tiny_clip(), 1)
        expected = features(model)
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(features(again), expected)
            view, clip = again.adapter.clip, again.clip
            assert view.text_model.embeddings is clip.text_model.embeddings and clip is not model.clip
            with torch.no_grad():
                again.adapter.tuned.vision_model.post_layernorm.bias.add_(1)
            assert not torch.equal(features(again), expected)
        assert torch.equal(features(model), expected)


def test_a_clip_in_half_precision_has_tuned_copies_in_half_precision():
    model = moved("clip-at", tiny_clip().to(torch.bfloat16), 1)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_transformers_adapter_methods_work_as_documented_or_say_that_they_do_not(tmp_path):
    model = moved("clip-at", tiny_clip(), 1)
    model.save_pretrained(tmp_path, include_backbone=True)
    model.add_adapter(ClipAtConfig(base_model=None, clip_config=model.config.clip_config), "second")
    assert model.active_adapters() == ["second"]
    model.set_adapter(["default"])
    assert model.active_adapter == "default"
    with pytest.raises(ValueError, match="one adapter at a time"):
        model.set_adapter(["default", "second"])
    state = model.get_adapter_state_dict("second")
    assert state.keys() == model.adapter_tensors().keys()
    assert not torch.equal(state["adapter.sketch_prompts"], model.adapter.sketch_prompts)
    model.delete_adapter(["second"])
    assert list(model.adapters) == ["default"]
    with pytest.raises(ValueError, match="in use"):
        model.delete_adapter("default")
    with pytest.raises(ValueError, match=r"no adapter 'third'; loaded: default"):
        model.get_adapter_state_dict("third")
    with pytest.raises(ValueError, match="adapter 'default' already"):
        model.load_adapter(tmp_path)
    with pytest.raises(TypeError, match="needs a ClipAtConfig, not a FrozenClipConfig"):
        model.add_adapter(FrozenClipConfig(base_model=None))
    for call in (model.disable_adapters, model.enable_adapters, model.enable_peft_hotswap):
        with pytest.raises(NotImplementedError, match="adapter"):
            call()


def test_a_loss_without_a_weight_and_a_weight_without_a_loss_are_errors():
    class Forgetful(ClipAtModel):
        forgotten = "weight"

        @property
        def loss_weights(self):
            weights = super().loss_weights
            return (
                {k: v for k, v in weights.items() if k != "triplet"}
                if self.forgotten == "weight"
                else weights
            )

        def process_triplets(self, batch, terms):
            embeds, values = super().process_triplets(batch, {*terms, "triplet"})
            return embeds, values if self.forgotten == "weight" else {}

    model = Forgetful(ClipAtConfig(base_model=None, patch_shuffling_weight=1.0), backbone=tiny_clip())
    model.config.classification_weight = 0.0
    for Forgetful.forgotten in ("weight", "loss"):
        with pytest.raises(KeyError, match="loss_weights that are not 0"):
            model(images(2), images(2, 1), images(2, 2))


def test_what_a_method_does_not_offer_is_an_error_and_not_silence():
    model = ClipAtModel(ClipAtConfig(base_model=None), backbone=tiny_clip())
    assert not model.is_conditional and model.categories == []
    for call in (
        lambda: model.add_category("cup", [], []),
        lambda: model.remove_category("cup"),
        lambda: model.predict_categories(images(1)),
    ):
        with pytest.raises(TypeError, match="clip-at embeds without categories"):
            call()
    with pytest.raises(TypeError, match="clip-at has no re-ranker"):
        model.encode_tokens(images(1), "sketch")
