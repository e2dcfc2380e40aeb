"""Publishing a model: what is uploaded, what its card says, and what comes back."""

import json
import re

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel

from fakes.clip import images, tiny_clip
from sketch_prompt import ClipAtConfig, ClipAtModel, SketchPromptModel, SketchPromptProcessor
from sketch_prompt.models.auto import MODELS
from sketch_prompt.sources import find_checkpoint

WRITTEN = {
    "README.md",
    "adapter_model.safetensors",
    "config.json",
    "preprocessor_config.json",
    "sketch_prompt_model.py",
    "sketch_prompt_processor.py",
}


def features(model):
    return torch.cat(
        [model.get_sketch_features(images(2, size=64)), model.get_photo_features(images(2, size=64))]
    )


@pytest.fixture
def model(hub):
    """A bundled adapter whose base model lies on the Hub."""
    hub.add("me/mini-clip", find_checkpoint("mini-clip"))
    model = SketchPromptModel.from_pretrained("mini-clip-at")
    model.config.base_model = "me/mini-clip"
    return model


@pytest.mark.parametrize("include_backbone", [False, True])
@pytest.mark.parametrize("method", sorted(MODELS))
def test_every_method_comes_back_from_the_hub_bit_for_bit(method, include_backbone, hub):
    hub.add("me/mini-clip", find_checkpoint("mini-clip"))
    model = SketchPromptModel.from_pretrained(f"mini-{method}")
    model.config.base_model = "me/mini-clip"
    commit = model.push_to_hub("me/pushed", include_backbone=include_backbone, revision="trial")
    assert hub["me/pushed"].files("main") == {} and commit.oid == hub["me/pushed"].refs["trial"]
    assert ("model.safetensors" in hub["me/pushed"].files("trial")) == (
        include_backbone and model.clip is not None
    )
    for revision in ("trial", commit.oid):
        again = SketchPromptModel.from_pretrained("me/pushed", revision=revision)
        assert torch.equal(features(again), features(model))
        assert again.processor.tokenizer is not None
    assert torch.equal(features(AutoModel.from_pretrained("me/pushed", revision="trial")), features(model))


def test_all_ways_to_push_upload_the_same_files_and_nothing_that_lies_beside_them(hub, model, tmp_path):
    (tmp_path / "run" / "checkpoints" / "last").mkdir(parents=True)
    for name in (
        "checkpoints/last/config.json",
        "log.jsonl",
        "results.json",
        "training.yaml",
        "extra.safetensors",
    ):
        (tmp_path / "run" / name).write_text("{}")
    commit = model.save_pretrained(tmp_path / "run", push_to_hub=True)
    assert commit.startswith(f"{hub.url}/me/run/commit/")
    model.push_to_hub("run2")
    model.save_pretrained(tmp_path / "run", push_to_hub=True, repo_id="me/run3", commit_message="third")
    for name in ("me/run", "me/run2", "me/run3"):
        assert set(hub[name].files()) - {"training.json"} == WRITTEN
    assert list(hub["me/run3"].titles.values())[-1] == "third"


def test_pushing_again_removes_what_no_longer_belongs_there(hub, model):
    model.push_to_hub("me/a", include_backbone=True)
    hub["me/a"].add({"adapter_config.json": b"{}", "notes.txt": b"mine"})
    model.push_to_hub("me/a")
    files = hub["me/a"].files()
    assert "model.safetensors" not in files and "adapter_config.json" not in files and "notes.txt" in files


def test_a_branch_a_pull_request_a_private_repository_and_tags(hub, model):
    model.push_to_hub("me/a", private=True, tags=["shoes"])
    assert hub["me/a"].private and "- shoes" in hub["me/a"].files()["README.md"].decode()
    pull = model.push_to_hub("me/a", create_pr=True, commit_description="why")
    assert pull.pr_revision == "refs/pr/1"
    assert torch.equal(
        features(SketchPromptModel.from_pretrained("me/a", revision=pull.pr_revision)), features(model)
    )
    hub.add("you/open", {"README.md": b"theirs"})
    assert model.push_to_hub("you/open", create_pr=True).pr_num == 1
    assert set(hub["you/open"].files()) == {"README.md"}


def test_a_processor_is_pushed_by_itself_and_leaves_the_card_alone(hub, model):
    model.push_to_hub("me/a")
    card = hub["me/a"].files()["README.md"]
    commit = model.processor.push_to_hub("me/a", revision="other")
    assert commit.oid == hub["me/a"].refs["other"]
    model.processor.push_to_hub("me/b")
    assert hub["me/a"].files("other")["README.md"] == card
    assert "README.md" not in hub["me/b"].files()
    again = SketchPromptProcessor.from_pretrained("me/b")
    assert again.tokenizer is not None
    assert again.image_processor.to_dict() == model.processor.image_processor.to_dict()
    model.processor.image_processor.push_to_hub("me/c")
    assert "preprocessor_config.json" in hub["me/c"].files()


