"""Every file under a folder: a photo to be tried, or skipped with a reason."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sketch_prompt.data.reading import UnreadableImage

from .photo_sources import Entry
from .saving import FEATURES, MANIFEST

_SYSTEM_FOLDERS = ("/proc", "/sys", "/dev")


@dataclass
class Scan:
    """What lies under a folder, in the order of its names.

    Attributes:
        entries: files that may be photos, named relative to the folder, with `/` between folders.
        skipped: everything else, by its full path.
        links: links that lead out of the folder and were followed, as `link -> place`.
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: list[UnreadableImage] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def scan(root: str | os.PathLike, follow_links: bool = True) -> Scan:
    """List the files under `root` without opening any.

    Symbolic links are followed; a folder that was already listed is not listed again, so a link back to a parent ends
    there. One to a folder that `root` itself lies in (such as `/`), or to the system's own (`/proc`, `/sys`, `/dev`),
    is not followed. The category of a file is the folder it lies in; files directly in `root` have none.

    Args:
        root: the folder.
        follow_links: whether to follow links at all.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is no folder.
    """
    root = os.fspath(root)
    check_folder(root)
    found, seen = Scan(), {_identity(os.stat(root))}
    refusal = partial(_refusal, root=os.path.realpath(root), follow_links=follow_links, found=found)
    # Links wait until everything has been listed under its own name.
    pending, links = [""], []
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        _list_folder(root, folder, found, seen, pending, links, refusal)
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
    root: str,
    folder: str,
    found: Scan,
    seen: set,
    pending: list[str],
    links: list[str],
    refusal: Callable[[os.DirEntry], str | None],
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
        reason = refusal(entry)
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


def _refusal(entry: os.DirEntry, root: str, follow_links: bool, found: Scan) -> str | None:
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
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return "not a regular file"
    if entry.path in _SYSTEM_FOLDERS:
        return "a folder of the system"
    return _link_refusal(entry, root, follow_links, found) if entry.is_symlink() else None


def _link_refusal(entry: os.DirEntry, root: str, follow_links: bool, found: Scan) -> str | None:
    """Why a link is not followed; of one that is, and leads out of the folder, a note is taken."""
    if not follow_links:
        return "a link"
    target = os.path.realpath(entry.path)
    if any(target == folder or target.startswith(folder + os.sep) for folder in _SYSTEM_FOLDERS):
        return "a link to a folder of the system"
    if root == target or root.startswith(os.path.join(target, "")):
        return (
            "a link to a folder that is listed already"
            if root == target
            else "a link to a folder around this one"
        )
    if not target.startswith(os.path.join(root, "")):
        found.links.append(f"{_readable(entry.path)} -> {_readable(target)}")
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    return "no permission to read it" if isinstance(error, PermissionError) else error.strerror or str(error)


def _readable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
