import json
import multiprocessing

import pytest

from sketch_prompt.evaluation import Report
from sketch_prompt.evaluation.report import append_result, read_results


def report(number=0):
    return Report(
        method="clip-at",
        model=f"runs/{number}",
        benchmark="sketchy-21",
        convention="standard",
        zero_shot=True,
        claim="é\u2028" * 2000,
        metrics={"mAP@all": number / 1000},
        chance={"mAP@all": 0.05},
        per_class={},
        queries=1,
        photos=1,
        classes=1,
        seconds=1.0,
    )


def append_many(path, start):
    for number in range(start, start + 50):
        append_result(path, report(number))


def test_lines_of_concurrent_writers_never_mix(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(path, 50 * number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    results = read_results([path])
    assert sorted(result["model"] for result in results) == sorted(f"runs/{number}" for number in range(200))
    assert {result["claim"] for result in results} == {"é\u2028" * 2000}
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_line_is_passed_over_with_a_warning_that_names_it(tmp_path):
    path = tmp_path / "results.jsonl"
    append_result(path, report(1))
    with path.open("a") as file:
        file.write('{"method": "clip\n{"method": "clip-at"}\n')
    append_result(path, report(2))
    with pytest.warns(UserWarning) as warned:
        results = read_results([tmp_path])
    assert [result["model"] for result in results] == ["runs/1", "runs/2"]
    messages = [str(warning.message) for warning in warned]
    assert "results.jsonl, line 2 is skipped" in messages[0]
    assert "line 3 is skipped: it lacks model, benchmark, level, setting, claim, metrics" in messages[1]


def test_missing_and_empty_files_are_errors_that_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*results\.jsonl: sketch-prompt evaluate writes one"):
        read_results([tmp_path])
    (tmp_path / "results.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="No result in"):
        read_results([tmp_path])


def test_a_line_holds_what_a_table_needs(tmp_path):
    append_result(tmp_path / "r.jsonl", report(7))
    (line,) = (tmp_path / "r.jsonl").read_text().split("\n")[:-1]
    result = json.loads(line)
    assert (result["metrics"], result["level"], result["setting"]) == ({"mAP@all": 0.007}, "category", "zs")
    assert result["time"].endswith("+00:00")
