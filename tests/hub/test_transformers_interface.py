"""What transformers, accelerate and Trainer pass along is understood."""

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModel, Trainer, TrainingArguments

from fakes.clip import Triplets, WordProcessor, images, tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, SketchPromptModel
from sketch_prompt.sources import find_checkpoint


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ClipAtModel(ClipAtConfig(base_model=None), backbone=tiny_clip())
    model.set_classes(["cat", "cup"], WordProcessor())
    return model.eval()


def features(model):
    return torch.cat([model.get_sketch_features(images(2)), model.get_photo_features(images(2))])


def test_transformers_trainer_trains_evaluates_and_saves_a_model(model, tmp_path):
    before = {name: value.detach().clone() for name, value in model.trainable_parameters().items()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=2,
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        prediction_loss_only=True,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=Triplets(), eval_dataset=Triplets())
    trainer.train()
    trainer.save_model()
    assert any(not torch.equal(before[name], value) for name, value in model.trainable_parameters().items())
    assert torch.isfinite(torch.tensor(trainer.evaluate()["eval_loss"]))
    for folder in (tmp_path / "out", tmp_path / "out" / "checkpoint-2"):
        assert torch.equal(features(SketchPromptModel.from_pretrained(folder)), features(model.eval()))


def test_accelerates_idiom_saves_on_the_main_process_only(model, tmp_path):
    accelerator = Accelerator(cpu=True)
    prepared = accelerator.prepare(model)
    for main in (False, True):
        accelerator.unwrap_model(prepared).save_pretrained(
            tmp_path / "saved", is_main_process=main, save_function=accelerator.save
        )
        assert (tmp_path / "saved" / "config.json").is_file() == main
    assert torch.equal(features(SketchPromptModel.from_pretrained(tmp_path / "saved")), features(model))


def test_the_tensors_of_a_given_state_dict_are_saved(model, tmp_path):
    state = {
        f"module.{name}": value.clone() + 1 for name, value in model.state_dict().items() if "prompts" in name
    }
    model.save_pretrained(tmp_path, state_dict=state)
    saved = SketchPromptModel.from_pretrained(tmp_path).adapter_tensors()
    ours = model.adapter_tensors()
    assert torch.equal(saved["adapter.sketch_prompts"], ours["adapter.sketch_prompts"] + 1)
    assert torch.equal(saved["adapter.class_embeddings"], ours["adapter.class_embeddings"])


def test_shards_and_variants_come_back(model, tmp_path, hub):
    model.save_pretrained(tmp_path / "shards", include_backbone=True, max_shard_size="200KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    hub.add("me/shards", tmp_path / "shards")
    assert torch.equal(features(SketchPromptModel.from_pretrained("me/shards")), features(model))
    model.save_pretrained(tmp_path / "shards", include_backbone=True)
    assert {path.name for path in (tmp_path / "shards").glob("model*")} == {"model.safetensors"}
    model.save_pretrained(tmp_path / "half", include_backbone=True, variant="fp16")
    assert (tmp_path / "half" / "adapter_model.fp16.safetensors").is_file()
    hub.add("me/half", tmp_path / "half")
    assert torch.equal(
        features(SketchPromptModel.from_pretrained("me/half", variant="fp16")), features(model)
    )
    with pytest.raises(FileNotFoundError, match="leave out variant='bf16'"):
        SketchPromptModel.from_pretrained("me/half", variant="bf16")


def test_a_subfolder_of_a_repository_holds_a_checkpoint(hub, model, tmp_path):
    model.save_pretrained(tmp_path / "repo" / "first", include_backbone=True)
    hub.add("me/many", tmp_path / "repo")
    for again in (
        SketchPromptModel.from_pretrained("me/many", subfolder="first"),
        AutoModel.from_pretrained("me/many", subfolder="first"),
        SketchPromptModel.from_pretrained(tmp_path / "repo", subfolder="first"),
    ):
        assert torch.equal(features(again), features(model))


def test_force_download_fetches_again(hub):
    hub.add("me/a", find_checkpoint("mini-clip-at"))
    SketchPromptModel.from_pretrained("me/a")
    asked = len(hub.asked("/storage/"))
    SketchPromptModel.from_pretrained("me/a")
    assert len(hub.asked("/storage/")) == asked
    SketchPromptModel.from_pretrained("me/a", force_download=True)
    assert len(hub.asked("/storage/")) > asked


def test_further_keywords_of_from_pretrained(model, tmp_path):
    model.save_pretrained(tmp_path, include_backbone=True)
    loaded, info = SketchPromptModel.from_pretrained(
        tmp_path,
        use_safetensors=True,
        low_cpu_mem_usage=True,
        output_loading_info=True,
        device_map={"": "cpu"},
    )
    assert torch.equal(features(loaded), features(model)) and info["missing_keys"] == []
    assert SketchPromptModel.from_pretrained(tmp_path, device_map="auto").device.type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="safetensors only"):
        SketchPromptModel.from_pretrained(tmp_path, use_safetensors=False)
    with pytest.raises(ValueError, match="on one device, not on cpu, meta"):
        SketchPromptModel.from_pretrained(tmp_path, device_map={"clip": "cpu", "adapters": "meta"})


def test_quantisation_is_refused_with_what_to_do_instead(model, tmp_path):
    model.clip.save_pretrained(tmp_path / "clip")
    model.save_pretrained(tmp_path / "adapter", base_model=str(tmp_path / "clip"))
    model.save_pretrained(tmp_path / "whole", include_backbone=True)
    for folder in ("adapter", "whole"):
        with pytest.raises(ValueError, match=r"dtype=torch\.bfloat16 halves the memory"):
            SketchPromptModel.from_pretrained(tmp_path / folder, quantization_config=SimpleNamespace(bits=8))


def test_a_base_model_of_the_hub_is_kept_with_its_commit(hub, tmp_path):
    repository = hub.add("openai/clip", find_checkpoint("mini-clip"))
    model = ClipAtModel.from_base_model("openai/clip")
    model.save_pretrained(tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())["base_model_revision"] == repository.refs["main"]
    )
    repository.add({"model.safetensors": b"another"})
    again = SketchPromptModel.from_pretrained(tmp_path)
    photos = images(1, size=64)
    assert torch.equal(again.get_photo_features(photos), model.eval().get_photo_features(photos))
