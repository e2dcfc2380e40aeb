import io
import json

import pytest
from rich.console import Console

from sketch_prompt.evaluation import Report


@pytest.fixture
def report():
    return Report(
        method="clip-at",
        model="runs/best",
        protocol="sketchy-21",
        convention="standard",
        zero_shot=True,
        claim="zero-shot: none of the 21 test classes was seen in training",
        metrics={"mAP@all": 0.65432, "P@100": 0.71},
        chance={"mAP@all": 0.05, "P@100": 0.0482},
        per_class={"bat": {"mAP@all": 0.5, "P@100": 0.6}},
        queries=12694,
        gallery=12553,
        classes=21,
        seconds=61.24,
        unreadable=[{"domain": "photo", "path": f"photo/bat/{i}.jpg", "reason": "empty"} for i in range(12)],
        peak_memory_mb={"process": 1234.5},
        environment={
            "sketch_prompt": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "python": "3.11.2",
            "platform": "Linux",
            "processors": 2,
            "torch_threads": 2,
            "device": "cpu",
            "dtype": "float32",
        },
    )


def test_json_holds_every_field_unrounded(report):
    loaded = json.loads(report.to_json())
    assert Report(**loaded) == report
    assert loaded["metrics"]["mAP@all"] == 0.65432


def test_markdown_is_a_table_with_claim_and_every_unreadable_image(report):
    text = report.to_markdown()
    assert text.startswith("# clip-at on sketchy-21\n")
    assert "| mAP@all | 65.43 | 5.00 |" in text
    assert "12,694 sketches of 21 classes against 12,553 photos, standard convention; zero-shot:" in text
    assert text.count("photo/bat/") == 12


def test_table_fits_a_terminal_and_names_protocol_convention_and_claim(report):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.to_table())
    text = console.export_text()
    for expected in (
        "clip-at on sketchy-21",
        "65.43",
        "5.00",
        "standard",
        "zero-shot",
        "and 2 more",
        "1,234 MB",
    ):
        assert expected in text


def test_saving_writes_json_and_markdown_and_nothing_else(report, tmp_path):
    paths = report.save(tmp_path / "new")
    assert [path.name for path in paths] == ["report.json", "report.md"]
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(paths)
    assert json.loads(paths[0].read_text())["method"] == "clip-at"
