"""What a user of transformers types first, case by case, against the Hub on loopback.

Each test is one case; classes are the groups that they are counted by. The models are tiny: what matters is which
files are asked for and what comes back.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from huggingface_hub import constants, snapshot_download
from safetensors.torch import load_file
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer, pipeline

from fakes.checkpoints import ADAPTER, BASE, WHOLE, same
from fakes.clip import IMAGE_SIZE, images, tiny_clip
from fakes.hub import LoopbackHub
from fakes.names import without_addresses
from fakes.photos import make_model, picture
from sketch_prompt import (
    ClipAtModel,
    Gallery,
    SketchPromptConfig,
    SketchPromptModel,
    SketchPromptProcessor,
    SplipModel,
)


def bin_file(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")


def shards(folder):
    transformers.CLIPModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="50KB")
    (folder / "model.safetensors").unlink(missing_ok=True)


def bin_shards(folder):
    tensors, weights = load_file(folder / "model.safetensors"), {}
    for number, part in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        name = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save({key: tensors[key] for key in part}, folder / name)
        weights |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weights}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


PACKAGINGS = {
    "safetensors": (lambda folder: None, True),
    "bin": (bin_file, False),
    "both": (bin_file, True),
    "shards": (shards, True),
    "bin-shards": (bin_shards, False),
    "two-copies": (lambda folder: (folder / "open_clip_model.safetensors").write_bytes(b"copy" * 99), True),
}


class TestBaseModels:
    @pytest.mark.parametrize("packaging", PACKAGINGS)
    def test_in_every_packaging(self, packaging, hub, folders, tmp_path):
        store, keeps_safetensors = PACKAGINGS[packaging]
        hub.add(BASE, folders.clip)
        snapshot_download(BASE, local_dir=tmp_path / "clip")
        store(tmp_path / "clip")
        if not keeps_safetensors:
            (tmp_path / "clip" / "model.safetensors").unlink()
        hub.add("laion/clip", tmp_path / "clip")
        hub.requests.clear()
        loaded = SketchPromptModel.from_base_model("frozen-clip", "laion/clip").eval()
        assert torch.equal(
            loaded.get_photo_features(images(2)),
            SketchPromptModel.from_base_model("frozen-clip", str(folders.clip)).get_photo_features(images(2)),
        )
        assert not hub.asked("open_clip") and (not keeps_safetensors or not hub.asked(r"storage.*bin$"))

    @pytest.mark.parametrize("revision", ["refs/pr/66", "v1", "commit"])
    def test_at_a_revision(self, revision, given, folders, tmp_path):
        tiny_clip(width=32, layers=2, words=32, seed=5).save_pretrained(tmp_path)
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        ref = "other" if revision == "commit" else revision
        commit = given[BASE].add(files, ref=ref)
        given.keep(given[BASE])
        asked = commit if revision == "commit" else revision
        model = ClipAtModel.from_base_model(BASE, revision=asked)
        assert model.config.base_model_revision == commit
        assert not torch.equal(
            model.clip.visual_projection.weight, folders.model.clip.visual_projection.weight
        )
        model.save_pretrained(tmp_path / "adapter")
        assert same(SketchPromptModel.from_pretrained(tmp_path / "adapter"), model.eval())

    def test_private_with_a_token(self, given, monkeypatch):
        given[BASE].private, given[BASE].name = True, "me/clip"
        given.repositories["model", "me/clip"] = given.repositories.pop(("model", BASE))
        monkeypatch.setenv("HF_TOKEN", "")
        assert ClipAtModel.from_base_model("me/clip", token="hf_me").clip is not None

    def test_pushed_by_transformers_itself(self, hub, folders):
        folders.model.clip.push_to_hub("me/own-clip")
        folders.model.processor.tokenizer.push_to_hub("me/own-clip")
        assert SketchPromptModel.from_base_model("splip", "me/own-clip").clip is not None

    def test_again_offline(self, given, monkeypatch):
        ClipAtModel.from_base_model(BASE)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert ClipAtModel.from_base_model(BASE).clip is not None
        assert ClipAtModel.from_base_model(BASE, local_files_only=True).clip is not None

    def test_its_processor(self, given):
        processor = SketchPromptProcessor.from_base_model(BASE)
        assert processor.tokenizer is not None and processor.image_processor.size == IMAGE_SIZE

    def test_in_half_precision(self, given):
        assert ClipAtModel.from_base_model(BASE, dtype=torch.bfloat16).dtype == torch.bfloat16

    def test_instead_of_the_one_that_an_adapter_names(self, given, folders):
        given.repositories.pop(("model", BASE))
        loaded = SketchPromptModel.from_pretrained(ADAPTER, base_model=str(folders.clip))
        assert same(loaded, folders.model)

    def test_another_one_than_the_adapter_was_trained_on(self, given, tmp_path):
        tiny_clip(width=32, layers=2, words=32, seed=5).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="was trained on the base model 'openai/clip'"):
            SketchPromptModel.from_pretrained(ADAPTER, base_model=str(tmp_path))


class TestAutoClasses:
    @pytest.mark.parametrize("name", [ADAPTER, WHOLE])
    @pytest.mark.parametrize(
        "auto, expected",
        [
            (AutoConfig, "ClipAtConfig"),
            (AutoModel, "ClipAtModel"),
            (AutoProcessor, "SketchPromptProcessor"),
            (AutoImageProcessor, "SketchPromptImageProcessor"),
        ],
    )
    def test_from_an_id(self, auto, expected, name, given):
        assert type(auto.from_pretrained(name)).__name__ == expected

    @pytest.mark.parametrize("name", [ADAPTER, WHOLE])
    @pytest.mark.parametrize(
        "options",
        [
            {"revision": "main"},
            {"trust_remote_code": True},
            {"trust_remote_code": False},
            {"code_revision": "main"},
            {"dtype": "auto"},
            {"torch_dtype": torch.float32},
            {"device_map": "cpu"},
            {"device_map": "auto"},
            {"low_cpu_mem_usage": True},
            {"attn_implementation": "sdpa"},
        ],
        ids=without_addresses,
    )
    def test_model_with_an_option(self, options, name, given, folders):
        assert same(AutoModel.from_pretrained(name, **options), folders.model)

    def test_model_with_a_configuration(self, given, folders):
        config = AutoConfig.from_pretrained(ADAPTER)
        assert same(AutoModel.from_pretrained(ADAPTER, config=config), folders.model)

    def test_model_in_bfloat16(self, given):
        assert AutoModel.from_pretrained(ADAPTER, dtype=torch.bfloat16).dtype == torch.bfloat16

    def test_model_from_a_folder(self, given, folders):
        assert same(AutoModel.from_pretrained(folders.adapter), folders.model)

    def test_model_from_a_subfolder(self, hub, folders):
        files = {f"best/{path.name}": path.read_bytes() for path in folders.whole.iterdir()}
        hub.add("me/many", files)
        assert same(AutoModel.from_pretrained("me/many", subfolder="best"), folders.model)
        assert AutoProcessor.from_pretrained("me/many", subfolder="best").tokenizer is not None

    def test_model_from_a_configuration(self, given):
        config = AutoConfig.from_pretrained(ADAPTER)
        assert type(AutoModel.from_config(config)) is ClipAtModel

    def test_tokenizer_of_a_self_contained_checkpoint(self, given, folders):
        ids = AutoTokenizer.from_pretrained(WHOLE)("cat")["input_ids"]
        assert ids == folders.model.processor.tokenizer("cat")["input_ids"]

    def test_configuration_pushed_by_itself(self, given):
        AutoConfig.from_pretrained(ADAPTER).push_to_hub("me/configuration")
        assert AutoConfig.from_pretrained("me/configuration").method == "clip-at"

    def test_the_class_of_another_method(self, given):
        with pytest.raises(ValueError, match="is a 'clip-at' checkpoint, not one of SplipModel"):
            SplipModel.from_pretrained(ADAPTER)

    @pytest.mark.parametrize("how", ["task and id", "objects", "list", "pooled"])
    def test_pipeline(self, how, given, folders):
        photos = [picture(1), picture(2)]
        pixels = folders.model.processor(photos=photos).photo_pixel_values
        expected = folders.model.get_photo_features(pixels)
        if how == "objects":
            parts = {"model": folders.model, "image_processor": folders.model.processor.image_processor}
            extract = pipeline("image-feature-extraction", **parts)
        else:
            extract = pipeline("image-feature-extraction", ADAPTER, device="cpu")
        options = {"pool": True, "return_tensors": True} if how == "pooled" else {}
        found = extract(photos, batch_size=2 if how == "list" else 1, **options)
        found = torch.stack([torch.as_tensor(row).flatten() for row in found])
        assert torch.allclose(found, expected, atol=1e-6)

    def test_pipeline_by_the_id_alone_names_the_library(self, given):
        # transformers guesses no task for the models of another library; with the task it works.
        with pytest.raises(RuntimeError, match="meant to be used with sketch-prompt"):
            pipeline(model=ADAPTER)


@pytest.fixture(scope="module")
def strangers(folders, tmp_path_factory):
    """What the Auto classes do in a process that has not imported the package: {case: what came of it}."""
    hub, home = LoopbackHub(), tmp_path_factory.mktemp("home")
    hub.add(BASE, folders.clip)
    hub.add(ADAPTER, folders.adapter)
    code = f"""
