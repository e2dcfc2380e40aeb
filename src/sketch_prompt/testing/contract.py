"""The contract of `SketchPromptPreTrainedModel` as a class of pytest tests."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoConfig, AutoModel

from ..lens.lens import Lens
from ..models.auto import SketchPromptModel
from ..models.modeling_base import SketchPromptPreTrainedModel
from .tiny_clip import IMAGE_SIZE, WordProcessor, images, tiny_clip, token_ids

CLASSES = ["cup", "cat", "hot air balloon"]


class MethodContract:
    """Tests of what every method promises, on the tiny CLIP. Subclass it in a test file and set `model_class`.

    Losses get the sketches, photos, negatives and labels of three classes. A method whose losses need more, or that
    trains in another way, overrides `loss` or `train_a_little`. A method without losses must raise an error if a loss
    is computed.

    Example:
        ```python
        class TestMyMethod(MethodContract):
            model_class = MyMethodModel
            fields = {"n_prompts": 2}
        ```

    Attributes:
        model_class: the class of the method.
        fields: fields of its configuration that differ from the default in these tests.
        trains_on: number of steps that reduce its loss, with a learning rate of 1e-2.
    """

    model_class: type[SketchPromptPreTrainedModel]
    fields: ClassVar[dict[str, Any]] = {}
    trains_on = 12

    # The model under test

    def build(self, seed: int = 0, vision: dict[str, Any] | None = None) -> SketchPromptPreTrainedModel:
        """A fresh model on a tiny CLIP whose vision tower has the fields `vision`."""
        clip = tiny_clip(**vision or {})
        torch.manual_seed(seed)
        config = self.model_class.config_class(base_model=None, **self.fields)
        return self.model_class(config, backbone=clip).eval()

    def ready(self, seed: int = 0, vision: dict[str, Any] | None = None) -> SketchPromptPreTrainedModel:
        """A fresh model that knows its training classes."""
        model = self.build(seed, vision)
        if self.has_losses(model):
            model.set_classes(CLASSES, WordProcessor())
        return model

    def has_losses(self, model: SketchPromptPreTrainedModel) -> bool:
        """Whether the method trains by gradients."""
        return bool(model.loss_weights)

    def loss(self, model: SketchPromptPreTrainedModel, seed: int = 0, size: int = IMAGE_SIZE) -> Tensor:
        """The loss of a random batch in training mode."""
        labels = torch.arange(3)
        batch = {
            "sketch_pixel_values": images(3, seed, size),
            "photo_pixel_values": images(3, seed + 10, size),
            "negative_pixel_values": images(3, seed + 20, size),
            "labels": labels,
            "negative_labels": (labels + 1) % 3,
        }
        torch.manual_seed(seed)  # a method may draw numbers (dropout, permutations)
        return model.train()(**batch).loss

    def train_a_little(self, seed: int = 0, steps: int = 2) -> SketchPromptPreTrainedModel:
        """A model in eval mode whose adapter differs from its initialisation."""
        model = self.ready(seed)
        if self.has_losses(model):
            optimizer = torch.optim.Adam(list(model.trainable_parameters().values()), lr=1e-2)
            for step in range(steps):
                optimizer.zero_grad()
                self.loss(model, step).backward()
                optimizer.step()
        return model.eval()

    @staticmethod
    def features(model: SketchPromptPreTrainedModel) -> Tensor:
        """Embeddings of three sketches and three photos."""
        with torch.no_grad():
            return torch.cat([model.get_sketch_features(images(3)), model.get_photo_features(images(3))])

    # What it promises

    def test_it_is_registered_under_the_name_of_its_configuration(self):
        model = self.build()
        assert model.method == model.config.method == self.model_class.config_class.model_type
        assert type(SketchPromptModel.from_config(model.config, backbone=model.clip)) is self.model_class

    def test_features_are_unit_vectors_that_do_not_depend_on_the_batch(self):
        model = self.train_a_little()
        with torch.no_grad():
            for embed in (model.get_sketch_features, model.get_photo_features):
                together = embed(images(8))
                assert together.ndim == 2 and len(together) == 8
                assert_close(together.norm(dim=-1), torch.ones(8))
                assert_close(
                    torch.cat([embed(one) for one in images(8).split(1)]), together, atol=1e-6, rtol=0
                )
            if model.clip is not None:
                assert_close(model.get_text_features(token_ids(4)).norm(dim=-1), torch.ones(4))

    def test_gradient_reaches_exactly_what_is_named_trainable(self):
        model = self.ready()
        if not self.has_losses(model):
            assert not any(parameter.requires_grad for parameter in model.parameters())
            return
        frozen = {name: value.clone() for name, value in model.state_dict().items()}
        self.loss(model).backward()
        with_gradient = {id(p) for p in model.parameters() if p.grad is not None}
        named = {id(p) for p in model.trainable_parameters().values()}
        assert with_gradient == named
        assert {id(p) for group in model.parameter_groups() for p in group["params"]} == named
        assert {id(p) for p in model.parameters() if p.requires_grad} == named
        torch.optim.SGD(model.parameter_groups(), lr=1.0).step()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, frozen[name])}
        assert changed and all(name.startswith("adapters.") for name in changed)

    def test_training_keeps_the_backbone_in_eval_mode_and_brings_the_loss_down(self):
        model = self.ready()
        assert model.train().training and (model.clip is None or not model.clip.training)
        if not self.has_losses(model):
            with pytest.raises(ValueError, match="nothing to train"):
                self.loss(model)
            return
        optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
        history = []
        for _ in range(self.trains_on):
            optimizer.zero_grad()
            history.append(self.loss(model))
            history[-1].backward()
            optimizer.step()
        assert history[-1] < history[0]

    def test_a_loss_without_its_inputs_says_what_it_needs(self):
        model = self.ready().train()
        if not self.has_losses(model):
            return
        assert set(model.loss_needs) <= set(model.loss_weights)
        computed = [name for name, weight in model.loss_weights.items() if weight]
        if {need for name in computed for need in model.loss_needs.get(name, ())} - {"classes"}:
            with pytest.raises(ValueError, match=" loss needs "):
                model(sketch_pixel_values=images(3), photo_pixel_values=images(3, 1))

    def test_gradient_checkpointing_and_bfloat16_train_too(self):
        model = self.ready()
        if not self.has_losses(model):
            return
        self.loss(model).backward()
        plain = {name: p.grad.clone() for name, p in model.trainable_parameters().items()}
        model.zero_grad()
        model.gradient_checkpointing_enable()
        self.loss(model).backward()
        for name, parameter in model.trainable_parameters().items():
            assert_close(parameter.grad, plain[name], atol=1e-5, rtol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.isfinite(self.loss(model))

    def test_it_explains_itself(self, tmp_path):
        model = self.train_a_little()
        known = model.explain(images(1), images(1, seed=1))
        grid = (IMAGE_SIZE // model.patch_size,) * 2
        assert known.method == model.method and known.sketch_grid == known.photo_grid == grid
        assert known.similarity.shape == (grid[0] ** 2,) * 2 and known.similarity.max() <= 1 + 1e-6
        assert known.sketch_map.shape == known.photo_map.shape == grid
        assert len(known.matches) and (np.diff(known.weights) <= 0).all() and known.weights.min() > 0
        with torch.no_grad():
            features = model.get_sketch_features(images(1)), model.get_photo_features(images(1, seed=1))
        assert known.score == pytest.approx(float((features[0] * features[1]).sum()), abs=1e-5)
        assert not np.array_equal(model.explain(images(1), images(1, seed=2)).similarity, known.similarity)
        with torch.inference_mode():
            again = model.explain(images(1), images(1, seed=1))
        assert np.array_equal(again.similarity, known.similarity)
        model.save_pretrained(tmp_path, include_backbone=True)
        half = SketchPromptModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
        assert half.explain(images(1), images(1, seed=1)).similarity.dtype == np.float32

    # Odd grids, hardly any patches, and (36, 8): a border that is not a whole patch.
    @pytest.mark.parametrize(("size", "patch"), [(16, 8), (40, 8), (56, 8), (36, 8), (48, 16), (42, 14)])
    def test_every_patch_grid_trains_and_explains_itself(self, size, patch):
        model = self.ready(vision={"image_size": size, "patch_size": patch})
        if self.has_losses(model):
            value = self.loss(model, size=size)
            value.backward()
            assert torch.isfinite(value)
        known = model.eval().explain(images(1, 0, size), images(1, 1, size))
        assert known.sketch_map.shape == known.photo_map.shape == (size // patch,) * 2

    @pytest.mark.parametrize("include_backbone", [False, True])
    def test_saving_and_loading_gives_bit_equal_features(self, include_backbone, tmp_path):
        model = self.train_a_little()
        model.clip.save_pretrained(tmp_path / "clip")
        model.config.base_model = str(tmp_path / "clip")
        model.save_pretrained(tmp_path / "saved", include_backbone=include_backbone)
        expected = self.features(model)
        files = {path.name for path in (tmp_path / "saved").iterdir()}
        assert {"config.json", "README.md"} <= files and ("model.safetensors" in files) == include_backbone
        for load in (SketchPromptModel, AutoModel, self.model_class):
            again = load.from_pretrained(tmp_path / "saved")
            assert type(again) is type(model) and not again.training
            assert torch.equal(self.features(again), expected)
            assert again.config.class_names == model.config.class_names
        assert AutoConfig.from_pretrained(tmp_path / "saved").method == model.method
        shared = SketchPromptModel.from_pretrained(tmp_path / "saved", backbone=model.clip)
        assert torch.equal(self.features(shared), expected) and shared.clip is model.clip

    def test_several_adapters_live_on_one_backbone(self, tmp_path):
        first, second = self.train_a_little(seed=1), self.train_a_little(seed=2, steps=4)
        for name, model in (("first", first), ("second", second)):
            model.save_pretrained(tmp_path / name, include_backbone=True)
        expected = {"default": self.features(first), "other": self.features(second)}
        model = SketchPromptModel.from_pretrained(tmp_path / "first")
        model.load_adapter(tmp_path / "second", adapter_name="other")
        assert model.active_adapter == "other" and model.active_adapters() == ["other"]
        for name in ("other", "default", "other"):
            model.set_adapter(name)
            assert torch.equal(self.features(model), expected[name])
        with pytest.raises(ValueError, match=r"no adapter 'third'; loaded: default, other"):
            model.set_adapter("third")
        with pytest.raises(ValueError, match="already"):
            model.load_adapter(tmp_path / "second", adapter_name="other")
        model.set_adapter("default")
        model.delete_adapter("other")
        assert torch.equal(self.features(model), expected["default"])
        assert not any("other" in name for name, _ in model.named_parameters())

    def test_it_carries_a_lens_that_changes_queries_and_no_photo(self, tmp_path):
        model = self.train_a_little()
        with torch.no_grad():
            plain, photos = model.get_sketch_features(images(3)), model.get_photo_features(images(3))
            random = torch.Generator().manual_seed(0)
            values = torch.randn(plain.shape[1] + 1, plain.shape[1], generator=random, dtype=torch.float64)
            lens = Lens(0.1 * values[0], values[1:], 1.0, drawings=9)
            model.set_lens(lens, "photos", ["cup", "tent"])
            seen = model.get_sketch_features(images(3))
            assert_close(seen, lens(plain))
            assert torch.equal(model.get_photo_features(images(3)), photos)
            assert "tent" in model.config.seen_classes
            model.save_pretrained(tmp_path)
            loaded = SketchPromptModel.from_pretrained(tmp_path)
            assert_close(loaded.get_sketch_features(images(3)), seen, atol=1e-6, rtol=0)
            assert torch.equal(loaded.get_photo_features(images(3)), photos)
            assert loaded.config.lens == "photos" and loaded.config.lens_classes == ["cup", "tent"]
            assert loaded.config.lens_fit["drawings"] == 9
            if model.has_reranker:
                tokens = model.encode_tokens(images(3), "sketch")
                assert_close(model.pool_tokens(tokens, "sketch"), seen)
            loaded.set_lens(None)
            assert_close(loaded.get_sketch_features(images(3)), plain, atol=1e-6, rtol=0)
            assert loaded.config.lens_classes is None

    def test_attention_implementation_can_be_chosen_and_changed(self, tmp_path):
        model = self.train_a_little()
        expected = self.features(model)
        model.save_pretrained(tmp_path, include_backbone=True)
        eager = SketchPromptModel.from_pretrained(tmp_path, attn_implementation="eager")
        assert eager.clip.vision_model.config._attn_implementation == "eager"
        assert_close(self.features(eager), expected, atol=1e-5, rtol=0)
        eager.set_attn_implementation("sdpa")
        assert eager.clip.vision_model.config._attn_implementation == "sdpa"
        assert_close(self.features(eager), expected, atol=1e-5, rtol=0)

    def test_the_whole_model_loads_in_bfloat16(self, tmp_path):
        model = self.train_a_little()
        model.save_pretrained(tmp_path, include_backbone=True)
        half = SketchPromptModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
        assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
        assert torch.cosine_similarity(self.features(half).float(), self.features(model)).min() > 0.99

    def test_an_unknown_config_key_is_an_error_naming_the_nearest(self):
        with pytest.raises(ValueError, match=r"no key 'base_modell'; did you mean 'base_model'\?"):
            self.model_class.config_class(base_modell="x")
