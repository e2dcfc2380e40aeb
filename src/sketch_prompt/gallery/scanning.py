"""Every file under a folder: a photo to be tried, or skipped with a reason."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sketch_prompt.data.reading import UnreadableImage

from .photo_sources import Entry
from .saving import FEATURES, MANIFEST


@dataclass
class Scan:
    """What lies under a folder, in the order of its names.

    Attributes:
        entries: files that may be photos, named relative to the folder, with `/` between folders.
        skipped: everything else, by its full path.
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: list[UnreadableImage] = field(default_factory=list)


def scan(root: str | os.PathLike) -> Scan:
    """List the files under `root` without opening any.

    Symbolic links are followed; a folder that was already listed is not listed again, so a link back to a parent ends
    there. The category of a file is the folder it lies in; files directly in `root` have none.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is no folder.
    """
    root = os.fspath(root)
    check_folder(root)
    found, seen = Scan(), {_identity(os.stat(root))}
    # Links wait until everything has been listed under its own name.
    pending, links = [""], []
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        _list_folder(root, folder, found, seen, pending, links)
    found.entries.sort()
    found.skipped.sort()
    return found


def check_folder(root: str | os.PathLike) -> None:
    """Raise FileNotFoundError or NotADirectoryError unless `root` is a folder."""
    if not os.path.isdir(root):
        kind = NotADirectoryError if os.path.exists(root) else FileNotFoundError
        raise kind(f"{os.fspath(root)!r} is no folder of photos")


def scan_file(path: str | os.PathLike) -> Scan:
    """One file, named as it is given and without a category."""
    path = os.fspath(path)
    try:
        path.encode()
        status = os.stat(path)
    except UnicodeEncodeError:
        return Scan(skipped=[UnreadableImage(_readable(path), "its name is not valid text")])
    except OSError as error:
        return Scan(skipped=[UnreadableImage(path, _reason(error))])
    if not stat.S_ISREG(status.st_mode):
        return Scan(skipped=[UnreadableImage(path, "not a regular file")])
    return Scan(entries=[Entry(path, None, status.st_size, status.st_mtime_ns)])


def _list_folder(
    root: str, folder: str, found: Scan, seen: set, pending: list[str], links: list[str]
) -> None:
    full = os.path.join(root, folder)
    if os.path.islink(full) and folder:
        identity = _identity(os.stat(full))
        if identity in seen:
            found.skipped.append(
                UnreadableImage(_readable(full), "a link to a folder that is listed already")
            )
            return
        seen.add(identity)
    try:
        with os.scandir(full) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.skipped.append(UnreadableImage(_readable(full), _reason(error)))
        return
    if {entry.name for entry in entries} >= {MANIFEST, FEATURES}:
        found.skipped.append(UnreadableImage(_readable(full), "a gallery"))
        return
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        reason = _refusal(entry)
        if reason is not None:
            found.skipped.append(UnreadableImage(_readable(entry.path), reason))
        elif not entry.is_dir():
            status = entry.stat()
            found.entries.append(
                Entry(name, Path(name).parent.name or None, status.st_size, status.st_mtime_ns)
            )
        elif entry.is_symlink():
            links.append(name)
        else:
            seen.add(_identity(entry.stat()))
            pending.append(name)


def _refusal(entry: os.DirEntry) -> str | None:
    """Why an entry is neither a folder nor a possible photo."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not valid text"
    if entry.name.startswith("."):
        return "hidden"
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return "a link to nothing" if entry.is_symlink() else _reason(error)
    return None if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else "not a regular file"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    return "no permission to read it" if isinstance(error, PermissionError) else error.strerror or str(error)


def _readable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
