"""Files that are complete or absent, never half written."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_WRITING = ".writing-"
# Beside our own: a folder in which a checkpoint is put together, and what safetensors writes before it renames.
_LEFTOVERS = (f"{_WRITING}*", ".saving-*", ".tmp*")


@contextmanager
def atomic_write(path: str | os.PathLike, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; what is written there takes its place on success.

    Missing folders are created. The temporary name keeps the suffix, from which some writers infer the format.

    Args:
        path: what is written or replaced.
        durable: wait until the disk has it, so that it is complete or absent after a power cut too, not only after the
            end of the process.

    Raises:
        OSError: the disk is full, whatever the writer calls that.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_WRITING}{os.getpid()}-{path.name}")
    try:
        with failed_writes_are_os_errors(path):
            yield temporary
            if durable:
                sync(temporary)
            os.replace(temporary, path)
            if durable:
                sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def failed_writes_are_os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raise as OSError what writers in other languages say of a full disk, of which Python's own say so."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), os.fspath(path)) from error
    except RuntimeError as error:
        # torch knows only that fewer bytes arrived than it wrote.
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path)) from error


def sync(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # not on every file system
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder with all that is in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def clear_leftovers(folder: Path) -> None:
    """Delete what writers that were killed have left in a folder. Call it only while nobody else writes there."""
    for pattern in _LEFTOVERS:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def append_line(path: str | os.PathLike, line: str) -> None:
    """Append one line to a file that other processes may append to at the same moment.

    The line goes out in a single write to a descriptor that always stands at the end, so that lines never mix.

    Args:
        path: created if need be, with its folders.
        line: without line break.

    Raises:
        OSError: the line was cut off: the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = f"{line}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(descriptor, content) < len(content):
            raise OSError(f"{path}: the line was cut off; is the disk full?")
    finally:
        os.close(descriptor)
