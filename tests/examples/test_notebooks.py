"""The notebooks in examples/ run from the first cell to the last, on what is bundled."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def html_of(cell):
    outputs = (output.get("data", {}) for output in cell.get("outputs", ()))
    return "".join("".join(data.get("text/html", "")) for data in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_pictures_and_tables(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = "".join(html_of(cell) for cell in notebook.cells)
    assert "<table" in shown or '<img src="data:image/' in shown


def test_there_are_three_and_they_are_kept_without_outputs():
    assert {path.stem for path in NOTEBOOKS} == {
        "a_method_of_your_own",
        "evaluate_a_method",
        "search_your_photos",
    }
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
