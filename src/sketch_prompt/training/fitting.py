"""What a recipe leaves to the base model and the machine: the size of pictures, and which processes do what."""

import dataclasses
import json
import logging
import os

from accelerate import Accelerator, DistributedType
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs

from sketch_prompt.image_processing import SketchPromptImageProcessor
from sketch_prompt.sources import PROCESSOR_FILES, find_checkpoint
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError

logger = logging.getLogger(__name__)

_SHARDING = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def build_accelerator(config: TrainingConfig) -> Accelerator:
    """What computes: the processes and devices that there are, as the recipe uses them.

    Raises:
        RecipeError: A tracker is not installed, or the processes were launched to share the model's weights.
    """
    missing = set(config.run.trackers) - {str(tracker) for tracker in get_available_trackers()}
    if missing:
        raise RecipeError(
            f"run.trackers: {', '.join(sorted(missing))} is not installed; `pip install "
            "sketch-prompt[train]` brings tensorboard, accelerate's documentation names the others"
        )
    accelerator = Accelerator(
        mixed_precision=config.optimisation.mixed_precision,
        gradient_accumulation_steps=config.optimisation.gradient_accumulation_steps,
        log_with=config.run.trackers or None,
        project_dir=config.output_dir,
        # A trainable text tower gets no gradient if the texts of the classes are computed only once.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if accelerator.distributed_type in _SHARDING:
        raise RecipeError(
            f"{accelerator.distributed_type.value} is not supported: evaluation and checkpoints need the whole model "
            "in each process. Use distributed_type: MULTI_GPU (accelerate launch --multi_gpu)"
        )
    return accelerator


def fitted(config: TrainingConfig, processes: int = 1) -> TrainingConfig:
    """The recipe as this base model and this machine can follow it, before any data are read.

    Args:
        config: The recipe.
        processes: That train on this machine, which share its cores.

    Raises:
        RecipeError: `processor.size` is not what the base model sees.
        FileNotFoundError: There is no such base model.
    """
    return _with_workers(_with_size(config), processes)


def _with_size(config: TrainingConfig) -> TrainingConfig:
    size = _image_size(config)
    if size is None:
        return config
    given = config.processor.get("size")
    if given is None:
        own = SketchPromptImageProcessor.from_base_model(config.model.base_model).size
        return config if own == size else _replaced(config, size)
    if SketchPromptImageProcessor(size=given).size != size:
        raise RecipeError(
            f"processor.size={given} does not fit {config.model.base_model}, which sees {size} x {size} pixels: leave "
            f"processor.size out, or set processor.size={size}"
        )
    return config


def _replaced(config: TrainingConfig, size: int) -> TrainingConfig:
    logger.info("%s sees %d x %d pixels: processor.size=%d", config.model.base_model, size, size, size)
    return config.with_sections(processor={**config.processor, "size": size})


def _image_size(config: TrainingConfig) -> int | None:
    """The side of the pictures that the CLIP sees, in pixels; None where it does not say, or does not encode them."""
    if not config.model.config.uses_clip:
        return None
    model = config.model
    folder = find_checkpoint(model.base_model, files=PROCESSOR_FILES, revision=model.revision)
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = fields.get("clip_config", fields).get("vision_config", {}).get("image_size")
    except (OSError, ValueError, AttributeError):
        return None  # loading the model says what is wrong
    return size if isinstance(size, int) else None


def _with_workers(config: TrainingConfig, processes: int) -> TrainingConfig:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = max(1, cores // processes)
    if config.data.num_workers <= most:
        return config
    logger.info("data.num_workers=%d instead of %d: there are %d cores", most, config.data.num_workers, cores)
    return config.with_sections(data=dataclasses.replace(config.data, num_workers=most))
