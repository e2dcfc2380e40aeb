"""Lists of pictures become features, and features similarities."""

import numpy as np
import pytest
import torch
from PIL import Image

from fakes.processes import CONTEXT
from sketch_prompt import SketchPromptModel


@pytest.fixture(scope="module")
def model():
    return SketchPromptModel.from_pretrained("mini-clip-at")


@pytest.fixture(scope="module")
def pictures():
    return [Image.new("RGB", (40 + n, 30), (40 * n, 200 - 30 * n, 90)) for n in range(5)]


def test_pictures_paths_and_single_ones_are_embedded_as_the_encoders_do(model, pictures, tmp_path):
    with torch.no_grad():
        expected = model.get_photo_features(model.processor(photos=pictures).photo_pixel_values)
    features = model.encode(pictures, batch_size=2)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-6)
    pictures[1].save(tmp_path / "1.png")
    np.testing.assert_allclose(model.encode(str(tmp_path / "1.png")), expected[1].numpy(), atol=1e-6)
    tensor = model.encode_document(pictures, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor) and tensor.shape == expected.shape
    sketches = model.encode_query(pictures)
    np.testing.assert_array_equal(sketches, model.encode(pictures, "sketch"))
    assert np.abs(sketches - features).max() > 1e-3
    assert not model.training


def test_similarity_is_the_cosine_of_every_pair(model, pictures):
    photos, drawing = model.encode(pictures), model.encode(pictures[0], "sketch")
    scores = model.similarity(drawing, photos)
    assert scores.shape == (1, 5)
    torch.testing.assert_close(scores[0], torch.from_numpy(photos @ drawing))
    torch.testing.assert_close(
        model.similarity(3 * torch.from_numpy(photos), photos), model.similarity(photos, photos)
    )


def test_what_cannot_be_embedded_is_named(model, pictures):
    with pytest.raises(ValueError, match=r"images\[1\] cannot be used"):
        model.encode([pictures[0], "no such file.png"])
    with pytest.raises(ValueError, match="empty list"):
        model.encode([])
    bare = SketchPromptModel.from_pretrained("mini-clip-at")
    bare.processor = None
    with pytest.raises(ValueError, match="has no processor"):
        bare.encode(pictures)


def test_several_processes_give_the_same_features_in_order(model, pictures, monkeypatch):
    monkeypatch.setattr(
        "multiprocessing.get_context", lambda *method: CONTEXT
    )  # started faster than with "spawn"
    np.testing.assert_allclose(
        model.encode(pictures, device=["cpu", "cpu"]), model.encode(pictures), atol=1e-6
    )
