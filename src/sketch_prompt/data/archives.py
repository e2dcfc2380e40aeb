"""Unpacking downloaded archives (zip, tar, 7z) without trusting them.

Only images, lists and strokes are unpacked. An archive is refused if an entry is a link or a device, if it would be
written outside the target folder, or if the unpacked files would be suspiciously large. Nothing of a refused or
damaged archive is kept.
"""

import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from tqdm.auto import tqdm

from sketch_prompt.data.listing import IMAGE_EXTENSIONS, STROKE_EXTENSION

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (".zip", *_TAR_SUFFIXES, ".7z")
_KEPT_EXTENSIONS = IMAGE_EXTENSIONS | {STROKE_EXTENSION, ".txt", ".yaml", ".yml"}

# Images hardly compress, and text compresses about ten times. An archive that grows more than this is not a data set.
MAX_GROWTH = 100
FREE_GROWTH = 1 << 30  # bytes below which growth does not matter
_CHUNK = 1 << 20

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)


class ArchiveError(ValueError):
    """An archive is unsafe or cannot be unpacked."""


class _Entry(NamedTuple):
    name: str
    size: int
    open: Callable[[], BinaryIO]


def is_archive(path: str) -> bool:
    """Whether a path is an archive that `unpack` supports, by its name."""
    return path.lower().endswith(ARCHIVE_SUFFIXES) and os.path.isfile(path)


def archives_in(folders: Iterable[str]) -> list[str]:
    """The archives directly in any of the folders."""
    return [
        path
        for folder in folders
        for name in sorted(os.listdir(folder))
        if is_archive(path := os.path.join(folder, name))
    ]


def unpack(archive: str, folder: str) -> str:
    """Unpack an archive into its own folder. An archive that has not changed is unpacked only once.

    Args:
        archive: Path of a zip, tar or 7z file.
        folder: Where unpacked archives are kept.

    Returns:
        The folder with the files of the archive. It has the archive's name.

    Raises:
        ArchiveError: The archive is unsafe, encrypted, damaged or incomplete. Nothing of it is kept.
        OSError: The archive cannot be read, or the folder cannot be written.
    """
    archive = os.path.abspath(archive)
    status = os.stat(archive)
    identity = repr((archive, status.st_size, status.st_mtime_ns))
    home = os.path.join(folder, hashlib.sha256(identity.encode()).hexdigest()[:16])
    target = os.path.join(home, _stem(archive))
    if os.path.isdir(target):
        return target
    os.makedirs(folder, exist_ok=True)
    unfinished = tempfile.mkdtemp(prefix=".unpacking-", dir=folder)
    try:
        _unpack_into(archive, os.path.join(unfinished, _stem(archive)))
        try:
            os.rename(unfinished, home)
        except OSError:
            # Another process was faster.
            if not os.path.isdir(target):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _unpack_into(archive: str, target: str) -> None:
    os.makedirs(target)
    limit = max(os.path.getsize(archive) * MAX_GROWTH, FREE_GROWTH)
    try:
        if archive.lower().endswith(".7z"):
            _unpack_7z(archive, target, limit)
        else:
            opened = _zip_entries if archive.lower().endswith(".zip") else _tar_entries
            with opened(archive) as entries:
                _write(archive, entries, target, limit)
    except (*_DAMAGE, OSError) as error:
        # Decompressors report damage as an OSError without an error number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"{archive} is damaged or incomplete ({error}): download it again") from error


def _write(archive: str, entries: Iterator[_Entry], target: str, limit: int) -> None:
    total = 0
    with _progress(archive) as bar:
        for entry in entries:
            parts = _checked_parts(archive, entry.name)
            total += entry.size
            _check_growth(archive, total, limit)
            if not _is_kept(entry.name):
                continue
            path = os.path.join(target, *parts)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with entry.open() as source, open(path, "wb") as file:
                    while chunk := source.read(_CHUNK):
                        file.write(chunk)
                        bar.update(len(chunk))
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArchiveError(f"{archive}: the entry {entry.name!r} clashes with another") from error


