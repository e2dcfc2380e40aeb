import random
from importlib import resources

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from mini_clip.captions import caption
from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch

FOLDER = resources.files("sketch_prompt") / "assets" / "mini-clip"
ALL_CLASSES = sorted(SEEN_CLASSES + UNSEEN_CLASSES)


@pytest.fixture(scope="module")
def clip():
    return CLIPModel.from_pretrained(str(FOLDER)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(str(FOLDER))


def _text_features(clip, tokenizer, texts):
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt")
    return torch.nn.functional.normalize(clip.get_text_features(**tokens).pooler_output, dim=-1)


def test_it_is_at_most_ten_megabytes_and_runs_in_single_precision(clip):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10e6
    assert clip.dtype == torch.float32


def test_its_heads_and_special_tokens_are_as_converters_expect(clip, tokenizer):
    for config in (clip.config.vision_config, clip.config.text_config):
        assert config.num_attention_heads == config.hidden_size // 64
        assert config.hidden_act == "quick_gelu"
    text = clip.config.text_config
    assert (text.bos_token_id, text.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert text.pad_token_id == tokenizer.pad_token_id
    assert text.max_position_embeddings == tokenizer.model_max_length


@torch.no_grad()
def test_it_names_photos_it_has_never_seen(clip, tokenizer):
    processor = CLIPImageProcessor.from_pretrained(str(FOLDER))
    mini = MiniSketch()
    photos = [mini.photo(name, instance) for name in ALL_CLASSES for instance in range(3)]
    pixels = processor(photos, return_tensors="pt")["pixel_values"]
    images = clip.get_image_features(pixels).pooler_output
    texts = _text_features(clip, tokenizer, [f"a photo of a {name}" for name in ALL_CLASSES])
    named = (images @ texts.mT).argmax(dim=1).numpy()
    assert (named == np.repeat(np.arange(48), 3)).mean() > 0.9


@torch.no_grad()
def test_captions_in_other_words_mean_the_same_class(clip, tokenizer):
    chance = random.Random(1)
    plain = _text_features(clip, tokenizer, [f"a photo of a {name}" for name in ALL_CLASSES])
    varied = _text_features(clip, tokenizer, [caption(name, chance) for name in ALL_CLASSES])
    assert ((varied @ plain.mT).argmax(dim=1) == torch.arange(48)).float().mean() > 0.95


def test_its_card_says_what_it_saw_and_how_to_make_it_again():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "scripts/pretrain_mini_clip.py" in card and "No sketches" in card
    assert all(name in card for name in UNSEEN_CLASSES)
