"""Convert checkpoints of the papers' own code. Each method has its own converter."""

import logging
import os
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..hints import suggestion
from .auto import MODELS
from .checkpoints import read_tensors
from .inert_pickle import Inert, load_inert
from .modeling_base import SketchPromptPreTrainedModel

logger = logging.getLogger(__name__)


def from_reference(method: str, state_dict: Mapping[str, Tensor]) -> SketchPromptPreTrainedModel:
    """Create a model from a checkpoint of a reference implementation, in eval mode.

    Sizes are read from the shapes of the tensors (heads = width // 64). The model is configured to compute what the
    reference code computes, including its quirks, and has a processor with the reference's preprocessing.

    Args:
        method: A method with a converter: `"clip-at"`, `"dp-clip"` or `"zse-sbir"`.
        state_dict: The `state_dict()` of the reference (tensors or arrays), or a checkpoint that contains it
            (`{"state_dict": ...}` or `{"model": ...}`).

    Example:
        ```python
        model = from_reference("clip-at", load_reference_checkpoint("last.ckpt"))
        model.save_pretrained("clip-at-sketchy")
        ```

    Raises:
        ValueError: The method is unknown, or tensors are missing or have a wrong shape; the message names them.
            Tensors that the reference never uses are reported with a warning.
    """
    if method not in MODELS:
        raise ValueError(f"no converter for {method!r}; {suggestion(method, MODELS)}")
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"a checkpoint is a mapping of names to tensors, not a {type(state_dict).__name__}")
    for key in ("state_dict", "model"):
        if isinstance(state_dict.get(key), Mapping):
            state_dict = state_dict[key]
    state = _tensors(state_dict)
    try:
        model, used = MODELS[method].convert(state)
    except (ArithmeticError, LookupError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"the checkpoint's tensors are not those of {method}: {reason}") from error
    if unused := sorted(set(state) - used):
        logger.warning(
            "%d tensors are not used by %s and were left out: %s", len(unused), method, ", ".join(unused)
        )
    return model.eval()


def _tensors(state_dict: Mapping) -> dict[str, Tensor]:
    """The tensors and arrays of a mapping, without the prefix "module." of DataParallel."""
    tensors = {
        name.removeprefix("module."): torch.as_tensor(value)
        for name, value in state_dict.items()
        if isinstance(name, str) and isinstance(value, Tensor | np.ndarray)
    }
    if not tensors:
        raise ValueError("the checkpoint has no named tensors")
    return tensors


def load_reference_checkpoint(path) -> dict[str, Any]:
    """Read a `.pth`, `.ckpt` or `.safetensors` file without running any code in it.

    Everything but tensors and plain values, such as the hyper-parameters of Lightning, is left out.

    Raises:
        ValueError: The file is damaged, or is not a checkpoint.
        OSError: The file cannot be read.
    """
    if str(path).endswith(".safetensors"):
        return read_tensors(path)
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty")
    try:
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # objects of classes that torch does not know
            checkpoint = load_inert(path)
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or not a checkpoint: {error}") from error
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is damaged or not a checkpoint: {reason}") from error
    if not isinstance(checkpoint, Mapping):
        kind = "an object" if isinstance(checkpoint, Inert) else f"a {type(checkpoint).__name__}"
        raise ValueError(f"{path} holds {kind}, where a checkpoint is a mapping of names to tensors")
    return dict(checkpoint)
