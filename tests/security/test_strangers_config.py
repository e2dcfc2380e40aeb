"""A stranger's configuration fills no memory, takes no time and chooses no code: it is refused with a message."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sketch_prompt import SketchPromptModel, SketchPromptProcessor
from sketch_prompt.sources import find_checkpoint


@pytest.fixture(params=["mini-clip-at", "mini-splip", "mini-dp-clip", "mini-zse-sbir"])
def checkpoint(request, tmp_path):
    """A self-contained checkpoint of a method, in a folder of its own."""
    model = SketchPromptModel.from_pretrained(request.param)
    model.save_pretrained(tmp_path / "whole", include_backbone=True)
    return tmp_path / "whole"


@pytest.fixture
def clip_at(tmp_path):
    SketchPromptModel.from_pretrained("mini-clip-at").save_pretrained(
        tmp_path / "whole", include_backbone=True
    )
    return tmp_path / "whole"


def alter(folder, changes, name="config.json"):
    """Put other values into a JSON file; keys of nested ones are joined by dots."""
    config = json.loads((folder / name).read_text())
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = config
        for part in sections:
            section = section[part]
        section[last] = value
    (folder / name).write_text(json.dumps(config))


def test_an_honest_checkpoint_loads(checkpoint):
    assert SketchPromptModel.from_pretrained(checkpoint).clip is not None


SIZES = {
    "clip_at": ["n_prompts"],
    "splip": ["n_text_prompts", "n_semantic_prompts", "mapping_hidden_size", "solver_feedforward"],
    "dp_clip": ["n_prompts", "rank", "scale_hidden", "text_dim", "local_parts"],
    "zse_sbir": ["n_prompts", "cross_ffn", "relation_channels", "tokenizer_channels"],
}


@pytest.mark.parametrize("size", [1_000_000, 1_000_000_000, 10**400])
def test_a_size_that_no_tensor_has_is_refused_before_anything_is_built(checkpoint, size):
    values = json.loads((checkpoint / "config.json").read_text())
    whole = (checkpoint / "config.json").read_bytes()
    family = values["model_type"].replace("-", "_")
    for field in SIZES[family]:
        alter(checkpoint, {field: [size] * len(values[field]) if isinstance(values[field], list) else size})
        with pytest.raises(
            ValueError,
            match=rf"asks for .*{field} = |does not fit its configuration|{field} must be|{field}' expected",
        ):
            SketchPromptModel.from_pretrained(checkpoint)
        (checkpoint / "config.json").write_bytes(whole)


@pytest.mark.parametrize("tower", ["text_config", "vision_config"])
@pytest.mark.parametrize(
    ("field", "size"),
    [
        ("num_hidden_layers", 100_000),
        ("num_hidden_layers", 1_000_000_000),
        ("num_hidden_layers", 500),
        ("hidden_size", 1_000_000),
        ("intermediate_size", 1_000_000_000),
        ("intermediate_size", 1_000_000),
    ],
)
def test_a_tower_that_no_tensors_are_there_for_is_refused(clip_at, tower, field, size):
    alter(clip_at, {f"clip_config.{tower}.{field}": size})
    with pytest.raises(
        ValueError, match=r"asks for clip_config|these weights are not those of the CLIP|that can be built"
    ):
        SketchPromptModel.from_pretrained(clip_at)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_prompts": "three"},
        {"n_prompts": None},
        {"n_prompts": -1},
        {"clip_config": "text"},
        {"clip_config.vision_config": [1]},
        {"clip_config.vision_config.patch_size": 0},
        {"clip_config.vision_config.num_attention_heads": 0},
        {"clip_config.vision_config.hidden_act": "no such thing"},
        {"class_names": 5},
        {"class_prompt": 7},
        {"model_type": ["clip-at"]},
    ],
)
def test_a_value_of_the_wrong_kind_is_a_message(clip_at, changes):
    alter(clip_at, changes)
    with pytest.raises((ValueError, OSError)) as caught:
        SketchPromptModel.from_pretrained(clip_at)
    assert str(caught.value)


def test_deep_nesting_is_a_message(clip_at):
    (clip_at / "config.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)
    with pytest.raises(ValueError, match=r"not valid JSON|nested"):
        SketchPromptModel.from_pretrained(clip_at)


@pytest.mark.parametrize("place", ["", "clip_config.", "clip_config.vision_config."])
@pytest.mark.parametrize(
    "key", ["attn_implementation", "_attn_implementation", "experts_implementation", "quantization_config"]
)
def test_keys_that_choose_code_are_dropped(clip_at, place, key):
    alter(clip_at, {f"{place}{key}": "somebody/kernel"})
    model = SketchPromptModel.from_pretrained(clip_at)
    assert model.clip.config._attn_implementation in ("sdpa", "eager")
    assert model.clip.vision_model.config._attn_implementation in ("sdpa", "eager")


def test_they_are_dropped_from_a_base_model_too(tmp_path):
    base = tmp_path / "base"
    model = SketchPromptModel.from_pretrained("mini-frozen-clip")
    model.clip.save_pretrained(base)
    alter(
        base,
        {"attn_implementation": "somebody/kernel", "vision_config.attn_implementation": "somebody/kernel"},
    )
    again = SketchPromptModel.from_base_model("frozen-clip", str(base))
    assert again.clip.config._attn_implementation in ("sdpa", "eager")


def test_shards_lie_in_the_checkpoint(clip_at, tmp_path):
    (clip_at / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    index = {"weight_map": {"clip.logit_scale": "../elsewhere.safetensors"}}
    (clip_at / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is not an index of files with weights"):
        SketchPromptModel.from_pretrained(clip_at)


def test_tensors_of_another_type_are_refused(clip_at):
    path = clip_at / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: value.view(torch.int32) for name, value in tensors.items()}, path)
    with pytest.raises(ValueError, match=r"has type|is damaged"):
        SketchPromptModel.from_pretrained(clip_at)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 10**9},
        {"size": "large"},
        {"size": True},
        {"image_mean": "abc"},
        {"image_mean": [0, 0, None]},
        {"image_std": [float("inf"), 1, 1]},
        {"resample": "best"},
        {"photo_pad_color": 7},
        {"sketch_margin": "wide"},
        {"sketch_margin": float("inf")},
        {"do_normalize": "yes"},
        {"photo_resize": ["crop"]},
    ],
)
def test_a_preprocessor_of_the_wrong_kind_is_a_message(clip_at, changes):
    alter(clip_at, changes, "preprocessor_config.json")
    with pytest.raises(ValueError, match=next(iter(changes))) as caught:
        SketchPromptProcessor.from_pretrained(clip_at)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("content", ["{", "[]", '{"model": {"type": "BPE", "vocab": 5}}', "\ufffd"])
def test_a_damaged_tokenizer_is_a_message(clip_at, content):
    (clip_at / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=r"the tokenizer in .* cannot be read"):
        SketchPromptProcessor.from_pretrained(clip_at)


def test_a_tokenizer_with_code_of_its_own_runs_none(clip_at, tmp_path):
    mark = tmp_path / "ran"
    (clip_at / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    alter(
        clip_at,
        {"auto_map": {"AutoTokenizer": [None, "evil.Evil"]}, "tokenizer_class": "Evil"},
        "tokenizer_config.json",
    )
    try:
        SketchPromptProcessor.from_pretrained(clip_at)
    except ValueError as error:
        assert "the tokenizer in" in str(error)
    assert not mark.exists()


def test_the_bundled_checkpoints_are_within_the_limits():
    for name in ("mini-clip-at", "mini-frozen-clip"):
        assert find_checkpoint(name).is_dir() and SketchPromptModel.from_pretrained(name)