@contextmanager
def _zip_entries(archive: str) -> Iterator[Iterator[_Entry]]:
    with zipfile.ZipFile(archive) as opened:

        def entries() -> Iterator[_Entry]:
            for info in opened.infolist():
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise ArchiveError(f"{archive} is refused: the entry {info.filename!r} is a link")
                if info.flag_bits & 1:
                    raise ArchiveError(f"{archive} is encrypted: unpack it yourself and give the folder")
                if not info.is_dir():
                    yield _Entry(info.filename, info.file_size, lambda info=info: opened.open(info))

        yield entries()


class _TarHeader(tarfile.TarInfo):
    """A header whose damage is an error. tarfile itself takes every damaged header but the first for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_TarHeader":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise  # zeros: the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from error


@contextmanager
def _tar_entries(archive: str) -> Iterator[Iterator[_Entry]]:
    with tarfile.open(archive, tarinfo=_TarHeader) as opened:

        def entries() -> Iterator[_Entry]:
            for member in opened:
                if not (member.isfile() or member.isdir()):
                    raise ArchiveError(
                        f"{archive} is refused: the entry {member.name!r} is a link or a device"
                    )
                if member.isfile():
                    yield _Entry(member.name, member.size, lambda member=member: opened.extractfile(member))
            # The checksum of a compressed tar comes after the end of the tar, which is padded with zeros.
            while chunk := opened.fileobj.read(_CHUNK):
                if chunk.count(0) < len(chunk):
                    raise tarfile.ReadError(f"there is more after its end at byte {opened.offset:,}")

        yield entries()


def _unpack_7z(archive: str, target: str, limit: int) -> None:
    import py7zr
    from py7zr.exceptions import ArchiveError as SevenZipError
    from py7zr.exceptions import PasswordRequired

    try:
        with py7zr.SevenZipFile(archive) as opened:
            if opened.needs_password():
                raise ArchiveError(f"{archive} is encrypted: unpack it yourself and give the folder")
            entries = opened.list()
            for entry in entries:
                _checked_parts(archive, entry.filename)
                if entry.is_symlink or not (entry.is_file or entry.is_directory):
                    raise ArchiveError(
                        f"{archive} is refused: the entry {entry.filename!r} is a link or a device"
                    )
            files = [entry for entry in entries if entry.is_file]
            _check_growth(archive, sum(entry.uncompressed for entry in files), limit)
            wanted = [entry for entry in files if _is_kept(entry.filename)]
            with _progress(archive, sum(entry.uncompressed for entry in wanted)) as bar:
                opened.extract(target, [e.filename for e in wanted], callback=_sevenzip_callback(bar))
    except PasswordRequired as error:
        raise ArchiveError(f"{archive} is encrypted: unpack it yourself and give the folder") from error
    except SevenZipError as error:
        raise ArchiveError(f"{archive} is damaged or incomplete ({error}): download it again") from error


def _sevenzip_callback(bar: tqdm):
    from py7zr.callbacks import ExtractCallback

    class Progress(ExtractCallback):
        def report_start_preparation(self): ...
        def report_start(self, processing_file_path, processing_bytes): ...
        def report_end(self, processing_file_path, wrote_bytes): ...
        def report_warning(self, message): ...
        def report_postprocess(self): ...

        def report_update(self, decompressed_bytes):
            bar.update(int(decompressed_bytes))

    return Progress()


def _progress(archive: str, total: int | None = None) -> tqdm:
    return tqdm(desc=f"Unpacking {os.path.basename(archive)}", total=total, unit="B", unit_scale=True)


def _checked_parts(archive: str, name: str) -> list[str]:
    """The folders and the file name of an entry.

    Raises:
        ArchiveError: if the entry would be outside of the target.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or not parts or ".." in parts or ":" in parts[0] or "\0" in name:
        raise ArchiveError(f"{archive} is refused: the entry {name!r} would be outside of the target folder")
    return parts


def _check_growth(archive: str, total: int, limit: int) -> None:
    if total > limit:
        raise ArchiveError(
            f"{archive} is refused: {os.path.getsize(archive):,} bytes would unpack to more than {limit:,}. "
            "If it is to be trusted, unpack it yourself and give the folder"
        )


def _is_kept(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _KEPT_EXTENSIONS


def _stem(archive: str) -> str:
    name = os.path.basename(archive)
    suffix = max((s for s in ARCHIVE_SUFFIXES if name.lower().endswith(s)), key=len)
    return name[: -len(suffix)] or "archive"
