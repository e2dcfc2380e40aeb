"""Build what a recipe needs on this machine: the accelerator, the model, and the settings that depend on both."""

import dataclasses
import json
import logging

import torch
from accelerate import Accelerator, DistributedType
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs

from sketch_prompt.image_processing import SketchPromptImageProcessor
from sketch_prompt.machine import available_cores
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.sources import PROCESSOR_FILES, find_checkpoint
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError

logger = logging.getLogger(__name__)

_SHARDING = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def build_accelerator(config: TrainingConfig) -> Accelerator:
    """The accelerator for a recipe on this machine.

    Raises:
        RecipeError: A tracker is not installed, or the launcher shards the weights of the model.
    """
    missing = set(config.run.trackers) - {str(tracker) for tracker in get_available_trackers()}
    if missing:
        raise RecipeError(
            f"run.trackers: {', '.join(sorted(missing))} is not installed. For tensorboard, `pip install "
            "sketch-prompt[train]`. See the documentation of accelerate for other trackers"
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


def build_model(
    config: TrainingConfig, class_names: list[str], device: torch.device
) -> tuple[SketchPromptPreTrainedModel, SketchPromptProcessor]:
    """The model of a recipe on its base model, with its training classes, and the processor."""
    model = config.model
    processor = SketchPromptProcessor.from_base_model(
        model.base_model, revision=model.revision, **config.processor
    )
    built = SketchPromptModel.from_base_model(
        model.method,
        model.base_model,
        config=model.config,
        revision=model.revision,
        attn_implementation=model.attn_implementation,
    ).to(device)
    built.set_classes(class_names, processor)
    if config.optimisation.gradient_checkpointing:
        # The name of the method depends on the version of transformers.
        enable = getattr(built, "activation_checkpointing_enable", None)
        (enable or built.gradient_checkpointing_enable)({"use_reentrant": False})
    return built, processor


def fit_to_machine(config: TrainingConfig, processes: int = 1) -> TrainingConfig:
    """The recipe with the image size of the base model, and not more workers than the machine has cores.

    Args:
        config: The recipe.
        processes: Number of training processes on this machine, which share its cores.

    Raises:
        RecipeError: `processor.size` is not the image size of the base model.
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
        return config if own == size else _with_image_size(config, size)
    if SketchPromptImageProcessor(size=given).size != size:
        raise RecipeError(
            f"processor.size={given} does not fit {config.model.base_model}, which takes images of {size} x {size} "
            f"pixels: leave out processor.size, or set processor.size={size}"
        )
    return config


def _with_image_size(config: TrainingConfig, size: int) -> TrainingConfig:
    logger.info(
        "%s takes images of %d x %d pixels: processor.size=%d", config.model.base_model, size, size, size
    )
    return config.with_sections(processor={**config.processor, "size": size})


def _image_size(config: TrainingConfig) -> int | None:
    """The image size of the CLIP in pixels. None if its configuration has none, or the model does not use the CLIP."""
    if not config.model.config.uses_clip:
        return None
    model = config.model
    folder = find_checkpoint(model.base_model, files=PROCESSOR_FILES, revision=model.revision)
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = fields.get("clip_config", fields).get("vision_config", {}).get("image_size")
    except (OSError, ValueError, AttributeError):
        return None  # loading the model will raise a clear error
    return size if isinstance(size, int) else None


def _with_workers(config: TrainingConfig, processes: int) -> TrainingConfig:
    cores = available_cores()
    most = max(1, cores // processes)
    if config.data.num_workers <= most:
        return config
    logger.info("data.num_workers=%d instead of %d for %d cores", most, config.data.num_workers, cores)
    return config.with_sections(data=dataclasses.replace(config.data, num_workers=most))
