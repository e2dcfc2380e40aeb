"""What mini-clip reads: captions of its classes, and a tokenizer learned on them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

CONTEXT_LENGTH = 32
VOCABULARY_SIZE = 1000

TEMPLATES = (
    "a photo of a {}",
    "a photo of the {}",
    "a picture of a {}",
    "a photo of a {} {}",
    "a sketch of a {}",
    "a drawing of a {}",
    "a colour photo of a {}",
    "a close-up photo of a {}",
    "a blurry photo of a {}",
    "a dark photo of a {}",
    "a bright photo of a {}",
    "a photo of a small {}",
    "a photo of a large {}",
    "a photo of one {}",
    "a photo of my {}",
    "an illustration of a {}",
    "a {} on a {} background",
    "a {} {}",
    "an image of a {}",
    "this is a {}",
    "there is a {} in the photo",
    "{}",
)

COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "striped",
    "spotted",
    "shiny",
)

# What people type into a search box; their words enter the vocabulary.
SENTENCES = (
    "find me a picture like this drawing",
    "show photos of animals, plants, vehicles, tools, food and furniture",
    "which photo looks most like my sketch?",
    "the one with a long handle and a round bowl",
    "a tall thin bottle with a label standing next to a cup",
    "something with two wheels, a door, four legs, wings, a tail or a roof",
    "an old wooden thing, not a new metal or plastic one",
    "a person, a dog, a horse, a bear, a bag, a hat, a shoe, a clock, a phone, a ball, a box",
)


def caption(name: str, rng: random.Random) -> str:
    """A caption of a class; a template with two gaps also names a colour.

    Half of the captions say "a airplane", as prompts made from one template do.
    """
    template = rng.choice(TEMPLATES)
    if template.count("{}") == 1:
        text = template.format(name)
    elif "background" in template:
        text = template.format(name, rng.choice(COLOURS))
    else:
        text = template.format(rng.choice(COLOURS), name)
    return re.sub(r"\ba (?=[aeiou])", "an ", text) if rng.random() < 0.5 else text


def train_tokenizer(class_names: Iterable[str]) -> CLIPTokenizer:
    """A byte-pair tokenizer of the same make as CLIP's, with at most `VOCABULARY_SIZE` tokens of its own."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False)]
    )
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 2,
        # Named beforehand, or they are numbered in the order of a hash table, which differs from run to run.
        special_tokens=[*characters, *(character + "</w>" for character in characters)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    texts = [template.format(*["x"] * template.count("{}")) for template in TEMPLATES]
    tokenizer.train_from_iterator([*texts, *COLOURS, *SENTENCES, *class_names], trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    vocabulary = dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH)
