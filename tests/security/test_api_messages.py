"""The Python API says what is wrong with what it is given, instead of what a library below says of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from sketch_prompt import Gallery, SketchPromptModel

METHODS = ["mini-clip-at", "mini-splip", "mini-dp-clip", "mini-zse-sbir", "mini-frozen-clip"]


@pytest.fixture(scope="module", params=METHODS)
def loaded(request):
    return SketchPromptModel.from_pretrained(request.param)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda size: torch.zeros(0, 3, size, size), "the batch of images is empty"),
        (lambda size: None, "not NoneType; prepare them with the processor"),
        (lambda size: [Image.new("RGB", (9, 9))], "not list; prepare them"),
        (lambda size: Image.new("RGB", (9, 9)), "not Image; prepare them"),
        (lambda size: np.zeros((1, 3, size, size), np.float32), "not ndarray; prepare them"),
        (lambda size: torch.zeros(1, 1, size, size), "do not fit this CLIP"),
        (lambda size: torch.zeros(3, size, size), "do not fit this CLIP"),
        (lambda size: torch.zeros(1, 3, size, size, dtype=torch.uint8), "are not normalised"),
    ],
)
def test_pixel_values_that_no_tower_takes(loaded, make, message):
    wrong = make(loaded.processor.image_processor.size)
    for embed in (loaded.get_sketch_features, loaded.get_photo_features):
        with pytest.raises((TypeError, ValueError), match=message):
            embed(wrong)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, "not NoneType; make them with the processor"),
        ("a", "not str; make them"),
        (torch.zeros(1, 5), "whole numbers, not torch.float32"),
        (torch.zeros(5, dtype=torch.long), r"the shape \(B, T\)"),
        (torch.zeros(0, 5, dtype=torch.long), "at least one text"),
        (torch.full((1, 5), 10**9), "token ids that this CLIP"),
        (torch.full((1, 5), -1), "token ids that this CLIP"),
    ],
)
def test_token_ids_that_no_tower_takes(loaded, ids, message):
    if loaded.clip is None:
        pytest.skip("this method has no text tower")
    with pytest.raises((TypeError, ValueError), match=message):
        loaded.get_text_features(ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": []}, "at least one"),
        ({"text": 5}, "text is a text or a list of texts"),
        ({"text": ["a", None]}, "text is a text or a list of texts"),
        ({"text": "half \ud83d"}, "half a character"),
        ({"text": "a", "max_length": -1}, "max_length is from 1"),
        ({"text": "a", "max_length": 10**30}, "max_length is from 1"),
        ({"photos": np.array([["a"]])}, "an array of <U1 is not an image"),
        ({"photos": np.empty((4, 4), object)}, "an array of object is not an image"),
        ({"photos": torch.empty(3, 4, 4, device="meta")}, "'meta' has no values"),
        ({"photos": []}, "photos is an empty list"),
    ],
)
def test_what_no_processor_takes(arguments, message):
    processor = SketchPromptModel.from_pretrained("mini-clip-at").processor
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_a_picture_in_bfloat16_is_a_picture():
    processor = SketchPromptModel.from_pretrained("mini-clip-at").processor
    picture = torch.rand(3, 20, 20)
    given = processor(photos=picture.bfloat16())["photo_pixel_values"]
    torch.testing.assert_close(given, processor(photos=picture)["photo_pixel_values"], atol=0.05, rtol=0)


def test_scores_are_a_matrix_and_top_k_is_positive():
    processor = SketchPromptModel.from_pretrained("mini-clip-at").processor
    for scores, top_k in ((torch.zeros(2, 3), -1), (torch.zeros(2, 3), 0), (torch.zeros(3), 1), (None, 1)):
        with pytest.raises(ValueError, match=r"top_k must be|scores are a tensor"):
            processor.post_process_retrieval(scores, top_k)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"text": 5}, "text must be a single text, not int"),
        ({"text": ["a"]}, "text must be a single text, not list"),
        ({"sketch": [[[10**400, 1], [2, 3]]]}, "finite numbers"),
        ({"sketch": Image.new("RGB", (9, 9)), "weight": 7}, "weight must be between 0"),
        ({"sketch": Image.new("RGB", (9, 9)), "weight": float("nan")}, "weight must be between 0"),
        ({"sketch": Image.new("RGB", (9, 9)), "filters": "cat"}, "filters must be a mapping"),
        (
            {"sketch": Image.new("RGB", (9, 9)), "filters": {"category": 5}},
            "the filter 'category' must be a text",
        ),
        ({"sketch": Image.new("RGB", (9, 9)), "filters": {"path": [1]}}, "the filter 'path' must be a text"),
        ({"sketch": Image.new("RGB", (9, 9)), "top_k": -1}, "top_k must be at least 1"),
        ({"sketch": 5}, "a sketch is a path"),
    ],
)
def test_what_no_gallery_searches_by(model, photos, query, message):
    gallery = Gallery.build(model, photos, progress=False)
    with pytest.raises((TypeError, ValueError), match=message):
        gallery.search(**query)
