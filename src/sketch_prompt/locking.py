"""One writer at a time in a folder."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # of a file system; filelock itself deals with ENOSYS


class LockedError(ValueError):
    """Another process is writing into the folder."""


@contextmanager
def only_writer(directory: Path, doing: str) -> Iterator[None]:
    """Be the only process that writes into a folder, which is created if need be.

    The system releases the lock with the process, however that ends.

    Args:
        directory: the folder.
        doing: what the other process may be doing, for the message: "is writing into the gallery in".

    Raises:
        LockedError: another process is writing into it.
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
