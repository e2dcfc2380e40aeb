"""Embed the parts of a corpus with actors of Ray Data, on this machine or on a cluster."""

import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    import ray.data
except ImportError as error:
    raise ValueError("the engine 'ray' needs Ray Data: pip install 'sketch-prompt[ray]'") from error

from .corpus import PartWriter

_TASKS_PER_WORKER = 16


def run_on_ray(
    arguments: tuple[Any, ...], parts: Sequence[int], workers: int, gpus: float, progress: bool
) -> None:
    """Write parts with a pool of actors. Ray restarts actors that die and repeats their tasks.

    Args:
        arguments: Arguments of `PartWriter`.
        parts: Numbers of the parts.
        workers: Number of actors.
        gpus: GPUs of each actor.
        progress: Show the progress bars of Ray.
    """
    own = not ray.is_initialized()
    if own:
        cluster = os.environ.get("RAY_ADDRESS")
        here = {} if cluster else {"num_cpus": max(workers, 1) + 1, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="error", **here)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = progress
        rows = ray.data.from_items(
            [{"part": part} for part in parts],
            override_num_blocks=min(len(parts), _TASKS_PER_WORKER * workers),
        )
        done = rows.map_batches(
            PartWriter,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            fn_constructor_args=arguments,
            num_cpus=1,
            num_gpus=gpus or None,
        )
        for _ in done.iter_batches(batch_size=None):
            pass
    finally:
        if own:
            ray.shutdown()
