"""One writer at a time in a folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where two processes in one folder are the user's care
    fcntl = None

LOCK = ".lock"
_held: set[int] = set()


class LockedError(ValueError):
    """Another process is writing into the folder."""


@contextmanager
def only_writer(directory: Path, doing: str) -> Iterator[None]:
    """Be the only process that writes into a folder, which is made if it is not there.

    The lock goes with the process, however that ends.

    Args:
        directory: the folder.
        doing: what the other process may be at, for the message: "is writing into the gallery in".

    Raises:
        LockedError: another process is at it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"another process {doing} {directory}; wait for it") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise  # else a file system without locks
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """In a process that was forked: it would hold the lock for as long as it outlives the one that took it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
