"""Optimiser and learning-rate schedule of a model's parameter groups."""

import torch
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.training.config import OptimisationConfig
from sketch_prompt.training.recipe import refuse_unknown

_OPTIMIZERS = {"adam": Adam, "adamw": AdamW}
_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}


def build_optimizer(model: SketchPromptPreTrainedModel, config: OptimisationConfig) -> Optimizer:
    """Adam or AdamW for the groups of `model.parameter_groups()`, each with its learning rate and `name`.

    Raises:
        RecipeError: `learning_rates` names a group that the model does not have.
        ValueError: The model has no trainable parameters.
    """
    groups = model.parameter_groups()
    if not groups:
        raise ValueError(f"{model.method} has nothing to train: evaluate it without training")
    refuse_unknown(config.learning_rates, [g["name"] for g in groups], "optimisation.learning_rates")
    rates = [config.learning_rates.get(group["name"], config.learning_rate) for group in groups]
    return _OPTIMIZERS[config.optimizer](
        [group | {"lr": float(rate)} for group, rate in zip(groups, rates)],
        betas=tuple(config.betas),
        weight_decay=config.weight_decay,
        fused=_can_fuse(groups),
    )


def build_scheduler(optimizer: Optimizer, config: OptimisationConfig, total_steps: int) -> LRScheduler:
    """The learning-rate schedule with its warm-up, for `total_steps` optimiser steps."""
    return get_scheduler(_SCHEDULES[config.schedule], optimizer, config.warmup_steps, total_steps)


def _can_fuse(groups: list[dict]) -> bool:
    return all(parameter.device.type == "cuda" for group in groups for parameter in group["params"]) and all(
        torch.is_floating_point(parameter) for group in groups for parameter in group["params"]
    )
