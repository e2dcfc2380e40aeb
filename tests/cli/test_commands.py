import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.clip import write_clip
from fakes.models import TinyModel, TinyPairModel, TinyProcessor
from sketch_prompt.cli import app
from sketch_prompt.data.minisketch import MiniSketch


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """`sketch-prompt evaluate` on a tiny model and benchmark; what was asked of both is kept."""
    model, asked, benchmark = TinyModel(), {}, write_benchmark(tmp_path / "data")

    def load_model(*arguments):
        asked["model"] = arguments
        return model, TinyProcessor()

    def load_benchmark(*arguments, **options):
        asked["benchmark"] = arguments, options
        return benchmark

    monkeypatch.setattr("sketch_prompt.models.loading.load_model", load_model)
    monkeypatch.setattr("sketch_prompt.data.benchmarks.load_benchmark", load_benchmark)
    return model, asked


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_alone_is_on_stdout_and_progress_on_stderr(tiny):
    result = run("evaluate", "checkpoint", "--benchmark", "tiny-3", "--format", "json", "--k", "5")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert list(report["metrics"]) == ["mAP@all", "mAP@5", "P@5"]
    assert (report["method"], report["model"], report["benchmark"]) == ("tiny", "checkpoint", "tiny-3")
    assert sorted(report["per_class"]) == UNSEEN
    assert "Embedding photos" in result.stderr


@pytest.mark.parametrize(("format", "expected"), [("table", "mAP@100"), ("markdown", "| mAP@100 |")])
def test_report_is_printed_as_table_or_markdown(tiny, format, expected):
    result = run("evaluate", "checkpoint", "--benchmark", "tiny-3", "--format", format)
    assert result.exit_code == 0, result.output
    assert "tiny on tiny-3" in result.stdout
    assert expected in result.stdout


def test_output_folder_gets_report_and_rankings(tiny, tmp_path):
    output = tmp_path / "runs" / "1"
    result = run("evaluate", "checkpoint", "--benchmark", "tiny-3", "--output", output, "--sheet-size", 4)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in output.iterdir()) == [
        "best_queries.png",
        "precision_recall.png",
        "rankings.png",
        "report.json",
        "report.md",
        "results.jsonl",
        "worst_queries.png",
    ]
    for path in output.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG"
        assert path.name in result.stderr


def test_results_are_appended_and_reproduced_beside_the_papers(tiny, tmp_path):
    results = tmp_path / "all.jsonl"
    for _ in range(2):
        arguments = ("--benchmark", "sketchy-21", "--results", results, "--format", "json")
        assert run("evaluate", "checkpoint", *arguments).exit_code == 0
    assert len(results.read_text().splitlines()) == 2
    table = run("reproduce", "--report", results)
    assert table.exit_code == 0, table.output
    assert "sketchy-21, zero-shot" in table.stdout and "CLIP-AT" in table.stdout
    (setup,) = json.loads(run("reproduce", "--report", results, "--format", "json").stdout)
    (row,) = [row for row in setup["rows"] if row["source"] == "run"]
    assert "1 of the 21 test classes, 2 test classes that are not the protocol's" in row["notes"][0]
    missing = run("reproduce", "--report", tmp_path / "none.jsonl")
    assert missing.exit_code == 1 and "There is no" in missing.stderr


def test_instance_level_and_gallery_are_chosen_on_the_command_line(tiny, tmp_path):
    arguments = ("evaluate", "checkpoint", "--benchmark", "tiny-3", "--level", "instance", "--format", "json")
    output = tmp_path / "out"
    result = run(*arguments, "--gallery", "all", "--k", 2, "--output", output, "--sheet-size", 2)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["level"], report["gallery"], list(report["metrics"])) == (
        "instance",
        "all",
        ["Acc@2"],
    )
    assert (output / "accuracy.png").is_file()
    compared = run("evaluate", "checkpoint", "--benchmark", "tiny-3", "--compare", output / "report.json")
    assert compared.exit_code == 1
    assert "is at instance level and cannot be compared with category level" in compared.stderr


