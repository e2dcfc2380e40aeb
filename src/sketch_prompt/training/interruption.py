"""On Ctrl-C or SIGTERM, finish the current step, so that the run can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torch.utils.data import DataLoader

_PATIENCE = 5.0  # seconds to wait for a worker to end


def ignore_signals(worker: int) -> None:
    """A `worker_init_fn`: workers ignore Ctrl-C, which a terminal sends to them too, so that the step can finish."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def ending_workers(loader: DataLoader) -> Iterator[None]:
    """End the workers of a loader, however the block ends.

    The workers ignore SIGTERM, so Python would wait for them for ever when it exits. An exception that leaves the
    block keeps the loader's iterator alive, so deleting it would not end them either.
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
            if worker.is_alive():  # it hangs in a read, for example from a lost network drive
                worker.kill()
                worker.join()


class Interruption:
    """Context manager: the first SIGINT or SIGTERM only sets `requested`, and a second one interrupts at once.

    Args:
        enabled: False does not handle signals. This is for several processes, which must stop at the same step.
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
