"""small-clip, the bundled CLIP of real photos: what it knows, and that it saw no drawing of a tested class."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from sketch_prompt import SketchPromptModel, load_benchmark
from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.doodles import read_doodles
from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
from sketch_prompt.data.splits import published_split
from sketch_prompt.evaluation import embed
from sketch_prompt.metrics import FeatureScores
from sketch_prompt.metrics.ranking import rank
from sketch_prompt.models.auto import SketchPromptConfig
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.sources import bundled_names, find_checkpoint

UNSEEN = {
    "quickdraw-caltech": UNSEEN_CLASSES,
    **{protocol: published_split(protocol).unseen for protocol in ("sketchy-21", "sketchy-25")},
}


def manifests() -> Iterator[tuple[str, dict]]:
    for name in bundled_names():
        path = find_checkpoint(name) / "training_data.json"
        if path.is_file():
            yield name, json.loads(path.read_text())


@pytest.mark.parametrize("benchmark", UNSEEN)
def test_no_drawing_of_an_unseen_class_was_learned_from(benchmark):
    tested = {class_key(name) for name in UNSEEN[benchmark]}
    tested_ids = {doodle.key_id for doodle in read_doodles() if class_key(doodle.class_name) in tested}
    assert tested_ids
    seen = dict(manifests())
    assert "small-clip" in seen
    for name, manifest in seen.items():
        learned = {class_key(class_name) for class_name in manifest["drawings"]}
        assert not learned & tested, name
        assert not tested_ids & {key for keys in manifest["drawings"].values() for key in keys}, name


def test_no_adapter_of_the_benchmark_was_trained_on_an_unseen_class():
    tested = {class_key(name) for name in UNSEEN_CLASSES}
    for name in bundled_names():
        folder = find_checkpoint(name)
        if name.endswith("-quickdraw-caltech"):
            trained = SketchPromptConfig.from_pretrained(folder).class_names
            assert trained and not {class_key(class_name) for class_name in trained} & tested, name


def test_photos_of_the_benchmark_are_named_by_their_texts():
    folder = find_checkpoint("small-clip")
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [*SEEN_CLASSES, *UNSEEN_CLASSES]
    photos = load_benchmark("quickdraw-caltech", split={"seen": [], "unseen": names})["test_photo"]
    names = photos.features["label"].names
    photos = photos.select(range(0, len(photos), 5))
    pixels = SketchPromptImageProcessor.from_base_model("small-clip")(photos["image"][:])["pixel_values"]
    with torch.no_grad():
        texts = tokenizer([f"a photo of a {name}" for name in names], padding=True, return_tensors="pt")
        texts = torch.nn.functional.normalize(clip.get_text_features(**texts).pooler_output, dim=-1)
        found = (clip.get_image_features(pixels).pooler_output @ texts.mT).argmax(dim=1).numpy()
    assert (found == np.asarray(photos["label"][:])).mean() > 10 / len(names)


def test_sketch_search_finds_what_is_drawn_among_everything_and_no_photo_is_found_by_all():
    names = [*SEEN_CLASSES, *UNSEEN_CLASSES]
    data = load_benchmark("quickdraw-caltech", split={"seen": [], "unseen": names})
    model = SketchPromptModel.from_pretrained("sketch-search")
    every = {"sketch": data["test_sketch"], "photo": data["test_photo"]}
    found = {
        kind: embed(model, table.select(range(0, len(table), 4)), model.processor, kind, progress=False)
        for kind, table in every.items()
    }
    drawings, photos = found["sketch"], found["photo"]
    first = rank(FeatureScores(drawings.features, photos.features), 5).indices
    assert (photos.labels[first] == drawings.labels[:, None]).mean() > 0.35
    assert np.bincount(first.ravel()).max() < 0.15 * len(first)
