"""A CLIP of a few thousand weights, and inputs for it."""

import torch
from transformers import BatchFeature, CLIPConfig, CLIPModel

IMAGE_SIZE, PATCH, WIDTH, DIM, LAYERS, VOCABULARY = 32, 8, 128, 32, 3, 100
START, END = 98, 99


def tiny_clip(
    seed: int = 0, width: int = WIDTH, layers: int = LAYERS, words: int = 16, **vision
) -> CLIPModel:
    """A frozen, randomly initialised CLIP: 4 x 4 patches, three layers, 32-d embeddings, texts of 16 tokens.

    Args:
        seed: of the weights.
        width, layers: of both towers.
        words: tokens that a text may have.
        vision: fields of its `CLIPVisionConfig`, instead of these.
    """
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


def images(n: int, seed: int = 0, size: int = IMAGE_SIZE) -> torch.Tensor:
    """Pixel values of noise, (n, 3, size, size)."""
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def token_ids(n: int, seed: int = 0) -> torch.Tensor:
    """Texts, (n, 12): start, a few words (a different number in each row), end, padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(n, 12, dtype=torch.long)
    for row in range(n):
        length = 2 + row % 6
        ids[row, 0] = START
        ids[row, 1 : 1 + length] = torch.randint(1, 97, (length,), generator=generator)
        ids[row, 1 + length] = END
    return ids


class WordProcessor:
    """The text part of a processor for the tiny vocabulary, with one id for each word.

    Example:
        >>> WordProcessor()(["a cup"]).input_ids.shape
        torch.Size([1, 4])
    """

    def __call__(self, text: list[str], return_tensors: str = "pt") -> BatchFeature:
        """Ids (B, T) of whitespace-separated words."""
        rows = [
            [START] + [1 + sum(map(ord, word)) % 96 for word in sentence.split()] + [END] for sentence in text
        ]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return BatchFeature({"input_ids": ids})
