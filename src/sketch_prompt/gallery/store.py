"""Features of photos by the digest of their content, in memory or in files that survive a kill.

A photo that was renamed, copied or touched has the digest it had, so it is never embedded again. On disk the store is
a folder of blocks, each a safetensors file that is complete or absent and says which model it is of. A run that was
killed leaves the blocks it had finished, and the next one goes on from there. Every row has a checksum, which is
compared whenever the row is read: features that a disk has altered are never searched. Rows are read where they lie,
without keeping a file mapped or open: the memory of a search in millions of photos stays what the index takes.
"""

import errno
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sketch_prompt.atomic import atomic_write
from sketch_prompt.checksums import row_checksums

from .fingerprint import describe_differences

BLOCK_ROWS = 8192
FLUSH_SECONDS = 15.0
_KEY_BYTES = 16  # the 32 letters of a digest in half the memory
_DIGEST, _KEY = f"S{2 * _KEY_BYTES}", f"S{_KEY_BYTES}"
_HEXADECIMAL = np.full(256, 255, np.uint8)
_HEXADECIMAL[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGESTS_AT_ONCE = 2**18
SUFFIX = ".safetensors"
_FEW = 8  # one row in so many, or fewer, are read one by one
_OPEN_FILES = 128  # at a time
_DIGEST_BYTES = 32
_TYPES = {"digests": "U8", "features": "F32"}
_NUMPY = {"digests": np.dtype(np.uint8), "features": np.dtype("<f4"), "checksums": np.dtype("<u8")}


class DamagedFeaturesError(ValueError):
    """Features on disk are not those that were written."""

    def __init__(self, path: Path):
        super().__init__(
            f"{path} is damaged: features in it are not those that were written. Index the photos into the gallery "
            f"once more (sketch-prompt index PHOTOS -o {path.parent.parent}): only these are embedded again."
        )


class _Place(NamedTuple):
    start: int
    width: int  # numbers in a row
    length: int  # its bytes


class BlockFile:
    """A file of features, of which little more than its name is held.

    Args:
        path: the file.

    Attributes:
        model: what `describe_model` said of the model when it was written.

    Raises:
        ValueError, SafetensorError, OSError, KeyError, TypeError: it is none.
    """

    def __init__(self, path: Path):
        self.path = path
        with safe_open(path, "np") as file:
            self.model: dict[str, Any] = json.loads(file.metadata()["model"])
            self._rows = _check_layout(file)
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        self._places = {}
        for name in header.keys() & _NUMPY.keys():
            width = 1 if name == "checksums" else header[name]["shape"][-1]
            start = 8 + size + header[name]["data_offsets"][0]
            self._places[name] = _Place(start, width, width * _NUMPY[name].itemsize)

    @classmethod
    def write(
        cls, folder: Path, digests: np.ndarray, features: np.ndarray, model: dict[str, Any]
    ) -> "BlockFile":
        """Write digests (n,) of 32 letters and features (n, D) into a new file of a folder."""
        path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        names = digests.view(np.uint8).reshape(len(digests), -1)
        tensors = {"digests": names, "features": features, "checksums": row_checksums(names, features)}
        with atomic_write(path, durable=True) as temporary:
            save_file(tensors, temporary, metadata={"model": json.dumps(model)})
            temporary.chmod(0o644)  # safetensors keeps what it writes to its owner
        return cls(path)

    def __len__(self) -> int:
        return self._rows

    def digests(self) -> np.ndarray:
        """(n,) of 32 letters each."""
        with self.open(()) as file:
            return self._read(file, np.arange(len(self)), ["digests"])["digests"].view(_DIGEST).ravel()

    def damaged(self) -> np.ndarray:
        """Numbers of the rows that are not as they were written."""
        with self.open(()) as file:
            return np.flatnonzero(_are_damaged(self.tensors(file, np.arange(len(self)))))

    def open(self, rows: Sequence[int]) -> BinaryIO:
        """The file; the disk is told which few rows will be read, so that it looks for all of them at once."""
        file = self.path.open("rb", buffering=0)
        if hasattr(os, "posix_fadvise") and len(rows) * _FEW < len(self):
            for place in self._places.values():
                for row in rows:
                    start = place.start + int(row) * place.length
                    os.posix_fadvise(file.fileno(), start, place.length, os.POSIX_FADV_WILLNEED)
        return file

    def tensors(self, file: BinaryIO, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Digests (k, 32), features (k, D) and checksums (k, 1) of some rows."""
        tensors = self._read(file, rows, self._places)
        if "checksums" not in tensors:  # blocks of before had none
            tensors["checksums"] = row_checksums(tensors["digests"], tensors["features"])[:, None]
        return tensors

    def _read(self, file: BinaryIO, rows: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Some rows of some tensors; a few are read one by one, without the rest."""
        few = len(rows) * _FEW < len(self)
        first = int(rows.min(initial=len(self)))
        count, found = int(rows.max(initial=first - 1)) - first + 1, {}
        for name in names:
            (start, width, length), kind = self._places[name], _NUMPY[name]
            if few:
                parts = [_at(file, start + int(row) * length, length) for row in rows]
                found[name] = np.frombuffer(bytearray().join(parts), kind).reshape(len(rows), width)
            else:
                content = _at(file, start + first * length, count * length)
                between = np.frombuffer(content, kind).reshape(count, width)
                found[name] = between if (np.diff(rows) == 1).all() else between[rows - first]
        return found


def read_rows(wanted: Sequence[tuple[BlockFile, np.ndarray]]) -> np.ndarray:
    """Features (n, D) of some rows of each of several files.

    Raises:
        DamagedFeaturesError: a row is not what was written, or a file is gone.
    """
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(block.open(rows)) for block, rows in wanted]
            found = [block.tensors(file, rows) for (block, rows), file in zip(wanted, files)]
        except OSError as error:
            raise DamagedFeaturesError(Path(error.filename or wanted[0][0].path)) from error
    tensors = found[0]
    if len(found) > 1:
        tensors = {name: np.concatenate([part[name] for part in found]) for name in _NUMPY}
    damaged = np.flatnonzero(_are_damaged(tensors))
    if len(damaged):
        ends = np.cumsum([len(rows) for _, rows in wanted])
        raise DamagedFeaturesError(wanted[np.searchsorted(ends, damaged[0], "right")][0].path)
    return tensors["features"]


def _are_damaged(tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Which rows are not as they were written."""
    altered = row_checksums(tensors["digests"], tensors["features"]) != tensors["checksums"][:, 0]
    return altered | ~np.isfinite(tensors["features"]).all(axis=1)


def _at(file, start: int, length: int) -> bytes:
    file.seek(start)
    content = file.read(length)
    if len(content) != length:
        raise OSError(errno.EIO, "it ends early", file.name)
    return content


def _check_layout(file) -> int:
    """How many rows a file has; ValueError unless its tensors are of the types and shapes that are written."""
    types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    if types not in ({**_TYPES, "checksums": "U64"}, _TYPES):  # blocks of before had no checksums
        raise ValueError(f"it holds {types}, which are not features")
    shapes = {name: file.get_slice(name).get_shape() for name in types}
    (rows, length), (n, width) = shapes["digests"], shapes["features"]
    if rows != n or length != _DIGEST_BYTES or width == 0:
        raise ValueError(f"it holds {n} features of {width} numbers for {rows} photos")
    if int(np.prod(shapes.get("checksums", [rows]))) != rows:
        raise ValueError(f"it holds checksums of the shape {shapes['checksums']} for {rows} photos")
    return rows


class _MemoryBlock:
    """Features (n, D) of digests (n,) of 32 letters that no file has, read as those of a `BlockFile`."""

    path = None

    def __init__(self, digests: np.ndarray, rows: np.ndarray):
        self._digests, self._rows = digests, rows

    def __len__(self) -> int:
        return len(self._digests)

    def digests(self) -> np.ndarray:
        return self._digests

    def features(self, rows: np.ndarray) -> np.ndarray:
        return self._rows[rows]


class FeatureStore:
    """Features (D,) float32 by content digest.

    Args:
        directory: where blocks are kept; None keeps them in memory.
        model: what `describe_model` says of the model, written into every block.
        flush_seconds: how much work may be lost when the process is killed.

    Attributes:
        damaged: what is wrong with files that were read, a line each.
        other_models: the models of blocks that are not this model's.
        changes: how often blocks have come and gone.
    """

    def __init__(self, directory: Path | None, model: dict[str, Any], flush_seconds: float = FLUSH_SECONDS):
        self.directory = directory
        self.model = model
        self.flush_seconds = flush_seconds
        self.damaged: list[str] = []
        self.other_models: list[dict[str, Any]] = []
        self.changes = 0
        self._blocks: list[BlockFile | _MemoryBlock] = []
        self._damaged_rows: dict[Path, np.ndarray] = {}
        self._pending_since = 0.0
        self._pending: list[tuple[list[str], np.ndarray]] = []
        self._directory: tuple[np.ndarray, np.ndarray] | None = None
        self._starts: np.ndarray | None = None
        self._vectors: StoredVectors | None = None

    def read_blocks(self, verify: bool = False) -> None:
        """Read the blocks in the folder; damaged ones are named in `damaged`, other models in `other_models`.

        Args:
            verify: also read all features, and forget those that are damaged, so that they are made again. Otherwise
                it is found out when they are read.
        """
        self._blocks, self.damaged, self.other_models = [], [], []
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            try:
                block = BlockFile(path)
                other = describe_differences(block.model, self.model)
                if verify and not other:
                    self._damaged_rows[path] = block.damaged()
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                self.damaged.append(f"{path}: {error}")
                continue
            if other:
                self.other_models.append(block.model)
                continue
            if lost := len(self._damaged_rows.get(path, ())):
                self.damaged.append(f"{path}: {lost:,} of {len(block):,} features are damaged")
            self._blocks.append(block)
        self._forget_places()

    @property
    def digests(self) -> set[str]:
        """Everything that is known."""
        known = {key.ljust(_KEY_BYTES, b"\0").hex() for key in self._all_places()[0]}
        return known.union(*(digests for digests, _ in self._pending))

    def append(self, digests: list[str], features: np.ndarray) -> None:
        """Add features (n, D). On disk they are after `flush`, which happens by itself every now and then."""
        if not digests:
            return
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append((digests, features.astype(np.float32, copy=False)))
        rows = sum(len(digests) for digests, _ in self._pending)
        if rows >= BLOCK_ROWS or time.monotonic() - self._pending_since > self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Make a block of what was appended."""
        if not self._pending:
            return
        digests = np.array([digest for digests, _ in self._pending for digest in digests], _DIGEST)
        features = np.concatenate([features for _, features in self._pending])
        self._blocks.append(self._make_block(digests, features))
        self._pending = []
        self._forget_places()

    def lookup(self, digests: Iterable[str]) -> np.ndarray:
        """Features (n, D) of these digests.

        Raises:
            KeyError: one is not known.
        """
        return self.read(self.places(np.array(list(digests), _DIGEST)))

    def places(self, digests: np.ndarray) -> np.ndarray:
        """Where the features of digests (n,) are: the number of their row, counted from the first block on.

        They hold until `changes` grows.

        Returns:
            (n,) uint32.

        Raises:
            KeyError: one is not known.
        """
        self.flush()
        keys, places = self._all_places()
        found = np.empty(len(digests), np.uint32)
        for part in _parts(len(digests)):
            place = _find(keys, digests[part])
            if (place < 0).any():
                raise KeyError("features are missing")
            found[part] = places[place]
        return found

    def read(self, places: np.ndarray) -> np.ndarray:
        """Features (n, D) at some `places`.

        Raises:
            DamagedFeaturesError: some are not what was written.
        """
        starts = self._block_starts()
        blocks = np.searchsorted(starts, places, side="right") - 1
        rows = places - starts[blocks]
        order = np.argsort(blocks, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1) if len(order) else []
        features: np.ndarray | None = None
        for start in range(0, len(groups), _OPEN_FILES):
            some = groups[start : start + _OPEN_FILES]
            wanted = [(self._blocks[blocks[group[0]]], rows[group]) for group in some]
            if wanted[0][0].path is None:
                found = np.concatenate([block.features(rows) for block, rows in wanted])
            else:
                found = read_rows(wanted)
            if features is None:
                features = np.empty((len(places), found.shape[1]), np.float32)
            features[np.concatenate(some)] = found
        return np.empty((0, 0), np.float32) if features is None else features

    def lacking(self, digests: np.ndarray) -> np.ndarray:
        """Which of these digests (n,) are not known."""
        self.flush()
        keys, lacking = self._all_places()[0], np.empty(len(digests), bool)
        for part in _parts(len(digests)):
            lacking[part] = _find(keys, digests[part]) < 0
        return lacking

    def vectors(self, digests: np.ndarray, places: np.ndarray | None = None) -> "StoredVectors":
        """The features of these digests (n,) as rows; the same object for the same array.

        Args:
            digests: of the rows.
            places: (n,) where they are, if that is known.
        """
        if self._vectors is None or self._vectors.digests is not digests:
            self._vectors = StoredVectors(self, digests, places)
        return self._vectors

    def layout(self) -> list[tuple[str, int]]:
        """Name and rows of every block, in the order of the places."""
        return [(block.path.name, len(block)) for block in self._blocks]

    def arrange(self, layout: Iterable[tuple[str, int]], places: np.ndarray) -> bool:
        """Put the blocks into the order in which places (n,) were counted.

        Returns:
            Whether that can be done: all blocks are there, as long as they were, and no place is beyond them.
        """
        there = {block.path.name: block for block in self._blocks}
        blocks = [there.pop(name, None) for name, _ in layout]
        if any(block is None or len(block) != rows for block, (_, rows) in zip(blocks, layout)):
            return False
        self._blocks = [*blocks, *there.values()]
        self._forget_places()
        return int(places.max(initial=0)) < self._block_starts()[-1]

    def release(self) -> None:
        """Forget where digests are until somebody asks again: 20 bytes a photo."""
        self._directory = None

    def compact(self, digests: np.ndarray, directory: Path | None = None) -> None:
        """Keep only these digests (n,), in as few blocks as there can be, in `directory` from now on.

        The files of the old blocks stay until `delete_others`, so a kill loses nothing.
        """
        self.flush()
        unique = list(dict.fromkeys(digests))
        self.directory = directory if directory is not None else self.directory
        new = []
        for start in range(0, len(unique), BLOCK_ROWS):
            part = unique[start : start + BLOCK_ROWS]
            new.append(self._make_block(np.array(part, _DIGEST), self.lookup(part)))
        self._blocks, self._damaged_rows = new, {}
        self._forget_places()

    def delete_others(self) -> None:
        """Delete all blocks in the folder that are not in use: damaged, superseded, or another model's."""
        used = {block.path for block in self._blocks}
        for path in self.directory.glob(f"*{SUFFIX}"):
            if path not in used:
                path.unlink(missing_ok=True)

    def is_scattered(self, n_photos: int) -> bool:
        """Whether `compact` is worthwhile: half of the features are not used, some are damaged, or blocks small."""
        if any(len(rows) for rows in self._damaged_rows.values()):
            return True
        rows = sum(map(len, self._blocks))
        return rows > 2 * n_photos or len(self._blocks) > 2 * (rows // BLOCK_ROWS + 1)

    def _make_block(self, digests: np.ndarray, features: np.ndarray) -> BlockFile | _MemoryBlock:
        if self.directory is None:
            return _MemoryBlock(digests, features)
        return BlockFile.write(self.directory, digests, features, self.model)

    def _all_places(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys (n,) of 16 bytes, in their order, and places (n,) uint32 of all digests."""
        if self._directory is None:
            keys, places = [np.empty(0, _KEY)], [np.empty(0, np.uint32)]
            for start, block in zip(self._block_starts(), self._blocks):
                found, valid = _keys(block.digests())
                valid[self._damaged_rows.get(block.path, np.empty(0, np.int64))] = False
                intact = np.flatnonzero(valid)
                keys.append(found[intact])
                places.append((start + intact).astype(np.uint32))
            joined = np.concatenate(keys)
            del keys
            order = np.argsort(joined, kind="stable")
            self._directory = joined[order], np.concatenate(places)[order]
        return self._directory

    def _block_starts(self) -> np.ndarray:
        """(blocks + 1,) rows before each block, and in all."""
        if self._starts is None:
            self._starts = np.cumsum([0, *map(len, self._blocks)])
        return self._starts

    def _forget_places(self) -> None:
        self._directory, self._starts = None, None
        self.changes += 1


def _parts(size: int) -> Iterator[slice]:
    return (slice(start, start + _DIGESTS_AT_ONCE) for start in range(0, size, _DIGESTS_AT_ONCE))


def _find(keys: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """The place (n,) of every digest in sorted keys; -1 where it is not."""
    if not len(keys):
        return np.full(len(digests), -1)
    wanted, valid = _keys(digests.astype(_DIGEST))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(valid & (keys[place] == wanted), place, -1)


def _keys(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digests (n,) of 32 letters as 16 bytes, and whether they are digests: a disk may have altered them."""
    numbers = _HEXADECIMAL[np.ascontiguousarray(digests).view(np.uint8).reshape(len(digests), 2 * _KEY_BYTES)]
    keys = (numbers[:, ::2] << 4) | (numbers[:, 1::2] & 15)
    return keys.view(_KEY).ravel(), (numbers < 16).all(axis=1)


class StoredVectors:
    """Features of photos as rows that are read when they are asked for.

    Where they are is looked up once, and takes four bytes a photo.

    Args:
        store: where they are.
        digests: (N,) of str: the digest of every row.
        places: (N,) uint32, where that is known; see `FeatureStore.places`.
    """

    def __init__(self, store: FeatureStore, digests: np.ndarray, places: np.ndarray | None = None):
        self.store = store
        self.digests = digests
        self._found = None if places is None else (store.changes, places)

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, D) float32"""
        return self.store.read(self.places()[rows])

    def places(self) -> np.ndarray:
        """(N,) uint32: where they are."""
        self.store.flush()
        if self._found is None or self._found[0] != self.store.changes:
            self._found = self.store.changes, self.store.places(self.digests)
            self.store.release()
        return self._found[1]
