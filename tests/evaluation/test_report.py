import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from sketch_prompt.evaluation import Report
from sketch_prompt.evaluation.report import OLD_KEYS, append_result, read_results


@pytest.fixture
def report():
    return Report(
        method="clip-at",
        model="runs/best",
        benchmark="sketchy-21",
        convention="standard",
        zero_shot=True,
        claim="zero-shot: none of the 21 test classes was seen in training",
        metrics={"mAP@all": 0.65432, "P@100": 0.71},
        chance={"mAP@all": 0.05, "P@100": 0.0482},
        per_class={
            name: {"mAP@all": 0.9 - index / 10, "P@100": 0.6} for index, name in enumerate("abcdefgh")
        },
        queries=12694,
        photos=12553,
        classes=21,
        seconds=61.24,
        intervals={"mAP@all": [0.6401, 0.6683], "P@100": [0.7, 0.72]},
        queries_per_class=dict.fromkeys("abcdefgh", 600),
        curve={"recall": [0.0, 1.0], "precision": [0.9, 0.1], "chance": [0.05, 0.05]},
        differences=["12,000 test photos where 12,553 are published"],
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
    assert "| mAP@all | 65.43 | 64.01 - 66.83 | 5.00 |" in text
    assert "12,694 sketches of 21 classes against 12,553 photos, standard convention; zero-shot:" in text
    assert (
        "zero-shot: none of the 21 test classes was seen in training; not the published test data (12,000"
        in text
    )
    assert text.count("photo/bat/") == 12
    assert [line[2] for line in text.splitlines() if " | 600 | " in line] == list("abcdefgh")


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
        "64.01 - 66.83",
        "Best and worst of 8 classes",
    ):
        assert expected in text
    assert [name for name in "abcdefgh" if f"│ {name} " in text] == list("abcfgh")


def test_summary_leaves_out_what_is_said_of_single_classes_and_images(report):
    summary = report.summary()
    assert summary["unreadable"] == 12
    assert summary["intervals"]["P@100"] == [0.7, 0.72]
    assert not {"per_class", "queries_per_class", "curve"} & set(summary)


def test_saved_report_is_read_back_and_anything_else_refused(report, tmp_path):
    report.save(tmp_path)
    assert Report.load(tmp_path / "report.json") == report
    (tmp_path / "other.json").write_text('{"method": "clip-at"}')
    with pytest.raises(ValueError, match=r"other\.json is not a report of sketch-prompt evaluate"):
        Report.load(tmp_path / "other.json")


def test_instance_level_names_the_gallery_and_no_convention(report):
    text = replace(report, level="instance", gallery="category", convention=None).to_markdown()
    assert "against their class's photos (12,553 in all), instance level; zero-shot" in text
    assert "convention" not in text


def test_saving_writes_json_and_markdown_and_nothing_else(report, tmp_path):
    paths = report.save(tmp_path / "new")
    assert [path.name for path in paths] == ["report.json", "report.md"]
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(paths)
    assert json.loads(paths[0].read_text())["method"] == "clip-at"


def old_keys(content):
    """The content of a report with the keys of earlier versions."""
    return {{new: old for old, new in OLD_KEYS.items()}.get(key, key): content[key] for key in content}


def test_a_report_of_an_earlier_version_is_read_with_a_note_for_each_key(report, tmp_path):
    report = replace(
        report, train_benchmark="sketchy-25", condition="given", level="instance", gallery="category"
    )
    content = old_keys(json.loads(report.to_json()))
    assert (content["gallery"], content["gallery_scope"]) == (12553, "category")
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.warns(FutureWarning) as warned:
        assert Report.load(tmp_path / "report.json") == report
    notes = " ".join(str(warning.message) for warning in warned)
    assert all(f"{old} is now called {new}" in notes for old, new in OLD_KEYS.items())


def test_results_of_earlier_versions_and_of_this_one_stand_in_one_file(report, tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(old_keys(report.summary())) + "\n")
    append_result(path, report)
    with pytest.warns(FutureWarning):
        old, new = read_results([path])
    assert old == new