def test_ranking_by_pairs_is_chosen_on_the_command_line(tiny, tmp_path, monkeypatch):
    arguments = ("evaluate", "checkpoint", "--benchmark", "tiny-3", "--format", "json")
    refused = run(*arguments, "--ranking", "exhaustive")
    assert refused.exit_code == 1 and "tiny compares embeddings only" in refused.stderr
    monkeypatch.setattr(
        "sketch_prompt.models.loading.load_model", lambda *_: (TinyPairModel(), TinyProcessor())
    )
    chosen = ("--ranking", "exhaustive", "--work-dir", tmp_path / "work", "--pair-dtype", "bfloat16")
    report = json.loads(run(*arguments, *chosen).stdout)
    assert (report["ranking"], report["pairs"]) == ("exhaustive", report["queries"] * report["photos"])
    assert (tmp_path / "work" / "job.json").is_file()
    report = json.loads(run(*arguments, "--shortlist", 2).stdout)
    assert (report["ranking"], report["shortlist"]) == ("rerank", 2)


def test_settings_reach_the_benchmark_only_where_given(tiny):
    _, asked = tiny
    arguments = ("evaluate", "checkpoint", "--benchmark", "tiny-3", "--format", "json")
    run(*arguments)
    assert asked["benchmark"][1] == {"split": None, "seed": None}
    options = ("--setting", "gzs", "--seen-share", "0.1", "--train-benchmark", "sketchy-25")
    report = json.loads(run(*arguments, *options).stdout)
    given = {"setting": "gzs", "seen_share": 0.1, "train_benchmark": "sketchy-25"}
    assert asked["benchmark"][1] == {"split": None, "seed": None} | given
    assert report["train_benchmark"] == "sketchy-25"


def test_arguments_reach_model_benchmark_and_metric(tiny):
    _, asked = tiny
    arguments = (
        "--data-dir",
        "d",
        "--base-model",
        "clip",
        "--device",
        "cpu",
        "--split",
        "s.yaml",
        "--seed",
        3,
    )
    options = ("--option", "unseen_fraction=0.25", "--convention", "interpolated", "--format", "json")
    result = run("evaluate", "checkpoint", "--benchmark", "tiny-3", *arguments, *options)
    assert result.exit_code == 0, result.output
    assert asked["model"] == ("checkpoint", "clip", "cpu")
    (name, data_dir), options = asked["benchmark"]
    assert (name, str(data_dir)) == ("tiny-3", "d")
    assert options == {"split": "s.yaml", "seed": 3, "unseen_fraction": 0.25}
    report = json.loads(result.stdout)
    assert report["convention"] == "interpolated"
    assert report["model"] == "checkpoint on clip"


def test_seen_class_is_one_message_and_allow_seen_downgrades_the_claim(tiny):
    tiny[0].config.class_names = ["bee", "car"]
    arguments = ("evaluate", "checkpoint", "--benchmark", "tiny-3", "--format", "json")
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "Error: 1 of the 3 test classes were seen in training: bee." in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = run(*arguments, "--allow-seen")
    assert json.loads(allowed.stdout)["claim"].startswith("not zero-shot: 1 of 3")


