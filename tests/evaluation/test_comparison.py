"""Runs side by side."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sketch_prompt.cli import app
from sketch_prompt.evaluation import Report
from sketch_prompt.evaluation.comparison import compare, paired_difference, read_runs
from sketch_prompt.evaluation.curves import plot_comparison, plot_reproduction
from sketch_prompt.evaluation.report import append_result
from sketch_prompt.evaluation.reproduction import reproduce

PREPARED = {"size": 64, "photo_resize": "crop", "sketch_crop_margin": False, "sketch_line_width": 0.0}


def report(method="frozen-clip", scores=(0.1, 0.2, 0.3, 0.4), seed=None, **fields):
    """A report of four queries."""
    recipe = {} if seed is None else {"model": {"method": method}, "optimisation": {"epochs": 3}}
    values = dict(
        method=method,
        model=f"runs/{method}-{seed}",
        benchmark="mini",
        convention="standard",
        zero_shot=True,
        claim="zero-shot",
        metrics={"mAP@all": float(np.mean(scores)), "P@100": 0.3},
        chance={"mAP@all": 0.05, "P@100": 0.05},
        per_class={"cat": {"mAP@all": 0.2, "P@100": 0.3}},
        queries=4,
        photos=480,
        classes=12,
        seconds=1.0,
        intervals={"mAP@all": [0.1, 0.4]},
        ceilings={"P@100": 0.4},
        preprocessing=PREPARED,
        seed=seed,
        recipe=recipe,
        query_set="those",
        query_scores={"mAP@all": list(scores), "P@100": [0.3] * 4},
    )
    return Report(**values | fields)


@pytest.fixture
def runs():
    """The baseline, and three seeds of a method that is better on every query by 0.1, 0.2 and 0.3."""
    better = [
        report("clip-at", np.array([0.1, 0.2, 0.3, 0.4]) + 0.1 * (1 + seed), seed) for seed in (0, 1, 2)
    ]
    return [report(), *better]


def test_seeds_are_one_variant_with_mean_and_deviation(runs):
    comparison = compare(runs)
    baseline, method = comparison.variants
    assert (baseline.name, len(baseline.reports), method.name, len(method.reports)) == (
        "frozen-clip",
        1,
        "clip-at",
        3,
    )
    assert method.mean("mAP@all") == pytest.approx(0.45)
    assert method.deviation("mAP@all") == pytest.approx(np.std([0.35, 0.45, 0.55], ddof=1))
    assert baseline.deviation("mAP@all") is None


def test_the_difference_is_paired_by_query_and_its_interval_is_that_of_a_bootstrap(runs):
    (difference, _) = compare(runs).differences
    assert difference.mean == pytest.approx(0.2) and difference.interval == pytest.approx((0.2, 0.2))
    generator = np.random.default_rng(3)
    first, second = generator.random(300), generator.random(300) + 0.1
    found = paired_difference("b", "mAP@all", first, second)
    error = (second - first).std() / np.sqrt(300)
    assert found.mean == pytest.approx((second - first).mean())
    expected = (found.mean - 1.96 * error, found.mean + 1.96 * error)
    assert found.interval == pytest.approx(expected, abs=0.15 * error)
    level = paired_difference("b", "mAP@all", first, first[::-1].copy())
    assert level.mean == pytest.approx(0, abs=1e-12) and level.p_value > 0.9


def test_queries_that_do_not_count_in_one_run_are_left_out():
    found = paired_difference("b", "mAP@all", np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.9, 0.4]))
    assert found.mean == pytest.approx(0.1)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference("b", "mAP@all", np.zeros(3), np.zeros(4))


def test_settings_that_differ_are_named_and_preprocessing_most_of_all(runs):
    other = report("frozen-clip", preprocessing=PREPARED | {"sketch_line_width": 1.5})
    comparison = compare([runs[0], other])
    assert comparison.settings == {"preprocessing.sketch_line_width": (0.0, 1.5)}
    assert "preprocessing differs (sketch_line_width)" in comparison.notes[0]
    assert [variant.name for variant in comparison.variants] == [
        "frozen-clip (frozen-clip-None)",
        "frozen-clip (frozen-clip-None)'",
    ]
    assert compare(runs).settings["optimisation.epochs"] == (None, 3)


def test_seeds_of_another_recipe_are_another_variant(runs):
    longer = replace(runs[1], recipe={"model": {"method": "clip-at"}, "optimisation": {"epochs": 9}}, seed=0)
    assert [len(variant.reports) for variant in compare([*runs[1:], longer]).variants] == [3, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"benchmark": "sketchy-21"}, "their benchmark is mini and sketchy-21"),
        ({"level": "instance"}, "their level is"),
        ({"metrics": {"mAP@5": 0.3}}, "no metric in common"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, fields, message):
    with pytest.raises(ValueError, match=message):
        compare([runs[0], replace(runs[0], **fields)])


def test_runs_without_the_scores_of_their_queries_are_compared_unpaired_and_it_is_said(runs):
    comparison = compare([runs[0], replace(runs[1], query_scores={})])
    assert comparison.differences == () and any("cannot be paired" in note for note in comparison.notes)


def test_the_tables_as_markdown_latex_csv_json_and_for_a_terminal(runs):
    comparison = compare(runs)
    markdown = comparison.to_markdown()
    assert "| clip-at | 3 | 45.00 ± 10.00 | 30.00 ± 0.00 of 40 |" in markdown
    assert "| clip-at | mAP@all | +20.00 | +20.00 to +20.00 | < 0.0002 |" in markdown
    latex = comparison.to_latex()
    assert r"clip-at & 3 & 45.00 $\pm$ 10.00 &" in latex and r"95 \% interval" in latex
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [row["seed"] for row in rows if row["metric"] == "mAP@all"] == ["", "0", "1", "2"]
    assert float(rows[-1]["mean"]) == 0.3 and float(rows[2]["difference"]) == pytest.approx(0.2)
    assert json.loads(comparison.to_json())["variants"][1]["seeds"] == [0, 1, 2]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(comparison.to_table())
    assert "Settings that differ" in console.export_text()
    assert "<table>" in comparison._repr_html_()


def test_a_plot_has_a_panel_for_each_metric_and_a_dot_for_each_run(runs):
    figure = plot_comparison(compare(runs))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["mAP@all", "P@100"]
    dots = [len(points.get_offsets()) for points in figure.axes[0].collections]
    assert sorted(dots) == [1, 1, 1, 3]


def test_runs_are_read_from_reports_folders_results_and_folders_of_folders(runs, tmp_path):
    runs[0].save(tmp_path / "baseline")
    for seed, run in enumerate(runs[1:]):
        run.save(tmp_path / "method" / f"seed-{seed}")
    append_result(tmp_path / "lines" / "results.jsonl", runs[0])
    read = read_runs([tmp_path / "baseline", tmp_path / "method", tmp_path / "baseline" / "report.json"])
    assert [run.method for run in read] == ["frozen-clip", *["clip-at"] * 3, "frozen-clip"]
    assert read[0] == runs[0] and read[2].query_scores == runs[2].query_scores
    (line,) = read_runs([tmp_path / "lines"])
    assert line.metrics == runs[0].metrics and line.query_scores == {}
    with pytest.raises(FileNotFoundError, match="there is no run in"):
        read_runs([tmp_path / "nothing"])
    (tmp_path / "results.json").write_text('{"test": null}')
    with pytest.raises(ValueError, match="was not evaluated"):
        read_runs([tmp_path / "results.json"])


def test_the_command_compares_and_plots(runs, tmp_path):
    for number, run in enumerate(runs):
        run.save(tmp_path / str(number))
    arguments = ["compare", *(str(tmp_path / str(number)) for number in range(4))]
    plot = ["--plot", str(tmp_path / "figure.png")]
    done = CliRunner().invoke(app, [*arguments, *plot, "--format", "latex"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(r"\begin{table}") and (tmp_path / "figure.png").is_file()
    assert CliRunner().invoke(app, [*arguments, "--format", "csv"]).stdout.startswith("run,seed,metric")


def test_reproduce_joins_seeds_and_names_ceilings(runs, tmp_path):
    for run in runs:
        append_result(tmp_path / "results.jsonl", run)
    from sketch_prompt.evaluation.report import read_results

    reproduction = reproduce(read_results([tmp_path]))
    ((_, rows),) = reproduction.setups.items()
    joined = next(row for row in rows if row.method == "clip-at")
    assert joined.seeds == 3 and joined.metrics["mAP@all"] == pytest.approx(0.45)
    assert joined.deviations["mAP@all"] == pytest.approx(0.1)
    assert "P@100 is at most 40 here: some classes have fewer photos" in joined.notes
    assert "45.00 ± 10.00" in reproduction.to_markdown() and r"$\pm$ 10.00" in reproduction.to_latex()
    lines = list(csv.DictReader(io.StringIO(reproduction.to_csv())))
    assert {line["seeds"] for line in lines if line["method"] == "clip-at"} == {"3"}
    assert len(plot_reproduction(reproduction).axes) == 1
