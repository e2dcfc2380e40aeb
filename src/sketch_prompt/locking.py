"""Only one process at a time writes to a folder."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # of a file system; filelock itself deals with ENOSYS


class LockedError(ValueError):
    """Another process is writing to the folder."""


@contextmanager
def only_writer(directory: Path, doing: str) -> Iterator[None]:
    """A block in which no other process may write to a folder, which is created if it does not exist.

    The system releases the lock when the process ends, even if it is killed.

    Args:
        directory: The folder.
        doing: What the other process is doing, for the message: "is writing into the gallery in".

    Raises:
        LockedError: Another process is writing to it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(f"another process {doing} {directory}; wait for it") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