def test_results_and_facts_survive_loading_saving_and_pushing(hub, model, tmp_path):
    model.save_pretrained(tmp_path / "a", results={"mini": {"mAP@all": 0.5}})
    again = SketchPromptModel.from_pretrained(tmp_path / "a")
    again.push_to_hub("me/a")
    SketchPromptModel.from_pretrained("me/a").save_pretrained(tmp_path / "b")
    for card in (hub["me/a"].files()["README.md"].decode(), (tmp_path / "b" / "README.md").read_text()):
        assert "| mAP@all | **50.00** |" in card and "There are no results" not in card
    (result,) = [
        r
        for r in ModelCard.load("me/a").data.eval_results
        if r.dataset_type == "mini" and r.metric_value == 50
    ]
    assert result.metric_type == "mAP@all"


def test_a_base_model_that_is_a_folder_is_published_along_and_never_named(hub, tmp_path, caplog):
    clip = tiny_clip()
    clip.save_pretrained(tmp_path / "clip")
    model = ClipAtModel.from_base_model(str(tmp_path / "clip"))
    model.save_pretrained(tmp_path / "run", push_to_hub=True)
    model.push_to_hub("me/again")
    for name in ("me/run", "me/again"):
        for content in hub[name].files().values():
            assert str(tmp_path).encode() not in content
        again = SketchPromptModel.from_pretrained(name)
        assert again.config.base_model is None
        assert torch.equal(again.get_photo_features(images(2)), model.eval().get_photo_features(images(2)))
    assert model.config.base_model == str(tmp_path / "clip")
    with pytest.raises(
        ValueError, match=r"is a folder on this machine, so nobody else could load the adapter"
    ):
        model.push_to_hub("me/adapter", include_backbone=False)
    hub.add("you/clip", tmp_path / "clip")
    model.push_to_hub("me/adapter", base_model="you/clip")
    assert "model.safetensors" not in hub["me/adapter"].files()
    again = SketchPromptModel.from_pretrained("me/adapter")
    assert again.config.base_model == "you/clip"
    assert ModelCard.load("me/adapter").data.base_model == "you/clip"


def test_a_card_never_names_a_folder_even_when_it_is_only_saved(tmp_path):
    tiny_clip().save_pretrained(tmp_path / "clip")
    model = ClipAtModel(ClipAtConfig(base_model=str(tmp_path / "clip")), backbone=tiny_clip())
    model.save_pretrained(tmp_path / "run")
    assert str(tmp_path) not in (tmp_path / "run" / "README.md").read_text()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["base_model"] == str(tmp_path / "clip")


def test_the_card_names_base_model_relation_library_and_its_own_repository(hub, model):
    model.push_to_hub("me/clip-at", revision="v1")
    card = ModelCard(hub["me/clip-at"].files("v1")["README.md"].decode())
    data = card.data.to_dict()
    assert data["base_model"] == "me/mini-clip" and data["base_model_relation"] == "adapter"
    assert data["library_name"] == "sketch-prompt" and data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "image-feature-extraction"
    assert 'SketchPromptModel.from_pretrained("me/clip-at", revision="v1")' in card.text
    for part in ("pip install sketch-prompt", "## Intended use and limits", "@inproceedings{sain2023clip"):
        assert part in card.text
    card.validate()


def test_the_code_of_a_pushed_card_runs_as_printed(hub, model, tmp_path, monkeypatch):
    from sketch_prompt.data.minisketch.generator import MiniSketch

    model.push_to_hub("me/clip-at", revision="v1")
    card = hub["me/clip-at"].files("v1")["README.md"].decode()
    monkeypatch.chdir(tmp_path)
    mini = MiniSketch()
    mini.sketch("teapot", 0).save("drawing.png")
    for n in (1, 2):
        mini.photo("teapot", n).save(f"{n}.jpg")
    names = {}
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], names)
    assert names["scores"].shape == (1, 2)


def test_a_large_checkpoint_is_uploaded_in_parts(hub, model, monkeypatch):
    monkeypatch.setattr(hub, "multipart_bytes", 1_000_000)
    model.push_to_hub("me/a", include_backbone=True)
    assert len(hub.asked(r"/upload/\w+/\d+$")) > 3
    assert torch.equal(features(SketchPromptModel.from_pretrained("me/a")), features(model))


def test_what_the_hub_refuses_is_said_in_one_sentence(hub, model, monkeypatch):
    with pytest.raises(ValueError, match="cannot be a repository's id: give owner/name"):
        model.push_to_hub("a b")
    with pytest.raises(PermissionError, match="this token may not write to you/a: log in"):
        model.push_to_hub("you/a")
    with pytest.raises(PermissionError, match="or the token is wrong: log in"):
        model.push_to_hub("me/a", token="hf_wrong")
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.fail("/upload/", "503", times=99)
    with pytest.raises(ConnectionError, match="the Hub answered 503 to the push to me/a; try again later"):
        model.push_to_hub("me/a")
    hub.faults.clear()
    model.push_to_hub("me/a")
