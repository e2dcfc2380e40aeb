"""The vision tower of small-clip: labels, a teacher's features and drawings, in one space.

The space is the teacher's: its features of the photos, centred and reduced to the width of the embedding. A
photo learns to lie where the teacher has it; a class has a vector that starts at the mean of its photos, or
where the teacher's classifier says that they would lie; a drawing learns to lie at the vector of its class.
"""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from mini_clip.architecture import encode_patches
from mini_clip.muon import Muon

from .augmentation import augment_drawings, augment_photos
from .sources import Pictures
from .space import TeacherSpace


@dataclass(frozen=True)
class Options:
    """What changes the result.

    Attributes:
        minutes: how long to train, in time spent training, whatever the number of interruptions.
        batch_size: pictures an update.
        drawing_share: share of a batch that are drawings.
        line_share: share of the photos that are shown as line drawings.
        patches_kept: share of the patches a picture is seen by until `full_from`.
        full_from: share of the time after which all patches are seen.
        fall_from: share of the time after which the learning rates fall, to zero.
        lr: learning rate of AdamW, for all but the encoder's matrices.
        muon_lr: learning rate of Muon, for the encoder's matrices.
        teacher_weight: weight of the cosine distance to the teacher's features.
        soft_share: share of a photo's label that the teacher's opinion is.
        average: decay of the running average of the weights.
        threads: batches are cut into so many parts, one a thread.
        seed: of order and augmentation.
    """

    minutes: float = 43.0
    batch_size: int = 160
    drawing_share: float = 0.25
    line_share: float = 0.12
    patches_kept: float = 0.5
    full_from: float = 0.85
    fall_from: float = 0.1
    lr: float = 3e-4
    muon_lr: float = 0.003
    teacher_weight: float = 2.0
    soft_share: float = 0.5
    average: float = 0.99
    threads: int = 2
    seed: int = 0


