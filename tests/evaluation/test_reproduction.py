import io
import json

import pytest
from rich.console import Console

from sketch_prompt.data.splits import published_protocols
from sketch_prompt.evaluation.reproduction import published_results, reproduce


def result(**changes):
    base = {
        "method": "clip-at",
        "model": "runs/a",
        "base_model": "openai/clip-vit-base-patch32",
        "benchmark": "sketchy-21",
        "train_benchmark": None,
        "level": "category",
        "gallery": "all",
        "setting": "zs",
        "claim": "zero-shot: none of the 21 test classes was seen in training",
        "convention": "standard",
        "differences": [],
        "metrics": {"mAP@all": 0.6, "mAP@200": 0.705},
        "intervals": {"mAP@200": [0.7, 0.71]},
        "unreadable": 0,
        "time": "2025-01-01T00:00:00+00:00",
    }
    return base | changes


def rows(*results):
    (setup,) = json.loads(reproduce(results).to_json())
    return setup["rows"]


def test_run_stands_below_the_paper_of_its_method_with_the_papers_numbers():
    found = rows(result())
    methods = [row["method"] for row in found]
    assert methods == [
        "ZSE-SBIR (rn)",
        "ZSE-SBIR (ret)",
        "CLIP-AT",
        "clip-at",
        "SpLIP",
        "SketchFusion",
        "C-DisAmb",
        "CLIP, by class name",
    ]
    paper, run = found[2:4]
    assert paper["metrics"] == {"mAP@200": 0.723, "P@200": 0.725}
    assert "arxiv.org/abs/2303.13440" in paper["model"]
    assert run["metrics"]["mAP@200"] == 0.705 and run["notes"] == []


def test_other_protocols_settings_levels_and_training_data_are_other_tables():
    changes = [
        {},
        {"benchmark": "sketchy-25"},
        {"setting": "gzs"},
        {"setting": "seen"},
        {"benchmark": "tu-berlin-30", "train_benchmark": "sketchy-25"},
        {"benchmark": "sketchy-fg", "level": "instance", "gallery": "category", "convention": None},
        {"benchmark": "sketchy-fg", "level": "instance", "gallery": "all", "convention": None},
    ]
    setups = json.loads(reproduce([result(**change) for change in changes]).to_json())
    papers = [[row["method"] for row in setup["rows"] if row["source"] == "paper"] for setup in setups]
    assert len(setups) == 7
    assert papers[1] == ["ZSE-SBIR (rn)", "ZSE-SBIR (ret)", "SpLIP"]
    assert papers[2] == ["CLIP-AT", "SpLIP"]
    assert papers[3] == []
    assert papers[4] == ["CLIP-AT", "SpLIP", "ZSE-SBIR"]
    assert len(papers[5]) == 8 and papers[6] == []


def test_what_sets_a_run_apart_is_a_note_on_its_row_and_below_the_table():
    reproduction = reproduce(
        [result(convention="interpolated", differences=["900 test photos where 12,553 are published"])]
    )
    text = reproduction.to_markdown()
    assert "| **clip-at [1] [2]** | **runs/a** |" in text
    assert "- [1] not the published test data: 900 test photos where 12,553 are published" in text
    assert "- [2] interpolated convention; CLIP-AT: standard" in text
    assert "| **70.50 (70.00 - 71.00)** |" in text


def test_share_of_seen_photos_is_a_note_and_tells_runs_apart():
    claims = [
        f"generalised zero-shot: gallery holds {count} photos of 104 seen classes" for count in (10, 20)
    ]
    found = rows(*(result(setting="gzs", claim=claim) for claim in claims))
    assert [row["notes"] for row in found if row["source"] == "run"] == [[claims[0]], [claims[1]]]


def test_a_convention_that_the_paper_does_not_say_is_noted():
    (note,) = next(row for row in rows(result(method="splip")) if row["source"] == "run")["notes"]
    assert note == "standard convention; SpLIP: not said which"


