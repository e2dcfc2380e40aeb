import io
import json
import shutil

import pytest
from rich.console import Console

from sketch_prompt.data.check import check_data
from sketch_prompt.data.splits import published_split


def shown(report):
    console = Console(file=io.StringIO(), width=200)
    console.print(report.to_table())
    return console.file.getvalue()


@pytest.fixture
def sketchy(tmp_path, write_images):
    """Every class of Sketchy with two photos and one sketch, each file of its own content."""
    names = [name.replace(" ", "_") for name in published_split("sketchy-21").class_names]
    base = tmp_path / "256x256"
    write_images(base / "photo/tx_000000000000", {n: ["a.jpg", "b.jpg"] for n in names})
    write_images(base / "sketch/tx_000000000000", {n: ["a-1.png"] for n in names})
    for number, path in enumerate(sorted(base.rglob("*.*g"))):
        with open(path, "ab") as file:
            file.write(number.to_bytes(4, "big"))
    return base


def test_every_protocol_of_the_data_is_recognised_with_its_counts_beside_the_published_ones(sketchy):
    report = check_data(sketchy, progress=False)
    assert [check.benchmark for check in report.benchmarks] == ["sketchy-21", "sketchy-25", "sketchy-fg"]
    first = report.benchmarks[0]
    assert first.found == {"train_sketch": 104, "train_photo": 208, "test_sketch": 21, "test_photo": 42}
    assert first.published["test_photo"] == 12553 and not first.is_complete and first.is_usable
    assert {(count.photos, count.sketches) for count in first.classes} == {(2, 1)}
    assert sum(count.seen for count in first.classes) == 104
    assert report.images_read == 375 and report.unreadable == () and report.duplicates == ()
    assert report.is_usable
    text = shown(report)
    assert "12,553" in text and "hot air balloon" in text and "sketchy.eye.gatech.edu" in text
    assert text.count("│ windmill") == 1


def test_what_is_missing_unreadable_and_duplicated_is_named(sketchy, tmp_path):
    shutil.rmtree(sketchy / "photo/tx_000000000000/bat")
    shutil.rmtree(sketchy / "sketch/tx_000000000000/cow")
    (sketchy / "photo/tx_000000000000/cat/a.jpg").write_bytes(b"broken")
    (sketchy / "photo/tx_000000000000/dog/a.jpg").write_bytes(b"")
    shutil.copy(sketchy / "photo/tx_000000000000/ant/a.jpg", sketchy / "photo/tx_000000000000/bee/copy.jpg")
    (sketchy / "photo/tx_000000000000/unicorn").mkdir()
    report = check_data(tmp_path, "sketchy-25", progress=False)
    (check,) = report.benchmarks
    assert check.incomplete == {"classes without a photo": ["bat"], "classes without a sketch": ["cow"]}
    assert check.ignored == ("unicorn",)
    assert len(check.skipped) == 1 and "dog/a.jpg: the file is empty" in check.skipped[0]
    assert len(report.unreadable) == 1 and "cat/a.jpg: not an image" in report.unreadable[0]
    assert [[path.split("/")[-2:] for path in group] for group in report.duplicates] == [
        [["ant", "a.jpg"], ["bee", "copy.jpg"]]
    ]
    assert not report.is_usable
    text = shown(report)
    for part in (
        "without a photo: bat",
        "without a sketch: cow",
        "the file is empty",
        "unicorn",
        "1 of them unread",
    ):
        assert part in text


def test_images_need_not_be_read(sketchy):
    (sketchy / "photo/tx_000000000000/cat/a.jpg").write_bytes(b"broken")
    report = check_data(sketchy, "sketchy-21", read_images=False, progress=False)
    assert report.images_read == 0 and report.unreadable == () and report.is_usable
    assert "images read" not in shown(report)


def test_shared_folder_names_are_told_apart_by_their_classes(tmp_path, write_images):
    names = published_split("quickdraw-30").class_names
    write_images(tmp_path / "images", {name: ["a.jpg"] for name in names})
    (tmp_path / "ndjson").mkdir()
    for name in names:
        (tmp_path / "ndjson" / f"{name}.ndjson").write_text('{"drawing": [[[0, 1], [0, 1]]]}\n' * 3)
    report = check_data(tmp_path, progress=False)
    assert [check.benchmark for check in report.benchmarks] == ["quickdraw-30"]
    assert report.benchmarks[0].found["test_sketch"] == 90


def test_own_data_is_recognised_where_nothing_published_is(sketch_folder):
    report = check_data(sketch_folder, progress=False)
    assert [check.benchmark for check in report.benchmarks] == ["sketch-folder"]
    assert sum(report.benchmarks[0].found.values()) == 5 * 7
    assert report.benchmarks[0].is_usable


def test_a_folder_with_nothing_in_it_shows_what_could_be_there_and_from_where(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        report = check_data(folder, progress=False)
        assert report.benchmarks == () and not report.is_usable
        text = shown(report)
        assert "nothing recognised" in text and "QuickDraw_sketches_final.zip" in text
        assert text.count("sketchy.eye.gatech.edu") == 1
    assert "tu-berlin" not in check_data(tmp_path, "shoe-v2", progress=False).help_text


def test_data_that_cannot_be_used_says_why(tmp_path, sketch_folder):
    (sketch_folder / "split.yaml").write_text("sen: [cat]")
    report = check_data(sketch_folder, progress=False)
    assert not report.is_usable
    assert "unknown key 'sen'" in shown(report)
    (tmp_path / "a.zip").write_bytes(b"broken")
    assert "damaged or incomplete" in shown(check_data(tmp_path / "a.zip", "sketchy-21", progress=False))


def test_an_unknown_benchmark_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'sketchy-21'"):
        check_data(tmp_path, "sketchy21")


def test_the_report_is_json_for_other_programs(sketch_folder):
    content = json.loads(check_data(sketch_folder, progress=False).to_json())
    assert content["is_usable"] is True
    assert content["benchmarks"][0]["classes"][0] == {"name": "cat", "seen": True, "photos": 3, "sketches": 4}


def test_brackets_in_names_are_printed_as_they_are(tmp_path, write_images):
    write_images(tmp_path / "[red]own", {"photo/cat": ["a.png"], "sketch/cat": ["a.png"]})
    assert "[red]own: sketch-folder" in shown(check_data(tmp_path / "[red]own", progress=False))


def test_real_data_is_sound(shared):
    report = check_data(shared("data") / "sketchy-sub", "sketchy-21", progress=False)
    assert report.images_read == 6250 and report.unreadable == () and report.is_usable
