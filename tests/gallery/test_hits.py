"""Copies as one hit, and hits for spreadsheets, browsers, folders and notebooks."""

import csv
import html.parser
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from fakes.photos import make_model, picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.gallery.hits import Hit, Hits, group_copies, small_picture_of


def photo(seed):
    """A picture of 400 x 300 with some detail."""
    return picture(seed, (400, 300))


def near_copies(original):
    """What becomes of a photo on its way through folders, messages and editors."""
    small = original.resize((200, 150))
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=40)
    return {
        "small.png": small,
        "compressed.png": Image.open(buffer),
        "brighter.png": ImageEnhance.Brightness(original).enhance(1.1),
        "trimmed.png": original.crop((4, 3, 396, 297)),
    }


@pytest.fixture
def gallery(tmp_path):
    """Six photos; of the third one four near copies and an exact one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        photo(seed).save(folder / f"{seed}.png")
    for name, copy in near_copies(photo(2)).items():
        copy.save(folder / f"2 {name}")
    shutil.copy(folder / "2.png", folder / "2 again.png")
    return Gallery.build("mini-frozen-clip", folder, tmp_path / "gallery", progress=False, device="cpu")


def test_copies_and_near_copies_are_one_hit_that_names_the_others(gallery):
    hits = gallery.search(photo(2), top_k=6, group_copies=True)
    assert len(hits) == 6 and [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    (found,) = [hit for hit in hits if "/2" in hit.path]
    names = {path.rsplit("/", 1)[1] for path in (found.path, *found.copies)}
    assert names == {
        "2.png",
        "2 again.png",
        "2 small.png",
        "2 compressed.png",
        "2 brighter.png",
        "2 trimmed.png",
    }
    assert all(hit.copies == () for hit in hits if hit is not found)


def test_all_files_are_shown_where_copies_are_not_grouped(gallery):
    hits = gallery.search(photo(2), top_k=20)
    assert len(hits) == 11 and all(hit.copies == () for hit in hits)


def test_as_many_photos_are_found_as_asked_for_whatever_the_number_of_copies(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        photo(0).save(folder / f"same {number}.png")
    for seed in range(1, 5):
        photo(seed).save(folder / f"{seed}.png")
    gallery = Gallery.build("mini-frozen-clip", folder, progress=False, device="cpu")
    assert len(gallery.search(photo(0), top_k=3, group_copies=True)) == 3
    assert len(gallery.search(photo(0), top_k=50, group_copies=True)) == 5


def test_pictures_with_equal_features_and_other_pixels_stay_apart():
    pictures = [small_picture_of(photo(seed)) for seed in range(3)]
    hits = [Hit(rank, 0.5, f"{rank}.jpg", None, rank) for rank in (1, 2, 3)]
    features = np.ones((3, 4), np.float32) / 2
    grouped = group_copies(hits, features, ["a", "b", "c"], lambda hit: pictures[hit.id - 1])
    assert grouped == hits


def test_photos_that_cannot_be_opened_stay_apart_but_equal_files_do_not():
    hits = [Hit(rank, 0.5, f"{rank}.jpg", None, rank) for rank in (1, 2, 3)]
    features = np.ones((3, 4), np.float32) / 2
    grouped = group_copies(hits, features, ["a", "b", "a"], lambda hit: None)
    assert [(hit.path, hit.copies) for hit in grouped] == [("1.jpg", ("3.jpg",)), ("2.jpg", ())]


def test_a_slice_of_hits_knows_what_was_searched_for(gallery):
    hits = gallery.search(photo(2), top_k=6, text=None)
    assert isinstance(hits[:2], Hits) and len(hits[:2]) == 2 and hits[:2].query == hits.query
    assert isinstance(hits[0], Hit) and len(repr(hits)) < 300


HOSTILE = "<img src=x onerror=alert(1)> & \u202egpj.png"


class Tags(html.parser.HTMLParser):
    """The tags of a page, and its links."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.sources = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]
        self.sources += [value for name, value in attributes if name == "src"]
        assert not any(name.startswith("on") for name, _ in attributes)


@pytest.fixture
def hostile(tmp_path):
    """A photo whose name is HTML, in a folder whose name is a formula."""
    folder = tmp_path / "photos" / "=1+1"
    folder.mkdir(parents=True)
    photo(0).save(folder / HOSTILE)
    photo(1).save(tmp_path / "photos" / "plain.png")
    return Gallery.build("mini-frozen-clip", tmp_path / "photos", progress=False, device="cpu")


