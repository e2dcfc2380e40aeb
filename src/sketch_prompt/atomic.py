"""Files that are complete or absent, never half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; what is written there takes its place on success.

    Folders that lack are made. The temporary name keeps the suffix, which some writers read the format from.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: str | os.PathLike, line: str) -> None:
    """Append one line to a file that other processes may append to at the same moment.

    The line goes out in a single write to a descriptor that always stands at the end, so that lines never mix.

    Args:
        path: made where it lacks, with its folders.
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