def test_interruption_is_exit_code_130(tiny, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sketch_prompt.data.benchmarks.load_benchmark", interrupt)
    result = run("evaluate", "checkpoint", "--benchmark", "tiny-3")
    assert result.exit_code == 130
    assert result.stderr.endswith("Interrupted.\n")


def test_traceback_can_be_asked_for(tiny):
    tiny[0].config.class_names = ["bee"]
    result = run("--traceback", "evaluate", "checkpoint", "--benchmark", "tiny-3")
    assert type(result.exception).__name__ == "SeenClassError"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clip-at", "--benchmark", "mini"), "clip-at is a method, not a checkpoint"),
        (("frozen-clip", "--benchmark", "mini"), "frozen-clip needs --base-model"),
        (("no/such/folder/x", "--benchmark", "mini"), "no checkpoint 'no/such/folder/x'"),
        (("x", "--benchmark", "mini", "--option", "seed"), "--option 'seed' is not NAME=VALUE"),
    ],
)
def test_wrong_arguments_are_one_message(arguments, message):
    result = run("evaluate", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_frozen_clip_is_evaluated_on_a_folder_of_sketches_and_photos(tmp_path):
    clip = write_clip(tmp_path / "clip")
    write_benchmark(tmp_path / "data")
    (tmp_path / "split.yaml").write_text("seen: [car, cup]\nunseen: [bee, door, t shirt]\n")
    (tmp_path / "data" / "photo" / "door" / "1.png").write_bytes(b"no image")
    data = (
        "--benchmark",
        "sketch-folder",
        "--data-dir",
        tmp_path / "data",
        "--split",
        tmp_path / "split.yaml",
    )
    arguments = (
        "evaluate",
        "frozen-clip",
        "--base-model",
        clip,
        *data,
        "--device",
        "cpu",
        "--format",
        "json",
    )
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["method"], report["queries"], report["photos"]) == ("frozen-clip", 9, 17)
    assert [entry["path"] for entry in report["unreadable"]] == [str(tmp_path / "data/photo/door/1.png")]
    assert report["zero_shot"]
    generalised = json.loads(run(*arguments, "--setting", "gzs", "--seen-share", "0.5").stdout)
    assert (generalised["setting"], generalised["photos"]) == ("gzs", 23)
    assert "gallery holds 6 photos of 2 seen classes" in generalised["claim"]
    refused = run(*arguments[:-2], "--device", "cuda:77")
    assert refused.exit_code == 1
    assert "Device 'cuda:77' cannot be used" in refused.stderr


def test_help_and_version_import_no_torch():
    code = (
        "import sys; sys.argv = ['sketch-prompt', '--version']\n"
        "from sketch_prompt.cli import app\n"
        "try: app()\n"
        "finally: print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sketch-prompt ")
    assert done.stdout.endswith("[]\n")


def test_the_command_collects_garbage_rarely_while_it_imports_and_not_when_it_ends():
    code = (
        "import atexit, gc, sys; sys.argv = ['sketch-prompt', '--version']\n"
        "usual = gc.get_threshold()[0]\n"
        "atexit.register(lambda: print(gc.get_threshold()[0] > 10 * usual, gc.get_freeze_count() > 1000))\n"
        "from sketch_prompt.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True True\n")


def test_convert_writes_a_checkpoint_that_loads(tmp_path):
    import torch

    from fakes import parity
    from sketch_prompt import SketchPromptModel

    weights = parity.load_case("clip_at_category")["weights"]
    torch.save({"state_dict": {k: torch.as_tensor(v) for k, v in weights.items()}}, tmp_path / "last.ckpt")
    result = run("convert", "clip-at", tmp_path / "last.ckpt", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout == "" and str(tmp_path / "out") in result.stderr
    assert SketchPromptModel.from_pretrained(tmp_path / "out").method == "clip-at"
    missing = run("convert", "clip-at", tmp_path / "none.ckpt", "-o", tmp_path / "out")
    assert missing.exit_code == 1 and "none.ckpt" in missing.stderr


def test_train_names_what_is_wrong_with_a_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "model: {method: clip-at, base_model: x, n_promts: 3}\ndata: {benchmark: mini}\n"
    )
    result = run("train", tmp_path / "recipe.yaml")
    assert result.exit_code == 1 and "n_prompts" in result.stderr and result.stdout == ""


@pytest.fixture(scope="module")
def teapot(tmp_path_factory):
    folder, mini = tmp_path_factory.mktemp("teapot"), MiniSketch(96)
    mini.sketch("teapot", 0).save(folder / "sketch.png")
    mini.photo("teapot", 0).save(folder / "photo.jpg")
    return folder / "sketch.png", folder / "photo.jpg"