class Student(nn.Module):
    """The vision tower, its projection and the vectors of the classes."""

    def __init__(self, clip: CLIPModel, class_vectors: Tensor):
        super().__init__()
        self.clip = [clip]  # in a list: the text tower does not train with it
        # With the 26 of 64 patches that training sees, the fused kernel takes four times as long on a processor.
        clip.set_attn_implementation("eager")
        self.tower, self.projection = clip.vision_model, clip.visual_projection
        self.classes = nn.Parameter(class_vectors.clone())
        self.log_scale = nn.Parameter(torch.tensor(math.log(16.0)))

    def embed(
        self, pixel_values: Tensor, keep: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Unit embeddings (B, D), seen through a random share `keep` of the patches."""
        hidden = encode_patches(self.clip[0], pixel_values, keep, generator)
        return F.normalize(self.projection(self.tower.post_layernorm(hidden[:, 0])).float(), dim=-1)

    def logits(self, embeds: Tensor) -> Tensor:
        """(B, D) unit embeddings -> (B, rows)."""
        return self.log_scale.clamp(max=math.log(60)).exp() * embeds @ F.normalize(self.classes, dim=-1).mT


class Trainer:
    """Trains a student, saves its state every few minutes and goes on from there."""

    def __init__(
        self, clip: CLIPModel, pictures: Pictures, space: TeacherSpace, options: Options, folder: Path
    ):
        self.pictures, self.space, self.options, self.folder = pictures, space, options, folder
        self.student = Student(clip, space.class_vectors)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.student, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options.average)
        )
        self.parameters = [p for p in self.student.parameters() if p.requires_grad]
        self.optimizers = _optimizers(self.student, options)
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            self._load()

    @property
    def checkpoint(self) -> Path:
        """The state to go on from."""
        return self.folder / "state.pt"

    def run(self, save_every: float = 300.0, log_every: int = 20) -> None:
        """Train until the time is spent."""
        total = self.options.minutes * 60
        saved, running = time.monotonic(), {}
        with ThreadPoolExecutor(self.options.threads) as threads:
            while self.seconds < total:
                start = time.monotonic()
                facts = self._update(self.seconds / total, threads)
                self.step += 1
                self.seconds += time.monotonic() - start
                for name, value in facts.items():
                    running[name] = running.get(name, value) * 0.95 + value * 0.05
                if self.step % log_every == 0:
                    self._log({"step": self.step, "minutes": self.seconds / 60, **running})
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write the state; what was written before the rates fell is kept as `plateau.pt`."""
        state = {
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "options": asdict(self.options),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        if self.seconds < self.options.fall_from * self.options.minutes * 60:
            plateau = self.checkpoint.with_name("plateau.pt")
            plateau.unlink(missing_ok=True)
            plateau.hardlink_to(partial)
        partial.rename(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            rate = optimizer.param_groups[0]["initial_lr"]
            optimizer.load_state_dict(saved)
            optimizer.param_groups[0]["initial_lr"] = rate  # a run may go on with other rates
        self.step, self.seconds = state["step"], state["seconds"]

    def _log(self, facts: dict[str, float]) -> None:
        with open(self.folder / "curve.jsonl", "a") as file:
            file.write(json.dumps({name: round(value, 4) for name, value in facts.items()}) + "\n")

    def _update(self, progress: float, threads: ThreadPoolExecutor) -> dict[str, float]:
        options = self.options
        rate = min(1.0, (self.step + 1) / 30, max(0.0, (1 - progress) / (1 - options.fall_from)))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
        keep = options.patches_kept if progress < options.full_from else 1.0
        parts = list(threads.map(lambda part: self._part(part, keep), range(options.threads)))
        for index, parameter in enumerate(self.parameters):
            gradients = [gradients[index] for gradients, _ in parts]
            parameter.grad = sum(gradients) / len(gradients)
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        list(threads.map(lambda optimizer: optimizer.step(), self.optimizers))
        self.average.update_parameters(self.student)
        return {name: float(np.mean([facts[name] for _, facts in parts])) for name in parts[0][1]}

    def _part(self, part: int, keep: float) -> tuple[tuple[Tensor, ...], dict[str, float]]:
        """Gradients and measurements of one thread's part of a batch."""
        torch.set_num_threads(1)
        options, pictures, space = self.options, self.pictures, self.space
        seed = [options.seed, self.step, part]
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        size = options.batch_size // options.threads
        n_drawings = int(size * options.drawing_share)
        chosen = np.sort(rng.integers(len(pictures.photos), size=size - n_drawings))
        lines = pictures.may_be_lines[chosen] & (rng.random(len(chosen)) < options.line_share)
        photos = augment_photos(
            torch.from_numpy(pictures.photos[np.sort(chosen)]),
            torch.from_numpy(lines[np.argsort(chosen)]),
            generator,
        )
        chosen, lines = np.sort(chosen), lines[np.argsort(chosen)]
        drawn = rng.integers(len(pictures.drawings), size=n_drawings)
        variant = rng.integers(pictures.drawings.shape[1], size=n_drawings)
        drawings = augment_drawings(torch.from_numpy(pictures.drawings[drawn, variant]), generator)
        with torch.autocast("cpu", torch.bfloat16):
            embeds = self.student.embed(torch.cat([photos, drawings]), keep, generator)
        logits = self.student.logits(embeds)
        of_photos, of_drawings = logits.split([len(chosen), n_drawings])
        rows = torch.from_numpy(pictures.photo_rows[chosen])
        taught, targets = space.features(chosen)
        labels = space.labels(chosen, rows, options.soft_share, logits.shape[1])
        photo_loss = -(labels * of_photos.log_softmax(dim=1)).sum(dim=1).mean()
        distance = (1 - (embeds[: len(chosen)][taught] * targets).sum(dim=1)).sum() / len(chosen)
        drawing_rows = torch.from_numpy(pictures.drawing_rows[drawn])
        drawing_loss = F.cross_entropy(of_drawings, drawing_rows, label_smoothing=0.1)
        share = n_drawings / size
        loss = (1 - share) * (photo_loss + options.teacher_weight * distance) + share * drawing_loss
        gradients = torch.autograd.grad(loss, self.parameters)
        labelled = torch.from_numpy(~lines) & (rows >= 0)
        with torch.no_grad():
            facts = {
                "loss": loss.item(),
                "photos": (of_photos.argmax(dim=1) == rows)[labelled].float().mean().item(),
                "drawings": (of_drawings.argmax(dim=1) == drawing_rows).float().mean().item(),
                "distance": (distance * len(chosen) / max(1, int(taught.sum()))).item(),
            }
        return gradients, facts


def _optimizers(student: Student, options: Options) -> list[torch.optim.Optimizer]:
    named = list(student.named_parameters())
    matrices = [p for name, p in named if ".layers." in name and p.ndim == 2]
    known = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in known]
    optimizers = [
        Muon(matrices, lr=options.muon_lr, dtype=torch.bfloat16),
        torch.optim.AdamW(rest, lr=options.lr, weight_decay=0.01),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers
