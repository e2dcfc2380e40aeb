"""Save a run in folders that are either complete or absent, and resume a run that was killed."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sketch_prompt.atomic import failed_writes_are_os_errors, sync, sync_folder
from sketch_prompt.checksums import file_checksum
from sketch_prompt.models.checkpoints import ADAPTER_WEIGHTS, read_tensors
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.training.averaging import FinalWeights
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError, read_recipe

STATE = "training_state.pt"
STATE_CHECKSUM = "training_state.blake2b"
# Keys that may change when a run is resumed. They change its speed or length, not the steps already done.
_FREE = {
    "data": {"data_dir", "num_workers"},
    "optimisation": {"epochs", "max_steps", "gradient_accumulation_steps", "gradient_checkpointing"},
    "model": {"attn_implementation"},
}


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        epoch: Number of completed epochs.
        epoch_step: Number of optimiser steps in the current epoch.
        step: Number of optimiser steps in all.
        best: The best validation score so far; None before the first validation.
        best_step: The step of the best score.
        seconds: Wall-clock time of the training, over all times that it was resumed.
    """

    epoch: int = 0
    epoch_step: int = 0
    step: int = 0
    best: float | None = None
    best_step: int = 0
    seconds: float = 0.0


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` when the block is done.

    The new folder is on disk before it replaces the old one, so a kill or a power cut leaves one of the two. A kill
    between the two renames leaves the complete new folder beside the old name, where `recover_folder` finds it.
    """
    new, old = _sibling(folder, "new"), _sibling(folder, "old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    with failed_writes_are_os_errors(folder):
        yield new
    sync_folder(new)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> Path | None:
    """The folder that `replacing_folder` has written, renamed if a kill came in between; None if there is none."""
    new, old = _sibling(folder, "new"), _sibling(folder, "old")
    if not folder.exists() and old.exists():
        os.rename(new if new.exists() else old, folder)
    return folder if folder.exists() else None


def _sibling(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}.{suffix}")


def random_state() -> dict:
    """The states of all random generators, in types that `torch.load` reads safely."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: dict) -> None:
    """Restore the states of all random generators from `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def save_state(
    folder: Path,
    model: SketchPromptPreTrainedModel,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    progress: Progress,
    random_states: list[dict],
    scaler: torch.amp.GradScaler | None = None,
    average: dict[str, torch.Tensor] | None = None,
) -> None:
    """Save the state of a run: the adapter as a checkpoint, and the rest in `training_state.pt`.

    Args:
        folder: The folder. It is replaced as a whole.
        model: The model.
        optimizer, scheduler, scaler: Their states are saved.
        progress: The progress of the run.
        random_states: `random_state` of each process, ordered by rank.
        average: The running average of the weights, if there is one.
    """
    with replacing_folder(folder) as new:
        model.save_pretrained(new, include_backbone=False)
        state = {
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "progress": asdict(progress),
            "random": random_states,
            "class_names": model.config.class_names,
            "average": average,
        }
        torch.save(state, new / STATE)
        # torch does not check the checksums in its files.
        (new / STATE_CHECKSUM).write_text(file_checksum(new / STATE) + "\n", encoding="ascii")


def load_state(
    folder: Path,
    model: SketchPromptPreTrainedModel,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    rank: int = 0,
    scaler: torch.amp.GradScaler | None = None,
    final: FinalWeights | None = None,
) -> Progress:
    """Restore model, optimiser, schedule and random generators; returns the progress of the run.

    If there are more processes than before, the new ones keep their random state.

    Raises:
        ValueError: The run trained on other classes, or the folder is damaged.
    """
    try:
        checksum = folder / STATE_CHECKSUM
        if checksum.is_file() and checksum.read_bytes().decode("ascii").strip() != file_checksum(
            folder / STATE
        ):
            raise ValueError(f"the checksum of {STATE} is wrong")
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        tensors = read_tensors(folder / ADAPTER_WEIGHTS)
        progress = Progress(**state["progress"])
        missing = {"class_names", "optimizer", "scheduler", "scaler", "random"} - state.keys()
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))} are missing")
    except Exception as error:  # torch raises pickle, zip, key, runtime and system errors alike
        raise _damaged(folder, error) from error
    if state["class_names"] != model.config.class_names:
        raise ValueError(
            f"{folder} was trained on other classes: the data has changed. Use another "
            "run.output_dir, or start again with run.resume=never"
        )
    try:
        load_adapter_tensors(model, tensors)
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        if scaler is not None and state["scaler"] is not None:
            scaler.load_state_dict(state["scaler"])
        if final is not None and final.average is not None:
            final.load_average(state["average"])
        if rank < len(state["random"]):
            set_random_state(state["random"][rank])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _damaged(folder, error) from error
    return progress


def _damaged(folder: Path, error: Exception) -> ValueError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ValueError(f"{folder} is damaged ({reason}): start again with run.resume=never")


@torch.no_grad()
def load_adapter_tensors(model: SketchPromptPreTrainedModel, tensors: dict[str, torch.Tensor]) -> None:
    """Copy tensors into the active adapter."""
    for name, tensor in model.adapter_tensors().items():
        tensor.copy_(tensors[name])


def find_resumable(config: TrainingConfig) -> Path | None:
    """The folder of the last checkpoint to resume from; None to start from the beginning.

    Raises:
        FileNotFoundError: `run.resume` is `"must"`, and there is no checkpoint.
        RecipeError: The checkpoint is from another recipe. The message names the first key that differs.
    """
    folder = config.output_dir
    last = recover_folder(folder / "checkpoints/last") if config.run.resume != "never" else None
    if last is None:
        if config.run.resume == "must":
            raise FileNotFoundError(
                f"run.resume is 'must', but there is no {folder / 'checkpoints/last'}: "
                "set run.output_dir to the folder of the run to resume, or use run.resume=auto"
            )
        return None
    earlier = TrainingConfig.from_dict(read_recipe(folder)).to_dict()
    for key, (old, new) in _differences(earlier, config.to_dict()).items():
        raise RecipeError(
            f"{folder} was trained with {key}={old}, not {new}: change it back, use another run.output_dir, "
            "or start again with run.resume=never"
        )
    return last


def remove_checkpoints(config: TrainingConfig) -> None:
    """Remove the checkpoints of an earlier run."""
    shutil.rmtree(config.output_dir / "checkpoints", ignore_errors=True)


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    differing = {
        f"{section}.{key}": (earlier[section].get(key), value)
        for section in ("model", "data", "processor", "optimisation")
        for key, value in ({name: None for name in earlier[section]} | now[section]).items()
        if key not in _FREE.get(section, ()) and earlier[section].get(key) != value
    }
    seeds = earlier["run"]["seed"], now["run"]["seed"]
    return differing if seeds[0] == seeds[1] else {"run.seed": seeds} | differing
