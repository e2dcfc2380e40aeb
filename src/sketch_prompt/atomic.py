"""Write files completely or not at all."""

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
    """Yield a temporary path in the folder of `path`. On success, the file written there replaces `path`.

    Missing folders are created. The temporary name has the same suffix, as some writers choose the format by it.

    Args:
        path: File to create or replace.
        durable: Wait until the file is on the disk, so that it is complete or absent after a power cut too.

    Raises:
        OSError: The disk is full, whatever the writer raises in this case.
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
    """Turn the errors of other writers for a full disk into an OSError."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), os.fspath(path)) from error
    except RuntimeError as error:
        # torch only reports that fewer bytes were written.
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path)) from error


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
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
    """Wait until a folder with all its contents is on the disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def clear_leftovers(folder: Path) -> None:
    """Delete temporary files of killed writers in a folder. Nobody else may be writing to it."""
    for pattern in _LEFTOVERS:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def append_line(path: str | os.PathLike, line: str) -> None:
    """Append a line to a file. Other processes may append to it at the same time.

    The line is written in a single write to a descriptor in append mode, so that lines never mix.

    Args:
        path: The file. It is created with its folders if it does not exist.
        line: The line, without line break.

    Raises:
        OSError: Only a part of the line was written, because the disk is full.
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