@pytest.mark.parametrize("kind", ["matches", "heatmap", "synthesis", "all"])
def test_explain_writes_each_kind_of_figure_and_nothing_to_stdout(teapot, kind, tmp_path):
    result = run("explain", *teapot, "-m", "mini-frozen-clip", "-o", tmp_path / "figure.png", "--kind", kind)
    assert result.exit_code == 0, result.output
    assert result.stdout == "" and "figure.png" in result.stderr
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000


def test_explain_prints_json_alone_on_stdout(teapot, tmp_path):
    result = run("explain", *teapot, "--json", "-o", tmp_path / "figure.svg")
    assert result.exit_code == 0, result.output
    explanation = json.loads(result.stdout)
    assert (explanation["method"], explanation["sketch_grid"]) == ("sketch-lens", [8, 8])
    assert {"sketch", "photo", "weight", "sketch_box", "photo_box"} == set(explanation["matches"][0])
    assert (tmp_path / "figure.svg").is_file()


def test_explain_says_what_is_wrong(teapot, tmp_path):
    sketch, photo = teapot
    Image.new("RGB", (50, 50), "white").save(tmp_path / "blank.png")
    figure = tmp_path / "figure.png"
    for arguments, message in (
        ((sketch, photo), "give -o FIGURE.png, --json or both"),
        ((sketch, tmp_path / "none.jpg", "-o", figure), "the photo cannot be used"),
        ((tmp_path / "blank.png", photo, "-o", figure), "the sketch is blank"),
        ((sketch, photo, "-o", tmp_path / "figure.xyz"), "xyz"),
        ((sketch, photo, "-o", figure, "-m", "mini-clip-att"), "mini-clip-att"),
        ((sketch, photo, "-o", figure, "-m", "clip-at"), "clip-at is a method, not a checkpoint"),
        (
            (sketch, photo, "-o", figure, "--category", "cup"),
            "sketch-lens does not use categories",
        ),
    ):
        result = run("explain", *arguments)
        assert result.exit_code == 1 and result.stdout == "", result.output
        assert message in result.stderr and "Traceback" not in result.stderr
    assert not figure.exists()
    assert run("explain", sketch, photo, "-o", figure, "--kind", "lines").exit_code == 2


def test_demo_serves_the_gallery_and_models_it_is_given(monkeypatch, tmp_path):
    page = pytest.importorskip("sketch_prompt.space.page", reason="needs gradio: pip install -e '.[space]'")
    asked = []

    class Catalogue:
        def __init__(self, *arguments, photos_dir):
            asked.append((*arguments, photos_dir))

        def prepare(self):
            asked.append("prepared")

    class Page:
        def block_thread(self):
            asked.append("blocked")

    def launch_page(catalogue, host, port, *, open_browser):
        asked.append((host, port, open_browser))
        return "http://here", Page()

    monkeypatch.setattr("sketch_prompt.space.catalogue.Catalogue", Catalogue)
    monkeypatch.setattr(page, "launch_page", launch_page)
    options = ("--host", "0.0.0.0", "--port", 1, "--gallery", tmp_path, "--model", "a", "--model", "b")
    result = run("demo", *options, "--photos", "moved", "--no-browser")
    assert result.exit_code == 0, result.output
    assert asked == [(["a", "b"], tmp_path, Path("moved")), "prepared", ("0.0.0.0", 1, False), "blocked"]
    assert (result.stdout, result.stderr) == ("", "Draw on http://here (Ctrl-C ends it)\n")


def test_demo_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "sketch_prompt.space.page", raising=False)
    missing = run("demo")
    assert missing.exit_code == 1 and "pip install 'sketch-prompt[space]'" in missing.stderr
    monkeypatch.undo()
    pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[space]'")
    no_gallery = run("demo", "--gallery", tmp_path / "none", "--no-browser")
    assert no_gallery.exit_code == 1 and "none" in no_gallery.stderr and "Traceback" not in no_gallery.stderr
    no_model = run("demo", "--model", "no/such/folder/x", "--no-browser")
    assert no_model.exit_code == 1 and "no checkpoint 'no/such/folder/x'" in no_model.stderr
