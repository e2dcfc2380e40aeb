"""The two stages of pretraining: the vision tower as a classifier, then the text tower fitted to it."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from mini_clip.architecture import embed, encode_patches
from mini_clip.augmentation import augment
from mini_clip.captions import caption
from mini_clip.muon import Muon
from mini_clip.pool import ALL_CLASSES
from sketch_prompt.atomic import atomic_write


@dataclass(frozen=True)
class PretrainingOptions:
    """What changes the result of pretraining.

    Attributes:
        steps: updates of the vision tower.
        text_steps: updates of the text tower.
        batch_size: pictures an update in each process; photos come as two views of one instance.
        sketch_share: share of a batch that are sketches of seen classes.
        patches_kept: share of the patches a picture is seen by until the last `full_share` of the steps.
        full_share: share of the steps with all patches.
        gentle_share: share of the steps over which augmentation grows from none to its full strength.
        instance_weight: weight of telling instances apart beside telling classes apart.
        lr: learning rate of AdamW, for all but the encoder's matrices.
        muon_lr: learning rate of Muon, for the encoder's matrices.
        seed: of initialisation, order and augmentation.
    """

    steps: int = 2000
    text_steps: int = 600
    batch_size: int = 64
    sketch_share: float = 0.0
    patches_kept: float = 0.45
    full_share: float = 0.1
    gentle_share: float = 0.4
    instance_weight: float = 0.2
    lr: float = 2e-3
    muon_lr: float = 0.02
    seed: int = 0


class ClassVectors(torch.nn.Module):
    """One unit vector a class and a temperature: a classifier in the space of image embeddings."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(count, width))
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, embeds: Tensor) -> Tensor:
        """(B, D) unit embeddings -> (B, C) logits."""
        return self.log_scale.clamp(max=math.log(50)).exp() * embeds @ F.normalize(self.weight, dim=-1).mT


