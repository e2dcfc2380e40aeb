"""From nothing to a folder with mini-clip: draw, train, measure, save."""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from transformers import CLIPModel, CLIPTokenizer

from mini_clip.architecture import make_image_processor, make_model
from mini_clip.captions import train_tokenizer
from mini_clip.card import model_card
from mini_clip.evaluation import measure
from mini_clip.pool import (
    ALL_CLASSES,
    FIRST_HELD_OUT_INSTANCE,
    FIRST_TRAINING_INSTANCE,
    PictureSet,
    load_pictures,
)
from mini_clip.training import Batches, PretrainingOptions, train_text, train_vision
from sketch_prompt.data.minisketch import SEEN_CLASSES

PHOTOS = PictureSet("photo", ALL_CLASSES, FIRST_TRAINING_INSTANCE, instances=500, views=2)
SKETCHES = PictureSet("sketch", SEEN_CLASSES, FIRST_TRAINING_INSTANCE, instances=100, views=1)
HELD_OUT = PictureSet("photo", ALL_CLASSES, FIRST_HELD_OUT_INSTANCE, instances=25, views=1)


@dataclass(frozen=True)
class PretrainingJob:
    """One run of pretraining.

    Attributes:
        output_dir: where the model, its tokenizer, its image processor and its card go.
        work_dir: drawn pictures and the checkpoint to resume from.
        command: what to print in the card as the way to repeat the run.
        processes: processes that share the work, each on one core.
        photos: training photos.
        sketches: training sketches, of seen classes only.
        held_out: photos to measure on.
        options: of the training.
    """

    output_dir: Path
    work_dir: Path
    command: str
    processes: int = 2
    photos: PictureSet = PHOTOS
    sketches: PictureSet = SKETCHES
    held_out: PictureSet = HELD_OUT
    options: PretrainingOptions = field(default_factory=PretrainingOptions)

    @property
    def checkpoint(self) -> Path:
        """The vision stage as far as it has come."""
        return self.work_dir / "checkpoint.pt"

    @property
    def pool(self) -> Path:
        """Folder of the drawn pictures."""
        return self.work_dir / "pool"


def pretrain(job: PretrainingJob) -> dict[str, float]:
    """Make mini-clip and return what it measured (see `evaluation.measure`)."""
    for pictures in (job.photos, job.sketches, job.held_out):
        load_pictures(pictures, job.pool, job.processes)
    # Large tensors come and go at every step; keeping their memory saves a tenth of the time.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
    if job.processes > 1:
        mp.spawn(_train_vision_process, args=(job, _free_port()), nprocs=job.processes)
    else:
        _train_vision(job)
    model, tokenizer = _start(job)
    class_vectors, log_scale = load_vision(model, job.checkpoint)
    model.logit_scale.data.fill_(log_scale)
    train_text(model, tokenizer, class_vectors, job.options)
    model.eval()
    image_processor = make_image_processor()
    held_out = load_pictures(job.held_out, job.pool)
    scores = measure(model, tokenizer, image_processor, held_out, job.held_out.labels)
    # Half precision on disk, single precision once loaded: the configuration keeps the model's own type.
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.save_pretrained(job.output_dir, state_dict=weights)
    for companion in (tokenizer, image_processor):
        companion.save_pretrained(job.output_dir)
    (job.output_dir / "README.md").write_text(
        model_card(model, tokenizer, job.photos, job.options, job.processes, job.command, scores),
        encoding="utf-8",
    )
    return scores


def load_vision(model: CLIPModel, checkpoint: Path) -> tuple[torch.Tensor, float]:
    """Load a checkpoint's vision tower; returns the (C, D) unit class vectors and the log temperature."""
    state = torch.load(checkpoint, weights_only=True)["modules"]
    for prefix, module in (("tower.", model.vision_model), ("projection.", model.visual_projection)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    log_scale = min(state["classes.log_scale"].item(), math.log(50))
    return torch.nn.functional.normalize(state["classes.weight"], dim=-1), log_scale


def _start(job: PretrainingJob) -> tuple[CLIPModel, CLIPTokenizer]:
    tokenizer = train_tokenizer(ALL_CLASSES)
    torch.manual_seed(job.options.seed)
    return make_model(tokenizer), tokenizer


def _train_vision_process(rank: int, job: PretrainingJob, port: int) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=job.processes)
    _train_vision(job)
    dist.destroy_process_group()


def _train_vision(job: PretrainingJob) -> None:
    model, _ = _start(job)
    photos, sketches = (load_pictures(pictures, job.pool) for pictures in (job.photos, job.sketches))
    batches = Batches(photos, job.photos.labels, sketches, job.sketches.labels, job.options)
    train_vision(model, batches, job.options, job.checkpoint)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
