"""Real photos and drawings, from the folder beside the repository: index, search, change, search again."""

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from sketch_prompt import Gallery, SketchPromptModel
from sketch_prompt.cli import app
from sketch_prompt.data.strokes import read_drawings


def build_model(shared, base):
    if base == "mini-clip-at":
        return SketchPromptModel.from_pretrained(base)
    clip = shared("real-clip")
    model = SketchPromptModel.from_base_model("frozen-clip", str(clip))
    from sketch_prompt import SketchPromptProcessor

    model.processor = SketchPromptProcessor.from_base_model(
        clip, sketch_line_width=1.0, photo_resize="squash"
    )
    return model


@pytest.mark.parametrize("base", ["mini-clip-at", "real-clip"])
def test_a_folder_that_changes_is_followed_without_needless_embedding(shared, tmp_path, base):
    caltech, drawings = shared("data/caltech40"), shared("data/quickdraw25")
    pairs = json.loads((caltech / "pairs.json").read_text())["pairs"]
    names = sorted(set(pairs.values()))[:8]
    photos = tmp_path / "photos"
    for name in names:
        shutil.copytree(caltech / name, photos / name)
    for path in photos.rglob("*"):
        path.chmod(0o755)
    model = build_model(shared, base)
    gallery = Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    assert len(gallery) == gallery.changes.embedded == 30 * len(names)

    drawn = next(drawing for drawing, photo in pairs.items() if photo == names[0])
    strokes = next(read_drawings(str(drawings / f"{drawn}.ndjson"))).strokes

    def check():
        hits = gallery.search(strokes, top_k=10)
        pixels = model.processor(photos=[hit.path for hit in hits])["photo_pixel_values"]
        with torch.no_grad():
            features = model.get_photo_features(pixels)
        scores = features @ torch.from_numpy(gallery.embed_query(strokes))
        assert scores.tolist() == pytest.approx([hit.score for hit in hits], abs=1e-4)
        assert sorted(gallery.photos.paths) == sorted(
            str(path.relative_to(photos)) for path in photos.rglob("*.jpg")
        )
        return hits

    before = check()
    other = next(name for name in sorted(set(pairs.values())) if name not in names)
    (photos / other).mkdir()
    for path in sorted((caltech / other).iterdir())[:10]:
        shutil.copy(path, photos / other)
    for hit in before[:5]:
        (photos / hit.path).unlink()
    (photos / before[5].path).rename(photos / "renamed.jpg")
    gallery = Gallery.build(model, photos, tmp_path / "gallery", progress=False)
    changes = gallery.changes
    assert (changes.added, changes.removed, changes.renamed, changes.embedded) == (10, 5, 1, 10)
    after = check()
    assert not {hit.path for hit in after} & {hit.path for hit in before[:6]}
    assert str(photos / "renamed.jpg") in {hit.path for hit in after}


def test_the_whole_folder_is_indexed_and_searched_from_the_command_line(shared, tmp_path):
    caltech, drawings = shared("data/caltech40"), shared("data/quickdraw25")
    folder = tmp_path / "gallery"

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    done = run("index", caltech, "-o", folder, "--model", "mini-frozen-clip", "--device", "cpu", "--json")
    summary = json.loads(done.stdout)
    assert (summary["photos"], summary["embedded"]) == (1200, 1200)
    assert [skip["path"].rsplit("/", 1)[1] for skip in summary["skipped"]] == ["pairs.json"]
    assert json.loads(run("index", caltech, "-o", folder, "--json").stdout)["embedded"] == 0
    found = run("search", folder, drawings / "ant.ndjson", "--top-k", "5", "--json")
    results = json.loads(found.stdout)["results"]
    assert len(results) == 5 and all(hit["path"].startswith(str(caltech)) for hit in results)
