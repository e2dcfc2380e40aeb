import pytest
import torch

from mini_clip.architecture import (
    embed,
    encode_patches,
    make_image_processor,
    make_model,
)
from mini_clip.captions import train_tokenizer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return make_model(train_tokenizer(["cup"])).eval()


def test_it_fits_in_ten_megabytes_of_half_precision(model):
    assert sum(parameter.numel() for parameter in model.parameters()) * 2 < 10e6


@torch.no_grad()
def test_with_all_patches_it_embeds_as_transformers_does(model):
    pixels = torch.randn(2, 3, 64, 64)
    expected = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output, dim=-1)
    torch.testing.assert_close(embed(model, encode_patches(model, pixels)), expected)


@torch.no_grad()
def test_it_keeps_the_share_of_patches_asked_for(model):
    assert encode_patches(model, torch.randn(2, 3, 64, 64), keep=0.5).shape[1] == 1 + 32


@torch.no_grad()
def test_the_embedding_of_a_text_does_not_depend_on_its_padding(model):
    tokenizer = train_tokenizer(["cup"])
    short = tokenizer(["a cup"], return_tensors="pt")
    long = tokenizer(["a cup"], padding="max_length", return_tensors="pt")
    torch.testing.assert_close(
        model.get_text_features(**short).pooler_output, model.get_text_features(**long).pooler_output
    )


def test_the_image_processor_makes_64_pixels(model):
    from PIL import Image

    pixels = make_image_processor()(Image.new("RGB", (128, 128)), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 64, 64)
