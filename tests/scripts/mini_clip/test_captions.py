import random

import pytest
from transformers import AutoTokenizer, CLIPTokenizer

from mini_clip.captions import (
    CONTEXT_LENGTH,
    SENTENCES,
    VOCABULARY_SIZE,
    caption,
    train_tokenizer,
)
from mini_clip.pool import ALL_CLASSES


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(ALL_CLASSES)


def test_captions_name_the_class_in_varied_words():
    chance = random.Random(0)
    captions = {caption("umbrella", chance) for _ in range(300)}
    assert all("umbrella" in text and "{}" not in text for text in captions)
    assert len(captions) > 20
    assert {"a photo of a umbrella", "a photo of an umbrella"} < captions


def test_the_vocabulary_is_small_and_knows_its_classes_word_by_word(tokenizer):
    assert len(tokenizer) <= VOCABULARY_SIZE
    for name in ALL_CLASSES:
        assert len(tokenizer.tokenize(name)) == len(name.split())


def test_texts_it_has_never_seen_come_back_as_they_were(tokenizer):
    for text in (*SENTENCES, "zebra crossing 42", "quixotic jukebox"):
        decoded = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
        assert decoded.replace(" ", "") == text.lower().replace(" ", "")


def test_no_text_is_unknown_to_it(tokenizer):
    ids = tokenizer("naïve café — 日本 🦊")["input_ids"]
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_training_it_again_gives_the_same_tokens(tokenizer):
    assert train_tokenizer(ALL_CLASSES).get_vocab() == tokenizer.get_vocab()


def test_it_saves_and_loads_like_clips(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    for loaded in (CLIPTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert loaded.model_max_length == CONTEXT_LENGTH
        text = "a photo of a hot air balloon"
        assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
        ids = loaded(text, padding="max_length")["input_ids"]
        assert ids[0] == loaded.bos_token_id and ids[-1] == loaded.eos_token_id != 2
