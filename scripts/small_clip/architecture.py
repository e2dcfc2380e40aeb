"""The shape of small-clip, its tokenizer, and what it starts from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from mini_clip.architecture import (
    IMAGE_SIZE,
    PATCH_SIZE,
    start_attention_near_identity,
    start_with_positions,
)
from mini_clip.augmentation import normalize

from .space import TeacherSpace

WIDTH = 256  # of the embeddings
MERGES = 16_000


def short_tokenizer(folder: Path, merges: int = MERGES) -> CLIPTokenizer:
    """CLIP's tokenizer with the first `merges` of its merges: rarer words become more tokens, none is lost.

    Args:
        folder: with CLIP's own `vocab.json` and `merges.txt`.
        merges: how many to keep. Every token costs 256 bytes of the model.
    """
    lines = [line for line in (folder / "merges.txt").read_text("utf-8").splitlines() if line]
    pairs = [tuple(line.split()) for line in lines if not line.startswith("#version")][:merges]
    whole = json.loads((folder / "vocab.json").read_text("utf-8"))
    kept = {token for token, number in whole.items() if number < 512} | {a + b for a, b in pairs}
    vocabulary = {token: row for row, token in enumerate(sorted(kept, key=whole.__getitem__))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=77)


def make_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A CLIPModel of 7.5 million parameters: vision 256 x 6 on 8 x 8 patches, text 128 x 3, embedding 256."""
    config = CLIPConfig(
        text_config={
            **_tokens(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
        },
        vision_config={
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
        },
        projection_dim=WIDTH,
    )
    model = CLIPModel(config)
    start_with_positions(model)
    start_attention_near_identity(model)
    return model


@torch.no_grad()
def with_tokenizer(folder: Path, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The CLIP in `folder` for another tokenizer, whose tokens are among those of its own `vocab.json`."""
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    old = json.loads((folder / "vocab.json").read_text("utf-8"))
    config = CLIPConfig.from_dict(clip.config.to_dict())
    for name, value in _tokens(tokenizer).items():
        setattr(config.text_config, name, value)
    new = tokenizer.get_vocab()
    state = clip.state_dict()
    embeddings = "text_model.embeddings.token_embedding.weight"
    state[embeddings] = state[embeddings][[old[token] for token in sorted(new, key=new.__getitem__)]]
    model = CLIPModel(config)
    model.load_state_dict(state)
    return model.eval()


@torch.no_grad()
def turn_towards(space: TeacherSpace, clip: CLIPModel, photos: np.ndarray, count: int = 12_000) -> None:
    """Fit the projection of the CLIP to where the teacher has the first `count` photos (ridge regression)."""
    count = min(count, space.count)
    clip.eval()
    pooled = torch.cat(
        [
            clip.vision_model(normalize(torch.tensor(photos[i : min(i + 200, count)]))).pooler_output
            for i in range(0, count, 200)
        ]
    )
    targets = space.project(torch.from_numpy(space.raw[:count].astype(np.float32)))
    ridge = 1e-2 * pooled.square().mean() * count * torch.eye(pooled.shape[1])
    weight = torch.linalg.solve(pooled.mT @ pooled + ridge, pooled.mT @ targets)
    clip.visual_projection.weight.copy_(weight.mT)


def _tokens(tokenizer: CLIPTokenizer) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
