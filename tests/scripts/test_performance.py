"""docs/performance.md says what was measured, and nothing else."""

import json

import benchmark
from benchmark import BENCHMARKS, keep, of_large_galleries
from measuring import Figure, ratio
from performance import DOCS, page, scale_page


def test_the_page_is_that_of_the_figures():
    measured = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    assert (DOCS / "performance.md").read_text(encoding="utf-8") == page(measured)
    if (scale := scale_page(measured)) is not None:
        assert (DOCS / "scale.md").read_text(encoding="utf-8") == scale


def test_figures_of_one_benchmark_leave_those_of_others(tmp_path):
    path = tmp_path / "figures.json"
    keep(path, "embed", [Figure("one", "1.00 times", "two", "three")], "here")
    keep(path, "search", [Figure("four", "5 ms")], "there")
    keep(path, "embed", [ratio("one", {"base": 2.0, "ours": 1.0}, "limit 1")], "here again")
    text = page(json.loads(path.read_text()))
    assert "| one, ours | 0.50 times | base, 2.00 s | limit 1 |" in text
    assert "| four | 5 ms |  |  |" in text and "three" not in text
    assert "Not measured" in text.partition("## On a GPU")[2]


def test_more_photos_than_were_measured_are_computed_from_the_slope():
    def gallery(rows, resident, ms):
        search = {"ms": ms, "recall@10": 0.97, "resident_mb": resident, "imports_mb": 300.0}
        return {
            "rows": rows,
            "width": 512,
            "precision": "binary",
            "search": search,
            "build": {"seconds": 9.0},
        }

    figures = of_large_galleries({"galleries": [gallery(100_000, 310, 2.0), gallery(1_000_000, 400, 3.0)]})
    assert figures[-2].what.startswith("10,000,000 x 512, binary, computed")
    assert figures[-2].value == "1,300 MB, 9 ms a query"
    assert "codes alone 52 MB" in figures[3].limit


def test_every_benchmark_says_what_it_measures():
    assert all(run.__doc__ for run in BENCHMARKS.values())
    assert benchmark.BENCHMARKS.keys() >= {"embed", "train", "search", "large", "encode"}


def test_costs_of_large_collections_follow_from_the_measured_rate():
    figure = {"raw": {"ours": 2.0, "base": 2.0}}
    text = scale_page({"embed": {"date": "today", "machine": "a, torch 2, 1 threads", "figures": [figure]}})
    assert scale_page({}) is None
    row = next(line for line in text.splitlines() if line.startswith("| 10,000,000 |"))
    # 32 photos in 2 s are 16 a second and core, 256 on 16 cores; 512 x 4 + 40 bytes a photo on the disk
    assert row.split(" | ")[1:6] == ["20.9 GB", "5.24 GB / 520 MB", "400 MB", "11", "1"]
