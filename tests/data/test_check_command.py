import json

import pytest
from typer.testing import CliRunner

from sketch_prompt.cli import app


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def test_sound_data_exits_with_0_and_a_table(run, sketch_folder):
    result = run(sketch_folder)
    assert result.exit_code == 0, result.output
    assert "sketch-folder" in result.stdout and "hot air balloon" in result.stdout
    assert "Reading" in result.stderr


def test_faulty_data_exits_with_1_and_names_the_fault(run, sketch_folder):
    (sketch_folder / "photo" / "cat" / "a.jpg").write_bytes(b"broken")
    result = run(sketch_folder)
    assert result.exit_code == 1
    assert "a.jpg: not an image" in "".join(result.stdout.split("\n"))
    assert run(sketch_folder, "--no-read-images").exit_code == 0


def test_json_alone_is_on_stdout(run, sketch_folder):
    result = run(sketch_folder, "--json", "--benchmark", "sketch-folder")
    assert json.loads(result.stdout)["benchmarks"][0]["benchmark"] == "sketch-folder"


def test_an_unknown_benchmark_is_one_message(run, sketch_folder):
    result = run(sketch_folder, "--benchmark", "sketchy")
    assert result.exit_code == 1 and "did you mean" in result.stderr and "Traceback" not in result.stderr
