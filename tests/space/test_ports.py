import socket

import pytest
from typer.testing import CliRunner

from sketch_prompt.space.ports import VARIABLE, check_port


@pytest.fixture
def taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_taken_port_is_said_before_anything_is_computed(taken, monkeypatch):
    pytest.importorskip("gradio", reason="the page needs gradio: pip install -e '.[space]'")
    from sketch_prompt.cli import app

    def compute(*arguments, **options):
        raise AssertionError("a gallery was made")

    monkeypatch.setattr("sketch_prompt.space.catalogue.Catalogue", compute)
    result = CliRunner().invoke(app, ["demo", "--no-browser", "--port", str(taken)])
    assert result.exit_code == 1
    assert f"port {taken} of 127.0.0.1 is in use by another program" in result.stderr
    assert "--port" in result.stderr and "launch()" not in result.stderr


def test_port_of_the_environment_is_checked_too(taken, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(taken))
    with pytest.raises(OSError, match=f"in use by another program: choose another with .*{VARIABLE}"):
        check_port(None, None)
    monkeypatch.setenv(VARIABLE, "http")
    with pytest.raises(ValueError, match="not a port"):
        check_port(None, None)


def test_free_port_or_none_is_fine_and_nonsense_is_not(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert check_port("127.0.0.1", port) is None and check_port(None, None) is None
    with pytest.raises(OSError, match="there is no port 70000"):
        check_port(None, 70_000)
    with pytest.raises(OSError, match=r"no host 'nowhere\.invalid'"):
        check_port("nowhere.invalid", port)