import json, transformers
found = {{}}
for trust in (True, False, None):
    for auto in ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor"):
        try:
            made = getattr(transformers, auto).from_pretrained("{ADAPTER}", trust_remote_code=trust)
            found[f"{{auto}} {{trust}}"] = type(made).__name__
        except Exception as error:
            found[f"{{auto}} {{trust}}"] = str(error)
    if trust:
        import sys
        found["imported"] = [name for name in sys.modules if name == "sketch_prompt"]
        break
import sketch_prompt
found["after the import"] = type(transformers.AutoModel.from_pretrained("{ADAPTER}")).__name__
print(json.dumps(found))
"""
    blocked = tmp_path_factory.mktemp("blocked")
    (blocked / "sketch_prompt.py").write_text("raise ModuleNotFoundError('No module named sketch_prompt')")
    without = f"""
import json, transformers
found = {{}}
for trust in (True, False):
    try:
        transformers.AutoModel.from_pretrained("{ADAPTER}", trust_remote_code=trust)
    except Exception as error:
        found[f"without the package {{trust}}"] = str(error)
print(json.dumps(found))
"""
    found = {}
    for number, (script, path) in enumerate(
        ((code, os.environ.get("PYTHONPATH", "")), (without, str(blocked)))
    ):
        environment = {"HF_HOME": str(home / str(number)), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | environment | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


class TestWithoutTheImport:
    @pytest.mark.parametrize(
        "auto, expected",
        [
            ("AutoConfig", "ClipAtConfig"),
            ("AutoModel", "ClipAtModel"),
            ("AutoProcessor", "SketchPromptProcessor"),
            ("AutoImageProcessor", "SketchPromptImageProcessor"),
        ],
    )
    def test_trusting_the_module_beside_the_weights(self, auto, expected, strangers):
        assert strangers[f"{auto} True"] == expected

    def test_importing_it_after_transformers(self, strangers):
        assert strangers["after the import"] == "ClipAtModel"

    def test_without_trust_transformers_asks_for_it(self, strangers):
        assert "trust_remote_code=True" in strangers["without the package False"]

    def test_without_the_package_the_message_names_it(self, strangers):
        message = strangers["without the package True"]
        assert "requires the following packages" in message and "pip install sketch_prompt" in message


LOADING = [
    {"dtype": torch.float32},
    {"dtype": "float32"},
    {"dtype": "auto"},
    {"torch_dtype": "float32"},
    {"device_map": "cpu"},
    {"device_map": "auto"},
    {"device_map": torch.device("cpu")},
    {"device_map": {"": "cpu"}},
    {"device_map": {"clip": "cpu", "adapters": "cpu"}},
    {"low_cpu_mem_usage": True},
    {"use_safetensors": True},
    {"use_safetensors": None},
    {"variant": None},
    {"token": "hf_me"},
    {"token": True},
    {"revision": "main"},
    {"revision": None},
    {"subfolder": ""},
    {"force_download": True},
    {"local_files_only": False},
    {"proxies": None},
    {"resume_download": None},
    {"trust_remote_code": True},
    {"weights_only": True},
    {"attn_implementation": "sdpa"},
    {"max_memory": {"cpu": "1GB"}},
    {"offload_folder": "offload"},
    {"ignore_mismatched_sizes": False},
    {"adapter_name": "mine"},
]
REFUSED = [
    ({"use_safetensors": False}, "checkpoints are safetensors only: leave use_safetensors=False out"),
    ({"device_map": {"clip": "cpu", "adapters": "meta"}}, "everything on one device, not on cpu, meta"),
    ({"device_map": {"": "disk"}}, "everything on one device, not on disk"),
    (
        {"quantization_config": object()},
        "quantization_config is not supported.*dtype=torch.bfloat16 halves the memory",
    ),
    ({"variant": "fp16"}, "has no adapter_model.fp16.safetensors; leave out variant='fp16'"),
    ({"ignore_mismatched_sizes": True}, "a tensor that does not fit is an error"),
    ({"load_in_8bit": True}, "has no key 'load_in_8bit'"),
    ({"revison": "main"}, "did you mean 'revision'"),
    ({"n_prompt": 3}, "did you mean 'n_prompts'"),
]


class TestKeywordsOfLoading:
    @pytest.mark.parametrize("options", LOADING, ids=without_addresses)
    def test_a_model_takes(self, options, given, folders):
        assert same(SketchPromptModel.from_pretrained(ADAPTER, **options), folders.model)

    @pytest.mark.parametrize("options, message", REFUSED, ids=without_addresses)
    def test_a_model_refuses_with_the_reason(self, options, message, given):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            SketchPromptModel.from_pretrained(ADAPTER, **options)

    def test_output_loading_info(self, given):
        _, info = SketchPromptModel.from_pretrained(ADAPTER, output_loading_info=True)
        assert info["missing_keys"] == info["unexpected_keys"] == []

    def test_a_cache_of_its_own(self, given, tmp_path):
        loaded = SketchPromptModel.from_pretrained(ADAPTER, cache_dir=tmp_path / "cache")
        assert loaded.processor.tokenizer is not None
        assert not (tmp_path / "hub-cache").exists()

    def test_local_files_only(self, given, folders):
        SketchPromptModel.from_pretrained(ADAPTER)
        asked = len(given.requests)
        assert same(SketchPromptModel.from_pretrained(ADAPTER, local_files_only=True), folders.model)
        assert len(given.requests) == asked

    @pytest.mark.parametrize(
        "options",
        [
            {"revision": "main"},
            {"token": "hf_me"},
            {"force_download": True},
            {"local_files_only": False},
            {"use_fast": True},
            {"trust_remote_code": True},
            {"subfolder": ""},
            {"size": 16},
        ],
        ids=without_addresses,
    )
    def test_a_processor_takes(self, options, given):
        assert SketchPromptProcessor.from_pretrained(ADAPTER, **options).tokenizer is not None


CAUSES = {
    "not there": "the Hub has none of that name, or it is private: log in",
    "private": "the Hub has none of that name, or it is private: log in",
    "gated": "is gated: accept its conditions at",
    "bad token": "refuses the token that was sent",
    "bad revision": "has no revision 'v7' on the Hub",
    "offline": "offline it is not in the cache",
    "server": "the Hub answered 503 when asked for",
    "cut": "broke off|answered",
    "closed": "broke off|no connection",
}
LOADERS = {
    "model": SketchPromptModel.from_pretrained,
    "configuration": SketchPromptConfig.from_pretrained,
    "processor": SketchPromptProcessor.from_pretrained,
    "gallery": lambda name, **options: Gallery.from_hub(name, make_model(), **options),
}


class TestErrors:
    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("loader", LOADERS)
    def test_one_sentence(self, loader, cause, given, folders, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda _: None)
        kind = "dataset" if loader == "gallery" else "model"
        given.add("you/thing", folders.adapter, kind=kind)
        if kind == "dataset":
            given["datasets/you/thing"].add({"gallery.json": b"{}", "data/photos-0.parquet": b"x" * 99})
        repository = given.repositories[kind, "you/thing"]
        name, options = "you/thing", {}
        if cause == "not there":
            name = "you/nothing"
        elif cause in ("private", "gated"):
            setattr(repository, cause, True)
        elif cause == "bad token":
            options["token"] = "hf_wrong"
        elif cause == "bad revision":
            options["revision"] = "v7"
        elif cause == "offline":
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        else:
            where = "/api/" if cause == "server" else "/resolve/"
            given.fail(where, {"server": "503", "cut": "cut", "closed": "close"}[cause], times=99)
        with pytest.raises(FileNotFoundError, match=CAUSES[cause]) as caught:
            LOADERS[loader](name, **options)
        assert "\n" not in str(caught.value) and "you/" in str(caught.value)

    def test_a_typo_of_a_bundled_name(self, given):
        with pytest.raises(FileNotFoundError, match=r"did you mean 'mini-clip-at'\?"):
            SketchPromptModel.from_pretrained("mini-clipat")

    def test_a_flipped_byte(self, given, folders):
        given.fail("/storage/", "flip")
        with pytest.raises(FileNotFoundError, match="did not arrive as it is on the Hub"):
            SketchPromptModel.from_pretrained(ADAPTER)
        assert same(SketchPromptModel.from_pretrained(ADAPTER), folders.model)

    def test_a_repository_of_another_kind_of_model(self, given):
        with pytest.raises(ValueError, match="is a 'clip' checkpoint, not one of sketch-prompt's"):
            SketchPromptModel.from_pretrained(BASE)
