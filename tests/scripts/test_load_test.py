import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "load_test.py"


def test_concurrent_clients_all_get_an_answer(address, monkeypatch, capsys):
    specification = importlib.util.spec_from_file_location("load_test", SCRIPT)
    load_test = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(load_test)
    arguments = ["--url", address, "--searches", "24", "--clients", "8"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as ended:
        load_test.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("24 searches by 8 clients in ")
