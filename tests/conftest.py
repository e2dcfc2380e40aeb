"""What every test may rely on."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from fakes.hub import TOKEN, LoopbackHub

# Set before huggingface_hub is imported: whatever a test does, it reaches no other Hub than this one.
_HUB = LoopbackHub()
os.environ.update(HF_ENDPOINT=_HUB.url, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"  # transformers would ask a Space for it

# A shell starts background commands with SIGINT ignored, which processes inherit; tests send it, as Ctrl-C does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The key that seals galleries is kept there; child processes of tests find it too.
_STATE = tempfile.TemporaryDirectory(prefix="sketch-prompt-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

# Beside the repository; a git worktree lies one folder deeper.
_REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = next((p for up in (1, 2) if (p := _REPOSITORY.parents[up - 1] / "shared").is_dir()), None)


@pytest.fixture
def shared():
    """Finds a folder of the material beside the repository, or skips the test."""

    def find(name):
        if SHARED is None or not (SHARED / name).is_dir():
            pytest.skip(f"needs ../shared/{name}, which is not part of the repository")
        return SHARED / name

    return find


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty Hub on loopback, online, with the user `me` logged in and a cache of its own."""
    import datasets.config
    import huggingface_hub.constants as constants

    _HUB.reset()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets-cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return _HUB
