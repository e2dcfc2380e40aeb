"""Methods by name: found without a list, imported when asked for, refused with the nearest name."""

import pytest
import torch

import sketch_prompt
from fakes.clip import tiny_clip
from fakes.processes import run
from sketch_prompt import ClipAtConfig, ClipAtModel, SketchPromptConfig, SketchPromptModel
from sketch_prompt.models import class_prefix, method_folders
from sketch_prompt.models.auto import MODELS, model_class
from sketch_prompt.models.configuration_base import SketchPromptPreTrainedConfig
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel


def test_every_folder_is_a_method_whose_classes_are_public():
    assert set(method_folders()) <= set(MODELS)
    for method, folder in method_folders().items():
        model = getattr(sketch_prompt, f"{class_prefix(folder)}Model")
        assert MODELS[method] is model is model_class(method)
        assert model.config_class is getattr(sketch_prompt, f"{class_prefix(folder)}Config")
        assert model.config_class.model_type == method


def test_loading_a_model_imports_its_method_and_what_all_share():
    code = (
        "import sys; from sketch_prompt import SketchPromptModel; SketchPromptModel.from_pretrained('mini-clip-at');"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'sketch_prompt'))"
    )
    imported = run("-c", code, check=True).stdout.split()
    assert len(imported) <= 35, imported
    assert not [name for name in imported if "splip" in name or "dp_clip" in name or "zse_sbir" in name]


def test_a_class_that_is_no_method_or_has_no_name_or_another_methods_name_is_refused():
    class Nameless(SketchPromptPreTrainedModel):
        config_class = SketchPromptPreTrainedConfig

    class Impostor(ClipAtModel):
        pass

    with pytest.raises(TypeError, match="not a subclass"):
        SketchPromptModel.register(torch.nn.Linear)
    with pytest.raises(ValueError, match="Nameless needs a config_class with a model_type"):
        SketchPromptModel.register(Nameless)
    with pytest.raises(ValueError, match=r"the method 'clip-at' is .*ClipAtModel; choose another name"):
        SketchPromptModel.register(Impostor)
    assert SketchPromptModel.register(ClipAtModel) is ClipAtModel


def test_a_checkpoint_of_something_else_is_refused_by_name(tmp_path):
    tiny_clip().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is a 'clip' checkpoint, not one of sketch-prompt's: .*clip-at"):
        SketchPromptModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'clip-at'"):
        SketchPromptConfig("clipat")


def test_a_configuration_is_read_without_the_tensors(tmp_path):
    ClipAtModel(ClipAtConfig(base_model="some/clip", n_prompts=2), backbone=tiny_clip()).save_pretrained(
        tmp_path
    )
    (tmp_path / "adapter_model.safetensors").write_bytes(b"damaged")
    config = SketchPromptConfig.from_pretrained(tmp_path, triplet_margin=0.5)
    assert isinstance(config, ClipAtConfig) and (config.n_prompts, config.triplet_margin) == (2, 0.5)
