"""A CLIP of a few thousand weights, and inputs for it, for tests of the models."""

import torch
from transformers import BatchFeature, CLIPConfig, CLIPModel

IMAGE_SIZE, PATCH, WIDTH, DIM, LAYERS, VOCABULARY = 32, 8, 128, 32, 3, 100


def tiny_clip(seed: int = 0, **vision) -> CLIPModel:
    """A frozen, randomly initialised CLIP: 4 x 4 patches, three layers, 32-d embeddings."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS}
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 16, "eos_token_id": 99, "bos_token_id": 98}
    config = CLIPConfig(
        vision_config={**sizes, "image_size": IMAGE_SIZE, "patch_size": PATCH, "num_attention_heads": 2}
        | vision,
        text_config={**sizes, **text, "pad_token_id": 0, "num_attention_heads": 2},
        projection_dim=DIM,
    )
    clip = CLIPModel(config).eval().requires_grad_(False)
    # The default initialisation is so small that every image embeds alike.
    for name, parameter in clip.named_parameters():
        if name.endswith("weight") and "norm" not in name and "layrnorm" not in name:
            parameter.data.mul_(2.5)
    return clip


def images(n: int, seed: int = 0, size: int = IMAGE_SIZE) -> torch.Tensor:
    """(n, 3, size, size)"""
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def token_ids(n: int, seed: int = 0) -> torch.Tensor:
    """(n, 12): start, a few words (a different number in each row), end, padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(n, 12, dtype=torch.long)
    for row in range(n):
        length = 2 + row % 6
        ids[row, 0] = 98
        ids[row, 1 : 1 + length] = torch.randint(1, 97, (length,), generator=generator)
        ids[row, 1 + length] = 99
    return ids


class WordProcessor:
    """The text side of a processor over the tiny vocabulary: one id a word."""

    def __call__(self, text: list[str], return_tensors: str = "pt") -> BatchFeature:
        """Ids (B, T) of whitespace-separated words."""
        rows = [
            [98] + [1 + sum(map(ord, word)) % 96 for word in sentence.split()] + [99] for sentence in text
        ]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return BatchFeature({"input_ids": ids})