def test_the_page_stands_alone_opens_the_files_and_shows_names_as_text(hostile, tmp_path):
    hits = hostile.search(photo(0), text="<script>", top_k=2)
    page = hits.write_html(tmp_path / "found.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert "script" not in tags.tags and tags.tags.count("img") == 3  # the drawing and two photos
    assert all(source.startswith("data:image/jpeg;base64,") for source in tags.sources)
    assert len(tags.links) == 2 and all(link.startswith("file:///") for link in tags.links)
    assert "\u202e" not in page and "&lt;img src=x" in page and "default-src 'none'" in page
    from urllib.parse import unquote, urlparse

    assert sorted(unquote(urlparse(link).path) for link in tags.links) == sorted(hit.path for hit in hits)


def test_the_table_is_read_back_and_holds_no_formula(hostile, tmp_path):
    hits = hostile.search(photo(0), top_k=2)
    with open(hits.write_csv(tmp_path / "found.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [hit.path for hit in hits]
    assert sorted(row["category"] for row in rows) == ["", "'=1+1"]


def test_photos_are_copied_in_their_order_and_nothing_is_overwritten(gallery, tmp_path):
    hits = gallery.search(photo(2), top_k=3)
    copied = hits.copy_to(tmp_path / "found")
    assert [path.name for path in copied] == [f"{hit.rank:02}-{hit.path.rsplit('/', 1)[1]}" for hit in hits]
    for path, hit in zip(copied, hits):
        with open(hit.path, "rb") as original:
            assert path.read_bytes() == original.read()
    with pytest.raises(FileExistsError, match="is there already"):
        hits.copy_to(tmp_path / "found")


def test_pictures_in_memory_are_copied_as_png(tmp_path):
    gallery = Gallery(make_model())
    gallery.add([photo(0), photo(1)], ["first", "second.jpg"], progress=False)
    for path in gallery.search(photo(0), top_k=2).copy_to(tmp_path / "found"):
        with Image.open(path) as copied:
            assert copied.size == (400, 300)


def test_notebooks_show_hits_and_galleries_with_names_as_text(hostile):
    for shown in (hostile.search(photo(0), top_k=2), hostile):
        tags = Tags(shown._repr_html_())
        assert tags.tags.count("img") >= 2 and "script" not in tags.tags


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_copies_writes_and_opens(gallery, tmp_path, monkeypatch):
    photo(2).save(tmp_path / "drawing.png")
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    outputs = ("--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html", "--copy-to", tmp_path / "found")
    result = run("search", tmp_path / "gallery", tmp_path / "drawing.png", *outputs, "--open")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "found").iterdir())) == 6 and (tmp_path / "a.csv").is_file()
    assert opened == [(tmp_path / "a.html").as_uri()]
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert [line[3] for line in lines if len(line) == 4] == ["5 more of it"]


def test_open_alone_writes_a_page_and_without_a_browser_says_where(gallery, tmp_path, monkeypatch):
    photo(2).save(tmp_path / "drawing.png")
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    result = run("search", tmp_path / "gallery", tmp_path / "drawing.png", "--open")
    assert result.exit_code == 0 and "no browser was found; open " in result.stderr


def test_json_names_the_copies_and_all_copies_can_be_asked_for(gallery, tmp_path):
    photo(2).save(tmp_path / "drawing.png")
    arguments = ("search", tmp_path / "gallery", tmp_path / "drawing.png", "--top-k", 20, "--json")
    results = json.loads(run(*arguments).stdout)["results"]
    assert sorted(len(result.get("copies", ())) for result in results) == [0, 0, 0, 0, 0, 5]
    assert len(json.loads(run(*arguments, "--all-copies").stdout)["results"]) == 11


def test_drawings_are_prepared_as_the_gallery_was_told_and_explanations_work(tmp_path):
    photos = write_photos(tmp_path / "photos", {"cat": 2})
    options = ("-m", "frozen-clip", "--base-model", "mini-clip", "--crop", "--line-width", "1.5")
    result = run("index", photos, "-o", tmp_path / "gallery", "--device", "cpu", *options)
    assert result.exit_code == 0, result.output
    gallery = Gallery.load(tmp_path / "gallery")
    settings = gallery.processor.image_processor.settings
    assert settings["sketch_crop_margin"] is True and settings["sketch_line_width"] == 1.5
    plain = Gallery.load(tmp_path / "gallery", sketches=None)
    assert (gallery.features == plain.features).all()
    drawing = Image.new("RGB", (64, 64), "white")
    drawing.paste("black", (10, 10, 14, 50))
    found = gallery.explain(drawing, gallery.search(drawing)[0])
    assert found.method == "frozen-clip" and len(found.matches)
    assert len(repr(found)) < 200 and found._repr_html_().startswith('<img src="data:image/png;base64,')
    again = run("index", photos, "-o", tmp_path / "gallery", "--device", "cpu")
    assert again.exit_code == 0
    assert Gallery.load(tmp_path / "gallery").processor.image_processor.sketch_line_width == 1.5


def test_what_is_not_about_drawings_cannot_be_set_for_them(tmp_path):
    with pytest.raises(ValueError, match="photo_resize is not a setting for drawings"):
        Gallery("mini-frozen-clip", sketches={"photo_resize": "pad"}, device="cpu")
