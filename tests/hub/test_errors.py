"""When the Hub does not give a checkpoint, one sentence says why and what to do; nothing is cached damaged."""

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from sketch_prompt import SketchPromptModel
from sketch_prompt.cli import app
from sketch_prompt.models.backbone import load_backbone
from sketch_prompt.sources import find_checkpoint

BUNDLED = "mini-clip-at"


@pytest.fixture(autouse=True)
def repository(hub):
    return hub.add("you/clip-at", find_checkpoint(BUNDLED))


def why(name="you/clip-at", **options):
    with pytest.raises(FileNotFoundError) as caught:
        SketchPromptModel.from_pretrained(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_repository_that_is_not_there(monkeypatch):
    assert "the Hub has none of that name, or it is private: log in" in why("you/none")
    monkeypatch.setenv("HF_TOKEN", "")
    assert "the Hub has none of that name, or it is private: log in" in why("you/none")


def test_a_typo_of_a_bundled_name_is_answered_with_the_name():
    assert "did you mean 'mini-clip-at'?" in why("mini-clip_at")
    assert "bundled names: clip-at-quickdraw-caltech, " in why("you/none")
    assert "it cannot be an id on the Hub" in why("/no/such/folder")


def test_a_private_repository(hub, repository):
    repository.private = True
    assert "or it is private: log in" in why()


def test_a_gated_repository(hub, repository):
    repository.gated = True
    assert why() == (
        f"you/clip-at is gated: accept its conditions at {hub.url}/you/clip-at and log in with `hf auth login` or "
        "pass token=..."
    )


def test_a_token_that_the_hub_does_not_know(repository):
    assert "refuses the token that was sent for you/clip-at: it is wrong or expired" in why(token="hf_wrong")


def test_a_revision_that_is_not_there():
    assert why(revision="v7").startswith("you/clip-at has no revision 'v7' on the Hub; its branches are at")


def test_offline(monkeypatch):
    assert "offline it is not in the cache" in why(local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline it is not in the cache" in why()


def test_a_checkpoint_in_the_cache_loads_offline(hub, monkeypatch):
    SketchPromptModel.from_pretrained("you/clip-at")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    SketchPromptModel.from_pretrained("you/clip-at")
    SketchPromptModel.from_pretrained("you/clip-at", local_files_only=True)
    assert len(hub.requests) == asked


@pytest.mark.parametrize("fault", ["cut", "close"])
def test_a_connection_that_breaks_and_the_next_try(hub, monkeypatch, fault):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.fail("/storage/", fault, times=99)
    assert "the download of you/clip-at broke off" in why() and "run the same command again" in why()
    hub.faults.clear()
    SketchPromptModel.from_pretrained("you/clip-at")


def test_a_server_that_fails(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.fail("/api/models/you/clip-at", "503", times=99)
    assert why() == "the Hub answered 503 when asked for you/clip-at; try again later"


def test_a_flipped_byte_is_found_and_not_kept(hub):
    hub.fail("/storage/", "flip")
    message = why()
    assert message.startswith("adapter_model.safetensors of you/clip-at did not arrive as it is on the Hub")
    SketchPromptModel.from_pretrained("you/clip-at")


def test_a_byte_that_flips_in_the_cache_is_found(hub, tmp_path):
    SketchPromptModel.from_pretrained("you/clip-at")
    (path,) = tmp_path.rglob("snapshots/*/adapter_model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)
    assert "was removed from the cache" in why()
    SketchPromptModel.from_pretrained("you/clip-at")


def test_the_command_line_says_the_same_without_a_traceback(hub, repository):
    repository.gated = True
    done = CliRunner().invoke(app, ["evaluate", "-m", "you/clip-at", "-b", "mini"])
    assert done.exit_code != 0 and "Traceback" not in done.output


def test_a_base_model_is_explained_in_the_same_words(hub):
    hub.add("openai/clip", find_checkpoint("mini-clip"), gated=True)
    with pytest.raises(FileNotFoundError, match="openai/clip is gated: accept its conditions"):
        load_backbone("openai/clip")


def test_weights_of_a_base_model_that_break_off_are_no_traceback(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.add("openai/clip", find_checkpoint("mini-clip"))
    hub.fail("/storage/", "cut", times=99)
    with pytest.raises(FileNotFoundError, match="the download of openai/clip broke off"):
        load_backbone("openai/clip")
