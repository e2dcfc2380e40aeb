"""What a number depends on besides code and data. Nothing here needs git or a network."""

import os
import platform
import sys

import torch
import transformers

import sketch_prompt


def describe_environment(device: torch.device, dtype: torch.dtype) -> dict[str, str | int]:
    """Versions, machine and device, as plain values.

    Args:
        device: where the model ran.
        dtype: of its weights.
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
    """The most memory this process has held so far, in MB: "process", and "device" on a GPU."""
    peak = {}
    try:
        import resource
    except ImportError:  # Windows keeps no such account
        pass
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak["process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak
