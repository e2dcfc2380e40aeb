"""Ctrl-C and a scheduler's SIGTERM stop a run after the step it is in, so that it can be saved whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torch.utils.data import DataLoader

_PATIENCE = 5.0  # seconds that a worker gets to end by itself


def ignore_signals(worker: int) -> None:
    """Let a loader's worker finish the step on Ctrl-C, which a terminal sends to it as well: a `worker_init_fn`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def ending_workers(loader: DataLoader) -> Iterator[None]:
    """Leave no process of a loader behind, however the block ends.

    They ignore SIGTERM, by which Python would end them at its own exit, and then it would wait for them for ever. An
    exception that leaves the block keeps the loader's iterator alive, so they do not end with that either.
    """
    try:
        yield
    finally:
        iterator = loader._iterator
        workers = getattr(iterator, "_workers", ())
        if workers:
            iterator._shutdown_workers()
        for worker in workers:
            worker.join(_PATIENCE)
            if worker.is_alive():  # in a read that does not return, as of a network drive that is gone
                worker.kill()
                worker.join()


class Interruption:
    """Context in which the first SIGINT or SIGTERM only sets `requested`; a second one interrupts at once.

    Args:
        enabled: False leaves the signals as they are (processes that must stop together cannot each decide).
    """

    def __init__(self, enabled: bool = True):
        self.requested = False
        self.enabled = enabled and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Interruption":
        if self.enabled:
            signals = (signal.SIGINT, signal.SIGTERM)
            self._previous = {number: signal.signal(number, self._request) for number in signals}
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        if self.enabled:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
