import numpy as np
import pytest
import torch

from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.embedding import LoadedImage, encode_images, split_batches


class Numbers:
    """Image `n` is filled with `n % 4`, which is also its key; number 3 cannot be read."""

    def __getitem__(self, number):
        if number == 3:
            return LoadedImage(number, unreadable=UnreadableImage("3.jpg", "damaged"))
        return LoadedImage(number, number % 4, torch.full((3, 2, 2), float(number % 4)))


class Shares:
    process_index, num_processes = 1, 3


@pytest.fixture
def model():
    return torch.nn.Linear(1, 1).to(torch.float64)


def encode(model, batches, num_workers=0):
    def values(pixel_values, images):
        assert not model.training and torch.is_inference_mode_enabled()
        assert pixel_values.dtype is torch.float64 and len(pixel_values) == len(images)
        return pixel_values[:, 0, 0, 0].numpy()

    return list(encode_images(model, Numbers(), batches, values, num_workers))


def test_each_key_is_encoded_once_and_every_image_is_reported(model):
    batches = encode(model, [[0, 1, 4], [2, 5, 3], [0, 3], [6]])
    assert [[image.number for image in batch.images] for batch in batches] == [
        [0, 1, 4],
        [2, 5, 3],
        [0, 3],
        [6],
    ]
    assert [[image.number for image in batch.new] for batch in batches] == [[0, 1], [2], [], []]
    np.testing.assert_array_equal(np.concatenate([batch.encoded for batch in batches[:2]]), [0, 1, 2])
    assert batches[2].encoded is None and batches[3].encoded is None
    assert [str(image.unreadable) for image in batches[1].images if image.unreadable] == ["3.jpg: damaged"]


def test_worker_processes_change_nothing(model):
    batches = [[0, 1, 4], [2, 5, 3]]
    here, there = encode(model, batches), encode(model, batches, num_workers=2)
    for ours, theirs in zip(here, there, strict=True):
        assert ours.images == theirs.images and ours.new == theirs.new
        np.testing.assert_array_equal(ours.encoded, theirs.encoded)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_returns_to_its_mode(model, training):
    model.train(training)
    encode(model, [[0]])
    assert model.training is training


def test_processes_share_the_batches_that_one_would_make():
    alone = split_batches(range(17), 4)
    assert [list(batch) for batch in alone] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
        [16],
    ]
    assert split_batches(range(17), 4, Shares()) == alone[1::3]
