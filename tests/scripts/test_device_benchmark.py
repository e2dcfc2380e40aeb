"""What will run on a GPU runs here with a tiny CLIP."""

import json
import sys

import device_benchmark


def test_the_rehearsal_measures_embedding_training_rankings_and_files(tmp_path, monkeypatch, capsys):
    path = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["device_benchmark.py", "--rehearse", "--json", str(path)])
    device_benchmark.main()
    peak, embedding, training, rankings, files = json.loads(path.read_text())
    assert peak["operations a second"] > 0 and "CPU" in peak["what"]
    assert embedding["pictures a second"] > 0 and 0 < embedding["share of the matrix rate"] < 10
    assert training["triplets a second"] > 0 and training["share of the matrix rate"] > 0
    assert 0 <= rankings["bfloat16"] <= 1 and 0 <= rankings["float16"] <= 1
    assert "32 JPEG files" in files["what"] and files["photos a second"] > 0
    assert len(capsys.readouterr().out.splitlines()) == 5
