"""The environment of a result: versions, machine and device."""

import os
import platform

import torch
import transformers

import sketch_prompt
from sketch_prompt.machine import peak_memory_bytes


def describe_environment(device: torch.device, dtype: torch.dtype) -> dict[str, str | int]:
    """Versions, machine and device, as plain values.

    Args:
        device: The device of the model.
        dtype: The type of its weights.
    """
    return {
        "sketch_prompt": sketch_prompt.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 1,
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": str(dtype).removeprefix("torch."),
    }


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory so far in MB: of the "process" and, on a GPU, of the "device"."""
    peak = {}
    process = peak_memory_bytes()
    if process is not None:
        peak["process"] = round(process / 1e6, 1)
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak
