"""The text tower: captions that lead to the vectors of their classes."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

TEMPLATES = (
    "a photo of a {}",
    "a photo of a {}",
    "a photo of the {}",
    "a picture of a {}",
    "a close-up photo of a {}",
    "an image of a {}",
    "a sketch of a {}",
    "a sketch of a {}",
    "a drawing of a {}",
    "a line drawing of a {}",
    "{}",
)


def fit_text(
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    names: list[list[str]],
    class_vectors: Tensor,
    steps: int = 700,
    batch_size: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
) -> None:
    """Fit the text tower, so that a caption with any name of a class points where the class's vector does.

    Args:
        clip: its text tower and projection train.
        tokenizer: of the model.
        names: the names of every class, the usual one first.
        class_vectors: (classes, D) unit vectors.
        steps: updates.
        batch_size: captions an update.
        lr: learning rate, which falls to zero.
        seed: of the captions.
    """
    torch.manual_seed(seed)
    chance = random.Random(seed)
    parameters = [*clip.text_model.parameters(), *clip.text_projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01)
    scale = clip.logit_scale.exp().detach()
    bar = tqdm(range(steps), desc="Text tower", mininterval=10)
    for step in bar:
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 20, 2 * (1 - step / steps))
        labels = torch.tensor([chance.randrange(len(names)) for _ in range(batch_size)])
        texts = [chance.choice(TEMPLATES).format(_any_name(names[label], chance)) for label in labels]
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        embeds = F.normalize(clip.get_text_features(**inputs).pooler_output, dim=-1)
        similarity = embeds @ class_vectors.mT
        loss = F.cross_entropy(scale * similarity, labels)
        loss = loss + 2 * (1 - similarity.gather(1, labels[:, None])).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        bar.set_postfix(cosine=f"{similarity.gather(1, labels[:, None]).mean().item():.3f}", refresh=False)
    clip.eval()


def _any_name(names: list[str], chance: random.Random) -> str:
    """Mostly the usual name."""
    return names[0] if chance.random() < 0.6 else chance.choice(names)
