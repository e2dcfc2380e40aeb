"""What every test may rely on."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

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
