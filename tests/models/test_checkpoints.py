"""Checkpoints that do not fit are refused with an error that names what is wrong."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from fakes.clip import tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, SketchPromptModel


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    clip = tiny_clip()
    clip.save_pretrained(tmp_path / "clip")
    model = ClipAtModel(ClipAtConfig(base_model=str(tmp_path / "clip")), backbone=clip)
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def change_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_a_missing_tensor_is_named(saved):
    change_tensors(saved / "adapter_model.safetensors", lambda t: t.pop("adapter.sketch_prompts"))
    with pytest.raises(ValueError, match=r"missing tensor adapter\.sketch_prompts \(3, 128\)"):
        SketchPromptModel.from_pretrained(saved)


def test_an_extra_tensor_is_named_with_the_nearest_known(saved):
    change_tensors(
        saved / "adapter_model.safetensors", lambda t: t.update({"adapter.sketch_prompt": torch.zeros(1)})
    )
    with pytest.raises(
        ValueError, match=r"unexpected tensor adapter\.sketch_prompt \(the model has adapter\.sketch_pr"
    ):
        SketchPromptModel.from_pretrained(saved)


def test_a_misshapen_tensor_is_named(saved):
    change_tensors(
        saved / "adapter_model.safetensors",
        lambda t: t.update({"adapter.photo_prompts": torch.zeros(4, 128)}),
    )
    with pytest.raises(
        ValueError, match=r"adapter\.photo_prompts has shape \(4, 128\), the model needs \(3, 128\)"
    ):
        SketchPromptModel.from_pretrained(saved)


def test_another_base_model_is_refused_by_name(saved, tmp_path):
    tiny_clip(seed=7).save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"trained on the base model '.*clip'"):
        SketchPromptModel.from_pretrained(saved, base_model=str(tmp_path / "other"))
    with pytest.raises(ValueError, match="trained on the base model"):
        SketchPromptModel.from_pretrained(saved, backbone=tiny_clip(seed=7))


def test_a_base_model_that_is_gone_is_an_error_that_says_what_to_give(saved, tmp_path):
    (tmp_path / "clip").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        SketchPromptModel.from_pretrained(saved, local_files_only=True)
    moved = SketchPromptModel.from_pretrained(saved, base_model=str(tmp_path / "moved"))
    assert moved.config.base_model == str(tmp_path / "moved")


def test_damaged_files_are_named(saved):
    (saved / "adapter_model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors is damaged"):
        SketchPromptModel.from_pretrained(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        SketchPromptModel.from_pretrained(saved)
    (saved / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        SketchPromptModel.from_pretrained(saved)


def test_an_unknown_key_in_a_saved_config_is_an_error(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "triplet_margn": 0.1}))
    with pytest.raises(ValueError, match="did you mean 'triplet_margin'"):
        SketchPromptModel.from_pretrained(saved)


def test_a_failed_load_leaves_the_other_adapters_as_they_were(saved, tmp_path):
    model = SketchPromptModel.from_pretrained(saved)
    change_tensors(saved / "adapter_model.safetensors", lambda t: t.pop("adapter.sketch_prompts"))
    with pytest.raises(ValueError, match="missing tensor"):
        model.load_adapter(saved, adapter_name="other")
    assert model.active_adapter == "default" and list(model.adapters) == ["default"]


def test_a_name_that_is_nowhere_lists_what_is_bundled():
    with pytest.raises(FileNotFoundError, match="bundled names"):
        SketchPromptModel.from_pretrained("qqq-zzz", local_files_only=True)


def test_saving_twice_replaces_and_leaves_nothing_behind(saved):
    model = SketchPromptModel.from_pretrained(saved)
    model.save_pretrained(saved, include_backbone=True)
    model.save_pretrained(saved)
    assert {path.name for path in saved.iterdir()} == {
        "README.md",
        "adapter_model.safetensors",
        "config.json",
        "sketch_prompt_model.py",
    }


def test_a_clip_at_adapter_for_vit_b_32_is_under_a_megabyte(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    # One layer each, to be quick; every further vision layer adds two LayerNorms of 768.
    clip = CLIPModel(CLIPConfig(vision_config={"num_hidden_layers": 1}, text_config={"num_hidden_layers": 1}))
    model = ClipAtModel(ClipAtConfig(), backbone=clip)
    model.adapter.class_embeddings = torch.zeros(104, 512)
    model.save_pretrained(tmp_path)
    eleven_more_layers = 11 * 2 * 2 * 768 * 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) + eleven_more_layers < 1_000_000


def test_the_class_of_another_method_refuses_a_checkpoint(saved):
    from sketch_prompt import FrozenClipModel

    with pytest.raises(ValueError, match="is a 'clip-at' checkpoint, not one of FrozenClipModel"):
        FrozenClipModel.from_pretrained(saved)


def test_an_argument_that_means_nothing_is_named(saved):
    model = SketchPromptModel.from_pretrained(saved)
    with pytest.raises(TypeError, match="include_backbon"):
        model.save_pretrained(saved, include_backbon=True)


def test_a_saved_config_holds_no_path_of_this_machine_but_the_base_model_it_was_given(saved, tmp_path):
    model = SketchPromptModel.from_pretrained(saved)
    model.config.base_model = "some/clip"
    model.save_pretrained(tmp_path / "again")
    for name in ("config.json", "sketch_prompt_model.py", "README.md"):
        assert str(tmp_path) not in (tmp_path / "again" / name).read_text()


def test_a_checkpoint_of_the_first_release_loads_and_is_checked_against_its_base_model(saved, tmp_path):
    config = json.loads((saved / "config.json").read_text())
    old = {"method": "clip-at", "base_model_name_or_path": config["base_model"], "revision": None}
    old["base_model_fingerprint"] = config.pop("base_model_fingerprint")
    del config["auto_map"]
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "adapter_config.json").write_text(json.dumps(old))
    (saved / "sketch_prompt_model.py").unlink()
    model = SketchPromptModel.from_pretrained(saved)
    assert model.config.base_model_fingerprint == old["base_model_fingerprint"]
    with pytest.raises(ValueError, match="trained on the base model"):
        SketchPromptModel.from_pretrained(saved, backbone=tiny_clip(seed=7))
    model.save_pretrained(saved)
    assert not (saved / "adapter_config.json").exists()
    assert json.loads((saved / "config.json").read_text())["base_model_fingerprint"]