class Batches:
    """Endless random batches of photos, two views of each instance, with some sketches at the end."""

    def __init__(self, photos, photo_labels, sketches, sketch_labels, options: PretrainingOptions):
        self.photos, self.photo_labels = photos, photo_labels
        self.sketches, self.sketch_labels = sketches, sketch_labels
        self.sketch_count = int(options.batch_size * options.sketch_share) if sketches is not None else 0
        self.instances = (options.batch_size - self.sketch_count) // 2

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(B, H, W, 3) uint8 pictures and (B,) labels; photos 2i and 2i + 1 show one instance."""
        first = 2 * rng.choice(len(self.photos) // 2, self.instances, replace=False)
        chosen = np.stack([first, first + 1], axis=1).ravel()
        pixels, labels = self.photos[chosen], self.photo_labels[chosen]
        if self.sketch_count:
            drawn = rng.choice(len(self.sketches), self.sketch_count, replace=False)
            pixels = np.concatenate([pixels, self.sketches[drawn]])
            labels = np.concatenate([labels, self.sketch_labels[drawn]])
        return torch.from_numpy(pixels), torch.from_numpy(labels)


class VisionStage(torch.nn.Module):
    """The vision tower with what trains it: class vectors, and a second classifier on the mean patch."""

    def __init__(self, model: CLIPModel):
        super().__init__()
        self.model = [model]  # in a list: the text tower is no part of this stage
        self.tower, self.projection = model.vision_model, model.visual_projection
        self.classes = ClassVectors(len(ALL_CLASSES), model.config.projection_dim)
        self.patch_classifier = torch.nn.Linear(model.config.vision_config.hidden_size, len(ALL_CLASSES))

    def loss(self, pixel_values: Tensor, labels: Tensor, pairs: int, keep: float, instance_weight: float):
        """Loss and accuracy of a batch whose first 2 * `pairs` pictures are views of `pairs` instances."""
        hidden = encode_patches(self.model[0], pixel_values, keep)
        embeds = embed(self.model[0], hidden)
        logits = self.classes(embeds)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        loss = loss + 0.5 * F.cross_entropy(self.patch_classifier(hidden[:, 1:].mean(dim=1)), labels)
        loss = loss + instance_weight * _instance_loss(embeds[: 2 * pairs])
        return loss, (logits.argmax(dim=1) == labels).float().mean()


def train_vision(
    model: CLIPModel, batches: Batches, options: PretrainingOptions, checkpoint: Path
) -> ClassVectors:
    """Train the vision tower and its projection; resumes from `checkpoint`, which is written as it goes.

    In a `torch.distributed` group every process draws its own share of each batch.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    stage = VisionStage(model)
    optimizers = _optimizers(stage, options)
    start = _resume(checkpoint, stage, optimizers, options)
    full_from = int(options.steps * (1 - options.full_share))
    bar = tqdm(
        range(start, options.steps), initial=start, total=options.steps, desc="Vision tower", disable=rank
    )
    running = 0.0
    for step in bar:
        rng = np.random.default_rng([options.seed, step, rank])
        torch.manual_seed((options.seed * 1_000_003 + step) * world + rank)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _schedule(step / options.steps)
        pixels, labels = batches.draw(rng)
        pixel_values = augment(pixels, min(1.0, step / (options.gentle_share * options.steps)))
        keep = options.patches_kept if step < full_from else 1.0
        loss, accuracy = stage.loss(pixel_values, labels, batches.instances, keep, options.instance_weight)
        loss.backward()
        if world > 1:
            _average_gradients(stage, world)
        torch.nn.utils.clip_grad_norm_(stage.parameters(), 5.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        running += (accuracy.item() - running) * max(0.02, 1 / (step - start + 1))
        bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{running:.3f}")
        if rank == 0 and (step % 50 == 49 or step + 1 == options.steps):
            _save(checkpoint, stage, optimizers, options, step + 1)
    return stage.classes


def train_text(
    model: CLIPModel, tokenizer: CLIPTokenizer, class_vectors: Tensor, options: PretrainingOptions
) -> None:
    """Fit the text tower, so that captions of a class point where its pictures do.

    Args:
        model: its text tower and projection train.
        tokenizer: of the model.
        class_vectors: (C, D), unit length.
        options: `text_steps`, `seed`.
    """
    torch.manual_seed(options.seed)
    chance = random.Random(options.seed)
    parameters = [*model.text_model.parameters(), *model.text_projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01)
    scale = model.logit_scale.exp().detach()
    for step in tqdm(range(options.text_steps), desc="Text tower"):
        optimizer.param_groups[0]["lr"] = 2e-3 * _schedule(step / options.text_steps)
        labels = torch.randint(len(ALL_CLASSES), (96,))
        texts = [caption(ALL_CLASSES[label], chance) for label in labels]
        embeds = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
        embeds = F.normalize(embeds, dim=-1)
        similarity = embeds @ class_vectors.mT
        loss = (
            F.cross_entropy(scale * similarity, labels) + (1 - similarity.gather(1, labels[:, None])).mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _instance_loss(embeds: Tensor) -> Tensor:
    """Each view must find the other view of its instance among all pictures of the batch (2i, 2i + 1)."""
    similarity = embeds @ embeds.mT / 0.1
    similarity.fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(embeds)) ^ 1)


def _average_gradients(stage: VisionStage, world: int) -> None:
    gradients = [p.grad for p in stage.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(mean.view_as(gradient))


def _optimizers(modules: VisionStage, options: PretrainingOptions) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in modules.named_parameters() if ".layers." in name and p.ndim == 2]
    known = set(map(id, matrices))
    rest = [p for p in modules.parameters() if id(p) not in known]
    optimizers = [
        Muon(matrices, lr=options.muon_lr),
        torch.optim.AdamW(rest, lr=options.lr, weight_decay=0.01),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _schedule(progress: float) -> float:
    """A short rise, a plateau, and a straight fall over the second half."""
    return min(1.0, (progress + 0.002) / 0.02, 2 * (1 - progress) + 0.01)


def _resume(checkpoint: Path, modules, optimizers, options: PretrainingOptions) -> int:
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    if state["options"] != asdict(options):
        raise ValueError(
            f"{checkpoint} was written by a run with other options ({state['options']}); "
            "continue with those, or give another --work-dir."
        )
    modules.load_state_dict(state["modules"])
    for optimizer, saved in zip(optimizers, state["optimizers"]):
        optimizer.load_state_dict(saved)
    return state["step"]


def _save(checkpoint: Path, modules, optimizers, options: PretrainingOptions, step: int) -> None:
    with atomic_write(checkpoint) as path:
        torch.save(
            {
                "modules": modules.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "options": asdict(options),
                "step": step,
            },
            path,
        )
