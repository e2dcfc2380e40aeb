"""The tiny CLIP that the contract's tests run on, also as a folder."""

from pathlib import Path

from torch.utils.data import Dataset
from transformers import CLIPImageProcessorPil, CLIPTokenizer

from sketch_prompt.testing.tiny_clip import (
    DIM,
    END,
    IMAGE_SIZE,
    LAYERS,
    PATCH,
    START,
    VOCABULARY,
    WIDTH,
    WordProcessor,
    images,
    tiny_clip,
    token_ids,
)

__all__ = [
    "DIM",
    "END",
    "IMAGE_SIZE",
    "LAYERS",
    "PATCH",
    "START",
    "VOCABULARY",
    "WIDTH",
    "Triplets",
    "WordProcessor",
    "images",
    "tiny_clip",
    "token_ids",
    "write_clip",
]


class Triplets(Dataset):
    """Four triplets as a training step takes them, of two classes."""

    def __len__(self):
        return 4

    def __getitem__(self, number):
        names = ("sketch_pixel_values", "photo_pixel_values", "negative_pixel_values")
        pictures = {name: images(1, seed=3 * number + n)[0] for n, name in enumerate(names)}
        return pictures | {"labels": number % 2, "negative_labels": (number + 1) % 2}


def write_clip(folder: Path) -> Path:
    """A smaller one still as `from_pretrained` reads it, with a tokenizer of letters and an image processor."""
    tiny_clip(width=32, layers=2, words=32).save_pretrained(folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(tokens, 1)}
    special = {"<|pad|>": 0, "<|startoftext|>": START, "<|endoftext|>": END}
    CLIPTokenizer(vocab=vocabulary | special, merges=[], pad_token="<|pad|>").save_pretrained(folder)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=size).save_pretrained(folder)
    return folder
