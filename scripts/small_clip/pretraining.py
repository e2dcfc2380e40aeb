"""The steps from two public sets of photos to a folder with small-clip; each is done once and can be interrupted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from mini_clip.augmentation import normalize

from .architecture import WIDTH, make_model, short_tokenizer, turn_towards, with_tokenizer
from .concepts import imagenet_classes, imagenet_rows
from .pictures import SIZE
from .sources import read_concepts, read_pictures, training_manifest
from .space import features_done, teacher_space
from .text import fit_text
from .training import Options, Student, Trainer

MANIFEST = "training_data.json"
SPACE_PHOTOS = 30_000  # enough to find the axes of the teacher's space, and the class means


@dataclass(frozen=True)
class Job:
    """Where the work is, and what it starts from.

    Attributes:
        work_dir: prepared pictures, the teacher's features, checkpoints.
        tokenizer: folder with CLIP's `vocab.json` and `merges.txt`.
        start: folder of a CLIP with that tokenizer and the shape of `make_model` to go on from; None to start
            from nothing.
        options: of the training.
    """

    work_dir: Path
    tokenizer: Path
    start: Path | None = None
    options: Options = field(default_factory=Options)

    @property
    def run_dir(self) -> Path:
        """Checkpoints and the curve."""
        return self.work_dir / "run"

    @property
    def features(self) -> Path:
        """The teacher's features."""
        return self.work_dir / "teacher.npy"


def train(job: Job, classifier: tuple[Tensor, Tensor]) -> None:
    """Train the vision tower until its time is spent; goes on from the last checkpoint.

    Args:
        job: its pictures are prepared and the teacher has seen at least `WIDTH` photos.
        classifier: weights and biases of the teacher's last layer.
    """
    job.run_dir.mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(job.work_dir, concepts := read_concepts(job.work_dir))
    torch.manual_seed(job.options.seed)
    tokenizer = short_tokenizer(job.tokenizer)
    clip = make_model(tokenizer) if job.start is None else with_tokenizer(job.start, tokenizer)
    raw, count = np.load(job.features, mmap_mode="r"), features_done(job.features)
    space = teacher_space(
        raw, min(count, SPACE_PHOTOS), pictures.photo_rows, len(concepts.names), classifier, WIDTH
    )
    space.count = count
    trainer = Trainer(clip, pictures, space, job.options, job.run_dir)
    if trainer.step == 0:
        turn_towards(space, clip, pictures.photos)
    trainer.run()


def bundle(job: Job, output: Path, text_steps: int) -> None:
    """Write the averaged vision tower with a text tower fitted to it, tokenizer, image processor and manifest.

    A text tower that is already in `output`, of an earlier state of the run, is gone on from.
    """
    state = torch.load(job.run_dir / "state.pt", weights_only=True)
    averaged = {
        name.removeprefix("module."): tensor
        for name, tensor in state["average"].items()
        if name.startswith("module.")
    }
    tokenizer = short_tokenizer(job.tokenizer)
    if (output / "config.json").exists():
        clip = CLIPModel.from_pretrained(output, dtype=torch.float32)
    else:
        clip = make_model(tokenizer) if job.start is None else with_tokenizer(job.start, tokenizer)
    student = Student(clip, averaged["classes"])
    student.load_state_dict(averaged)
    with torch.no_grad():
        clip.logit_scale.copy_(student.log_scale)
    names = read_concepts(job.work_dir).synonyms()
    fit_text(clip, tokenizer, names, F.normalize(averaged["classes"], dim=-1), steps=text_steps)
    clip.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    image_processor().save_pretrained(output)
    manifest = training_manifest(job.work_dir)
    (output / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")


def image_processor() -> CLIPImageProcessor:
    """CLIP's preprocessing at small-clip's size."""
    return CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})


@torch.inference_mode()
def accuracy_by_text(folder: Path, work_dir: Path, count: int = 10_000) -> float:
    """Accuracy on Tiny ImageNet's validation photos by "a photo of a <class>", its 200 classes to choose from.

    Args:
        folder: of a CLIP of 64 pixels.
        work_dir: with the prepared photos.
        count: photos to take, spread over the set.
    """
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    photos = np.load(work_dir / "val.npy", mmap_mode="r")
    wnids = json.loads((work_dir / "val.json").read_text())["classes"]
    shown = sorted(set(wnids))
    names = [imagenet_classes()[imagenet_rows()[wnid]].names[0] for wnid in shown]
    texts = _texts(clip, AutoTokenizer.from_pretrained(folder), [f"a photo of a {name}" for name in names])
    chosen = np.linspace(0, len(photos) - 1, count).astype(int)
    right = 0
    for rows in np.array_split(chosen, max(1, count // 100)):
        images = clip.get_image_features(normalize(torch.from_numpy(photos[rows]))).pooler_output
        found = (images @ texts.mT).argmax(dim=1).tolist()
        right += sum(shown[place] == wnids[row] for place, row in zip(found, rows))
    return right / count


def _texts(clip: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    return F.normalize(clip.get_text_features(**inputs).pooler_output, dim=-1)