def test_metrics_have_columns_of_their_own():
    text = reproduce([result()]).to_markdown()
    header = next(line for line in text.splitlines() if line.startswith("| method"))
    assert header == "| method | source | backbone | convention | mAP@200 | P@200 | mAP@all |"
    clip_at = next(line for line in text.splitlines() if line.startswith("| CLIP-AT"))
    assert clip_at == "| CLIP-AT | paper | CLIP ViT-B/32 | standard | 72.3 | 72.5 |  |"


def test_method_or_protocol_without_published_numbers_is_shown_all_the_same():
    assert rows(result(method="frozen-clip"))[0]["method"] == "frozen-clip"
    assert [row["source"] for row in rows(result(benchmark="mini"))] == ["run"]


def test_of_a_repeated_run_the_last_one_counts():
    found = rows(
        result(benchmark="mini"),
        result(benchmark="mini", convention="interpolated"),
        result(benchmark="mini", metrics={"mAP@all": 0.9}),
    )
    assert [(row["convention"], row["metrics"]["mAP@all"]) for row in found] == [
        ("interpolated", 0.6),
        ("standard", 0.9),
    ]


def test_table_fits_a_terminal():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(reproduce([result(convention="interpolated")]).to_table())
    text = console.export_text()
    for expected in (
        "sketchy-21, zero-shot",
        "CLIP-AT",
        "72.3",
        "70.50",
        "70.00-71.00",
        "runs/a",
        "[1] interpolated convention",
    ):
        assert expected in text


def test_published_results_name_known_protocols_and_print_percentages():
    known = {*published_protocols(), "sketchy-fg", "shoe-v2", "chair-v2"}
    for entry in published_results():
        assert entry["benchmark"] in known and entry.get("train_benchmark") in {None, *known}
        assert entry["citation"] and entry["convention"] in {None, "standard", "interpolated"}
        assert all(1 < value < 100 for value in entry["metrics"].values())
        assert entry["source"]["text"] and (entry["source"]["url"] or entry["source"]["secondary"])


def test_a_number_read_at_second_hand_says_so_and_where():
    found = {row["method"]: row for row in rows(result(setting="gzs"))}
    assert found["CLIP-AT"]["secondary"] and not found["SpLIP"]["secondary"]
    assert "read in: tables of SpLIP" in found["CLIP-AT"]["model"]
    text = reproduce([result(setting="gzs")]).to_markdown()
    assert "| CLIP-AT | paper, secondary |" in text and "| SpLIP | paper |" in text


def test_dp_clips_numbers_say_that_they_are_an_ablation_in_the_appendix():
    entries = [entry for entry in published_results() if entry["paper"] == "DP-CLIP"]
    assert {entry["metrics"]["Acc@1"] for entry in entries} == {34.03, 35.77}
    assert all(entry["ablation"] and "ablation in the appendix" in entry["variant"] for entry in entries)


@pytest.mark.parametrize(
    ("paper", "benchmark", "setting", "train", "metric", "value"),
    [
        ("SpLIP", "sketchy-21", "gzs", None, "P@200", 74.5),
        ("SpLIP", "quickdraw-30", "zs", "sketchy-25", "mAP@all", 45.8),
        ("CLIP-AT", "sketchy-fg", "zs", None, "Acc@1", 28.68),
        ("ZSE-SBIR", "chair-v2", "instances", None, "Acc@1", 64.31),
        ("CLIP-AT", "tu-berlin-30", "gzs", None, "P@100", 63.8),
        ("ZSE-SBIR", "tu-berlin-30", "gzs", None, "mAP@all", 46.4),
        ("CLIP-AT", "quickdraw-30", "zs", "sketchy-25", "P@100", 45.0),
        ("SpLIP", "tu-berlin-30", "zs", "sketchy-25", "P@100", 76.0),
    ],
)
def test_published_numbers_are_the_papers(paper, benchmark, setting, train, metric, value):
    values = [
        entry["metrics"].get(metric)
        for entry in published_results()
        if (entry["paper"], entry["benchmark"], entry.get("setting", "zs"), entry.get("train_benchmark"))
        == (paper, benchmark, setting, train)
    ]
    assert value in values
