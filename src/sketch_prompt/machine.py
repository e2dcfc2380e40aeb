"""What this machine has, and what this process takes of it."""

import os
import re
import sys
from pathlib import Path


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int | None:
    """Peak resident memory of this process so far. None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: its count includes that of the process that started this one.
        field = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if field:
            return int(field[1]) * 1024
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
