"""`sketch-prompt index` and `search`, and `scripts/embed.py`."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fakes.photos import picture, write_photos
from fakes.processes import run_together
from sketch_prompt import Gallery
from sketch_prompt.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "mini-frozen-clip"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def index(photos, gallery, *arguments):
    return run("index", photos, "-o", gallery, "--device", "cpu", *arguments)


@pytest.fixture
def gallery(photos, tmp_path):
    result = index(photos, tmp_path / "gallery", "--model", MODEL)
    assert result.exit_code == 0, result.output
    return tmp_path / "gallery"


def test_index_reports_on_stderr_and_prints_nothing(photos, tmp_path):
    (photos / "notes.txt").write_text("none")
    result = index(photos, tmp_path / "gallery", "--model", MODEL)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "9 photos: 9 added; 9 embedded" in result.stderr
    assert f"Skipped 1:\n  {photos / 'notes.txt'}: not an image" in result.stderr
    assert "kind exact" in result.stderr


def test_index_again_remembers_the_model_and_embeds_only_what_is_new(gallery, photos):
    write_photos(photos, {"horse": 1}, first=300)
    result = index(photos, gallery, "--json")
    summary = json.loads(result.stdout)
    assert (summary["photos"], summary["added"], summary["unchanged"], summary["embedded"]) == (10, 1, 9, 1)
    assert summary["index"]["kind"] == "exact" and summary["skipped"] == []
    other = index(photos, gallery, "--model", "mini-clip-at")
    assert other.exit_code == 1 and other.stdout == ""
    assert "was made with another model" in other.stderr and MODEL in other.stderr


def test_search_prints_tab_separated_lines_and_nothing_else(gallery, photos, tmp_path):
    picture(3).save(tmp_path / "drawing.png")
    result = run("search", gallery, tmp_path / "drawing.png", "--top-k", 4)
    assert result.exit_code == 0, result.output
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "2", "3", "4"]
    assert [float(line[1]) for line in lines] == sorted((float(line[1]) for line in lines), reverse=True)
    assert all(Path(line[2]).is_file() for line in lines)


def test_search_as_json_with_filters_and_a_figure(gallery, photos, tmp_path):
    drawing, figure = tmp_path / "drawing.ndjson", tmp_path / "found" / "out.png"
    drawing.write_text(json.dumps({"drawing": [[[0, 10], [0, 10]]]}) + "\n")
    arguments = (
        "--json",
        "--figure",
        figure,
        "--category",
        "dog",
        "--category",
        "cat",
        "--path",
        "*/1.jpg",
    )
    result = run("search", gallery, drawing, *arguments)
    found = json.loads(result.stdout)
    assert sorted(hit["path"] for hit in found["results"]) == [
        str(photos / name / "1.jpg") for name in ("cat", "dog")
    ]
    assert set(found["results"][0]) == {"rank", "score", "path", "category", "id"}
    assert (found["query"]["sketch"], found["photos"]) == (str(drawing), 9)
    with Image.open(figure) as image:
        assert image.format == "PNG"


def test_search_by_text_needs_no_sketch(gallery):
    result = run("search", gallery, "--text", "a photo of a cat", "--top-k", 2, "--json")
    assert len(json.loads(result.stdout)["results"]) == 2


def test_a_gallery_by_category_says_what_the_model_does_not_know_and_wants_a_category(tmp_path):
    photos = write_photos(tmp_path / "photos", {"cat": 2, "zebra": 2})
    result = index(photos, tmp_path / "gallery", "--model", "mini-dp-clip", "--by-category")
    assert "Embedded without a category, because the model does not know it: zebra\n" in result.stderr
    picture(3).save(tmp_path / "drawing.png")
    result = run("search", tmp_path / "gallery", tmp_path / "drawing.png")
    assert result.exit_code == 1 and "name the category to search (--category" in " ".join(
        result.stderr.split()
    )
    result = run("search", tmp_path / "gallery", tmp_path / "drawing.png", "--category", "Cat")
    assert [Path(line.split("\t")[2]).parent.name for line in result.stdout.splitlines()] == ["cat", "cat"]


def test_photos_that_moved_are_found_with_an_option(gallery, photos, tmp_path):
    photos.rename(tmp_path / "moved")
    result = run("search", gallery, "--text", "a cat", "--top-k", 1, "--photos", tmp_path / "moved")
    assert Path(result.stdout.rstrip("\n").split("\t")[2]).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "{gallery}"), 2, "give a SKETCH, --text, or both"),
        (("search", "{gallery}", "nothing.png"), 1, "nothing.png: no such file"),
        (("search", "nowhere", "x.png"), 1, "nowhere (no gallery.json)"),
        (("search", "{gallery}", "--text", "x", "--top-k", "0"), 2, "--top-k"),
        (("search", "{gallery}", "--text", "x", "--weight", "2"), 2, "--weight"),
        (("search", "{gallery}", "--text", "x", "--model", "mini-clip-at"), 1, "made with another model"),
        (("search", "{gallery}", "--text", "x", "--figure", "out.xyz"), 1, "xyz"),
        (
            ("search", "{gallery}", "--text", "x", "--category", "dgo"),
            1,
            "category 'dgo'; did you mean",
        ),
        (("index", "nowhere", "-o", "{gallery}"), 1, "not a folder of photos"),
        (("index", "{gallery}"), 2, "--output"),
        (("index", "{gallery}", "-o", "x", "--index", "hsnw"), 2, "--index"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(gallery, arguments, code, message):
    result = run(*(argument.format(gallery=gallery) for argument in arguments))
    assert result.exit_code == code
    assert result.stdout == ""
    assert message in " ".join(result.stderr.split()) and "Traceback" not in result.stderr


def test_a_name_with_a_line_break_stays_on_one_line(photos, tmp_path):
    picture(7).save(photos / "two\nlines\tand a tab.jpg")
    index(photos, tmp_path / "gallery", "--model", MODEL)
    lines = run("search", tmp_path / "gallery", "--text", "x", "--top-k", 99).stdout.splitlines()
    assert len(lines) == 10 and any("two\\nlines\\tand a tab.jpg" in line for line in lines)


def test_two_processes_complete_what_one_had_begun(tmp_path):
    photos, output = write_photos(tmp_path / "photos", {"a": 20, "b": 20}), tmp_path / "gallery"
    (photos / "broken.jpg").write_bytes(b"broken")
    begun = Gallery(MODEL, device="cpu")
    begun.add([photos / "a" / f"{number}.jpg" for number in range(12)], progress=False)
    begun.save(output)
    (output / "gallery.json").unlink()

    options = ("--model", MODEL, "--batch-size", 4, "--flush-seconds", 0)
    done = run_together(2, REPOSITORY / "scripts" / "embed.py", photos, "-o", output, *options)
    assert [process.returncode for process in done] == [0, 0], done
    assert [process.stdout for process in done] == ["", ""]
    first, second = (process.stderr for process in done)
    assert "40 photos: 40 added; 28 embedded" in first and "photos:" not in second
    assert first.count("broken.jpg") == 1
    alone = json.loads(index(photos, output, "--json").stdout)
    assert (alone["unchanged"], alone["embedded"], len(alone["skipped"])) == (40, 0, 1)
