"""Base models load from the Hub and from folders in every form that they are stored in."""

import json

import pytest
import torch
from safetensors.torch import load_file

from fakes.clip import tiny_clip
from sketch_prompt import SketchPromptModel, SketchPromptProcessor
from sketch_prompt.models.backbone import load_backbone
from sketch_prompt.sources import find_checkpoint


@pytest.fixture
def clip():
    return tiny_clip()


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pickled(clip, folder):
    """What an old repository holds: `pytorch_model.bin` and no safetensors."""
    clip.save_pretrained(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def pickled_shards(clip, folder):
    tensors, weights = clip.state_dict(), {}
    pickled(clip, folder)
    (folder / "pytorch_model.bin").unlink()
    names = sorted(tensors)
    for n, part in enumerate((names[::2], names[1::2]), 1):
        torch.save({name: tensors[name] for name in part}, folder / f"pytorch_model-{n:05d}-of-00002.bin")
        weights |= dict.fromkeys(part, f"pytorch_model-{n:05d}-of-00002.bin")
    index = {"metadata": {"total_size": 1}, "weight_map": weights}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def safe(clip, folder):
    clip.save_pretrained(folder)
    return folder


def safe_shards(clip, folder):
    clip.save_pretrained(folder, max_shard_size="200KB")
    assert (folder / "model.safetensors.index.json").is_file()
    return folder


FORMS = [safe, safe_shards, pickled, pickled_shards]


def assert_same(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("store", FORMS)
def test_a_base_model_loads_by_its_id_in_every_form(store, hub, clip, tmp_path):
    hub.add("openai/clip", store(clip, tmp_path / "clip"))
    assert_same(load_backbone("openai/clip"), clip)


@pytest.mark.parametrize("store", FORMS)
def test_a_base_model_loads_from_a_folder_in_every_form(store, clip, tmp_path):
    assert_same(load_backbone(store(clip, tmp_path / "clip")), clip)


def test_the_safetensors_on_the_branch_of_the_conversion_load_by_that_revision(hub, clip, tmp_path):
    other = tiny_clip(seed=1)
    repository = hub.add("openai/clip", pickled(clip, tmp_path / "bin"))
    repository.add(files_of(safe(other, tmp_path / "safe")), ref="refs/pr/66")
    hub.keep(repository)
    assert_same(load_backbone("openai/clip"), clip)
    assert_same(load_backbone("openai/clip", revision="refs/pr/66"), other)


def test_a_pickle_that_runs_code_is_refused(hub, clip, tmp_path):
    folder = pickled(clip, tmp_path / "clip")

    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"visual_projection.weight": Harm()}, folder / "pytorch_model.bin")
    hub.add("openai/clip", folder)
    with pytest.raises(Exception, match="eights"):
        load_backbone("openai/clip")
    assert not (tmp_path / "harm").exists()


def test_only_the_files_that_are_used_are_downloaded(hub, clip, tmp_path):
    files = files_of(safe(clip, tmp_path / "clip"))
    unused = (
        "open_clip_model.safetensors",
        "pytorch_model.bin",
        "flax_model.msgpack",
        "tf_model.h5",
        "clip.onnx",
    )
    hub.add("laion/clip", files | dict.fromkeys(unused, b"copy" * 99))
    load_backbone("laion/clip")
    assert not hub.asked(r"\b(open_clip|pytorch_model\.bin$|flax|tf_model|clip\.onnx)")
    assert len(hub.asked("/storage/")) == 1


def test_the_processor_of_a_base_model_downloads_no_weights(hub):
    hub.add("openai/clip", find_checkpoint("mini-clip"))
    processor = SketchPromptProcessor.from_base_model("openai/clip")
    assert processor.tokenizer is not None and processor.image_processor.size == 64
    assert not hub.asked("safetensors")


def test_a_model_and_its_processor_take_the_base_model_with_the_same_token_and_cache(
    hub, tmp_path, monkeypatch
):
    hub.add("me/clip", find_checkpoint("mini-clip"), private=True)
    model = SketchPromptModel.from_pretrained("mini-clip-at")
    model.config.base_model = "me/clip"
    model.save_pretrained(tmp_path / "adapter")
    hub.add("me/adapter", tmp_path / "adapter", private=True)
    monkeypatch.setenv("HF_TOKEN", "")
    cache = tmp_path / "elsewhere"
    again = SketchPromptModel.from_pretrained("me/adapter", token="hf_me", cache_dir=cache)
    assert again.processor.tokenizer is not None
    assert not (tmp_path / "hub-cache").exists()
    assert (
        SketchPromptProcessor.from_pretrained("me/adapter", token="hf_me", cache_dir=cache).tokenizer
        is not None
    )


def test_a_base_model_that_is_no_clip_is_named(hub):
    hub.add("google/vit", {"config.json": b'{"model_type": "vit"}'})
    with pytest.raises(ValueError, match="google/vit is a 'vit' model; the base model must be a CLIP"):
        load_backbone("google/vit")
