"""What mini-clip can do before any adapter: zero-shot classification and frozen retrieval."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from mini_clip.architecture import embed, encode_patches
from mini_clip.augmentation import normalize
from mini_clip.pool import ALL_CLASSES
from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES, load_mini
from sketch_prompt.metrics import evaluate_retrieval


@torch.no_grad()
def measure(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    image_processor: CLIPImageProcessor,
    held_out: np.ndarray,
    labels: np.ndarray,
) -> dict[str, float]:
    """Accuracy on held-out photos, and mAP@all on the default MiniSketch; all in 0..1.

    Args:
        model: in eval mode.
        tokenizer: of the model.
        image_processor: of the model.
        held_out: (N, 64, 64, 3) uint8 photos of `ALL_CLASSES`.
        labels: (N,) index into `ALL_CLASSES`.
    """
    prompts = tokenizer([f"a photo of a {name}" for name in ALL_CLASSES], padding=True, return_tensors="pt")
    texts = torch.nn.functional.normalize(model.get_text_features(**prompts).pooler_output, dim=-1)
    images = _embed(
        model, (normalize(torch.tensor(held_out[i : i + 256])) for i in range(0, len(labels), 256))
    )
    predicted = (images @ texts.mT).argmax(dim=1).numpy()
    unseen = np.isin(labels, [ALL_CLASSES.index(name) for name in UNSEEN_CLASSES])
    scores = {
        f"zero-shot accuracy, held-out photos, {len(ALL_CLASSES)} classes": float(
            (predicted == labels).mean()
        ),
        "the same, photos of the unseen classes only": float((predicted == labels)[unseen].mean()),
    }
    tables = load_mini()
    for split, names, words in (("test", UNSEEN_CLASSES, "unseen"), ("train", SEEN_CLASSES, "seen")):
        sketches, photos = (
            _embed(model, _preprocessed(tables[f"{split}_{domain}"], image_processor))
            for domain in ("sketch", "photo")
        )
        sketch_labels, photo_labels = (
            np.asarray(tables[f"{split}_{domain}"]["label"]) for domain in ("sketch", "photo")
        )
        retrieved = evaluate_retrieval(sketches.numpy(), photos.numpy(), sketch_labels, photo_labels)
        scores[f"sketch to photo mAP@all, {words} classes"] = retrieved["mAP@all"]
        queries, gallery = slice(0, None, 2), slice(1, None, 2)
        retrieved = evaluate_retrieval(
            photos[queries].numpy(), photos[gallery].numpy(), photo_labels[queries], photo_labels[gallery]
        )
        scores[f"photo to photo mAP@all, {words} classes"] = retrieved["mAP@all"]
        scores[f"chance, {words} classes"] = 1 / len(names)
    return scores


def _embed(model: CLIPModel, batches) -> Tensor:
    return torch.cat([embed(model, encode_patches(model, batch)) for batch in batches])


def _preprocessed(table, image_processor: CLIPImageProcessor):
    for batch in table.iter(batch_size=256):
        yield image_processor(batch["image"], return_tensors="pt")["pixel_values"]
