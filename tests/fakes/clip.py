"""A CLIP of a few thousand weights, in memory or as a folder, and inputs for it."""

from pathlib import Path

import torch
from transformers import BatchFeature, CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

IMAGE_SIZE, PATCH, WIDTH, DIM, LAYERS, VOCABULARY = 32, 8, 128, 32, 3, 100
START, END = 98, 99


def tiny_clip(
    seed: int = 0, width: int = WIDTH, layers: int = LAYERS, words: int = 16, **vision
) -> CLIPModel:
    """A frozen, randomly initialised CLIP: 4 x 4 patches, three layers, 32-d embeddings, texts of 16 tokens."""
    torch.manual_seed(seed)
    tower = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": words, "pad_token_id": 0}
    config = CLIPConfig(
        vision_config={**tower, "image_size": IMAGE_SIZE, "patch_size": PATCH, "num_attention_heads": 2}
        | vision,
        text_config={**tower, **text, "num_attention_heads": 2, "bos_token_id": START, "eos_token_id": END},
        projection_dim=DIM,
    )
    clip = CLIPModel(config).eval().requires_grad_(False)
    # The default initialisation is so small that every image embeds alike.
    for name, parameter in clip.named_parameters():
        if name.endswith("weight") and "norm" not in name and "layrnorm" not in name:
            parameter.data.mul_(2.5)
    return clip


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


def images(n: int, seed: int = 0, size: int = IMAGE_SIZE) -> torch.Tensor:
    """(n, 3, size, size)"""
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def token_ids(n: int, seed: int = 0) -> torch.Tensor:
    """(n, 12): start, a few words (a different number in each row), end, padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(n, 12, dtype=torch.long)
    for row in range(n):
        length = 2 + row % 6
        ids[row, 0] = START
        ids[row, 1 : 1 + length] = torch.randint(1, 97, (length,), generator=generator)
        ids[row, 1 + length] = END
    return ids


class WordProcessor:
    """The text side of a processor over the tiny vocabulary: one id a word."""

    def __call__(self, text: list[str], return_tensors: str = "pt") -> BatchFeature:
        """Ids (B, T) of whitespace-separated words."""
        rows = [
            [START] + [1 + sum(map(ord, word)) % 96 for word in sentence.split()] + [END] for sentence in text
        ]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return BatchFeature({"input_ids": ids})
