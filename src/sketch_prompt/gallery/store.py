"""Features of photos by the digest of their content, in memory or in files.

A photo that was renamed, copied or touched keeps its digest, so it is not embedded again. On the disk, a store is a
folder of blocks. Each block is a safetensors file that is either complete or absent, and names its model. If a run is
killed, the next one continues after the last complete block. Each row has a checksum that is verified whenever the row
is read, so features that were altered on the disk are never searched. Rows are read without keeping a file mapped or
open, so a search in millions of photos needs no more memory than its index.
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
_KEY_BYTES = 16  # the 32 hexadecimal letters of a digest as bytes
_DIGEST, _KEY = f"S{2 * _KEY_BYTES}", f"S{_KEY_BYTES}"
_HEXADECIMAL = np.full(256, 255, np.uint8)
_HEXADECIMAL[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGESTS_AT_ONCE = 2**18
SUFFIX = ".safetensors"
_FEW = 8  # if at most one row in eight is read, the rows are read one by one
_OPEN_FILES = 128  # at the same time
_TYPES = {"digests": "U8", "features": "F32"}
_NUMPY = {"digests": np.dtype(np.uint8), "features": np.dtype("<f4"), "checksums": np.dtype("<u8")}


class DamagedFeaturesError(ValueError):
    """Features on the disk differ from those that were written."""

    def __init__(self, path: Path):
        super().__init__(
            f"{path} is damaged: some features in it have changed. Index the photos into the gallery again "
            f"(sketch-prompt index PHOTOS -o {path.parent.parent}). Only the damaged features are embedded again."
        )


class _TensorLayout(NamedTuple):
    start: int  # of the first row in the file
    width: int  # numbers in a row
    length: int  # bytes of a row


class BlockFile:
    """A file of features. The features stay on the disk.

    Args:
        path: the file.

    Attributes:
        model: the description of the model (`describe_model`) that made the features.

    Raises:
        ValueError, SafetensorError, OSError, KeyError, TypeError: the file is not a block.
    """

    def __init__(self, path: Path):
        self.path = path
        with safe_open(path, "np") as file:
            self.model: dict[str, Any] = json.loads(file.metadata()["model"])
            self._rows = _check_layout(file)
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        self._layout = {}
        for name in header.keys() & _NUMPY.keys():
            width = 1 if name == "checksums" else header[name]["shape"][-1]
            start = 8 + size + header[name]["data_offsets"][0]
            self._layout[name] = _TensorLayout(start, width, width * _NUMPY[name].itemsize)

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
            temporary.chmod(0o644)  # files of safetensors are readable by their owner only
        return cls(path)

    def __len__(self) -> int:
        return self._rows

    def digests(self) -> np.ndarray:
        """(n,) of 32 letters each."""
        with self.open(()) as file:
            return self._read(file, np.arange(len(self)), ["digests"])["digests"].view(_DIGEST).ravel()

    def damaged(self) -> np.ndarray:
        """Numbers of the damaged rows."""
        with self.open(()) as file:
            return np.flatnonzero(_are_damaged(self.tensors(file, np.arange(len(self)))))

    def open(self, rows: Sequence[int]) -> BinaryIO:
        """Open the file. A few rows are announced to the system, so that the disk reads them in parallel."""
        file = self.path.open("rb", buffering=0)
        if hasattr(os, "posix_fadvise") and len(rows) * _FEW < len(self):
            for tensor in self._layout.values():
                for row in rows:
                    start = tensor.start + int(row) * tensor.length
                    os.posix_fadvise(file.fileno(), start, tensor.length, os.POSIX_FADV_WILLNEED)
        return file

    def tensors(self, file: BinaryIO, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Digests (k, 32), features (k, D) and checksums (k, 1) of some rows."""
        tensors = self._read(file, rows, self._layout)
        if "checksums" not in tensors:  # blocks of earlier versions have none
            tensors["checksums"] = row_checksums(tensors["digests"], tensors["features"])[:, None]
        return tensors

    def _read(self, file: BinaryIO, rows: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Some rows of some tensors. Few rows are read one by one, many in one piece with the rows between them."""
        few = len(rows) * _FEW < len(self)
        first = int(rows.min(initial=len(self)))
        count, found = int(rows.max(initial=first - 1)) - first + 1, {}
        for name in names:
            (start, width, length), kind = self._layout[name], _NUMPY[name]
            if few:
                parts = [_read_at(file, start + int(row) * length, length) for row in rows]
                found[name] = np.frombuffer(bytearray().join(parts), kind).reshape(len(rows), width)
            else:
                content = _read_at(file, start + first * length, count * length)
                between = np.frombuffer(content, kind).reshape(count, width)
                found[name] = between if (np.diff(rows) == 1).all() else between[rows - first]
        return found


def read_rows(wanted: Sequence[tuple[BlockFile, np.ndarray]]) -> np.ndarray:
    """Features (n, D) of some rows of several files.

    Raises:
        DamagedFeaturesError: a row is damaged, or a file does not exist any more.
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
    """A boolean mask of the rows that differ from their checksums."""
    altered = row_checksums(tensors["digests"], tensors["features"]) != tensors["checksums"][:, 0]
    return altered | ~np.isfinite(tensors["features"]).all(axis=1)


def _read_at(file, start: int, length: int) -> bytes:
    file.seek(start)
    content = file.read(length)
    if len(content) != length:
        raise OSError(errno.EIO, "the file is too short", file.name)
    return content


def _check_layout(file) -> int:
    """Check the types and shapes of a block's tensors and return the number of rows; ValueError if they are wrong."""
    types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    if types not in ({**_TYPES, "checksums": "U64"}, _TYPES):  # blocks of earlier versions have no checksums
        raise ValueError(f"its tensors {types} are not features")
    shapes = {name: file.get_slice(name).get_shape() for name in types}
    (rows, length), (n, width) = shapes["digests"], shapes["features"]
    if rows != n or length != 2 * _KEY_BYTES or width == 0:
        raise ValueError(f"it has {n} features of {width} numbers for {rows} photos")
    if int(np.prod(shapes.get("checksums", [rows]))) != rows:
        raise ValueError(f"it has checksums of the shape {shapes['checksums']} for {rows} photos")
    return rows


class _MemoryBlock:
    """Features (n, D) of digests (n,) of 32 letters in memory, with the interface of `BlockFile`."""

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
        directory: folder of the blocks. By default they are in memory.
        model: the description of the model (`describe_model`), which is written into each block.
        flush_seconds: time after which new features are written, and may no longer be lost if the process is killed.

    Attributes:
        damaged: a line for each damaged file.
        other_models: the models of blocks that were made with another model.
        changes: how often blocks were added or removed.
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
        """Find the blocks in the folder. Damaged ones are listed in `damaged`, other models in `other_models`.

        Args:
            verify: also read all features and drop the damaged ones, so that they are made again. Otherwise damage is
                found when features are read.
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
        """All digests that have features."""
        known = {key.ljust(_KEY_BYTES, b"\0").hex() for key in self._all_places()[0]}
        return known.union(*(digests for digests, _ in self._pending))

    def append(self, digests: list[str], features: np.ndarray) -> None:
        """Add features (n, D). They are on the disk after `flush`, which is also called after `flush_seconds`."""
        if not digests:
            return
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append((digests, features.astype(np.float32, copy=False)))
        rows = sum(len(digests) for digests, _ in self._pending)
        if rows >= BLOCK_ROWS or time.monotonic() - self._pending_since > self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write a block with the features that were appended."""
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
            KeyError: a digest has no features.
        """
        return self.read(self.places(np.array(list(digests), _DIGEST)))

    def places(self, digests: np.ndarray) -> np.ndarray:
        """Where the features of digests (n,) are: row numbers, counted through all blocks.

        They are valid until `changes` increases.

        Returns:
            (n,) uint32.

        Raises:
            KeyError: a digest has no features.
        """
        found = np.empty(len(digests), np.uint32)
        for part, index in self._find(digests):
            if (index < 0).any():
                raise KeyError("features are missing")
            found[part] = self._all_places()[1][index]
        return found

    def read(self, places: np.ndarray) -> np.ndarray:
        """Features (n, D) at some `places`.

        Raises:
            DamagedFeaturesError: some features are damaged.
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
        """A boolean mask of the digests (n,) that have no features."""
        lacking = np.empty(len(digests), bool)
        for part, index in self._find(digests):
            lacking[part] = index < 0
        return lacking

    def vectors(self, digests: np.ndarray, places: np.ndarray | None = None) -> "StoredVectors":
        """The features of these digests (n,) as rows. The same array gets the same object.

        Args:
            digests: the digest of each row.
            places: (n,) their `places`, if they are known.
        """
        if self._vectors is None or self._vectors.digests is not digests:
            self._vectors = StoredVectors(self, digests, places)
        return self._vectors

    def layout(self) -> list[tuple[str, int]]:
        """Name and number of rows of each block, in the order of the places."""
        return [(block.path.name, len(block)) for block in self._blocks]

    def arrange(self, layout: Iterable[tuple[str, int]], places: np.ndarray) -> bool:
        """Put the blocks into the order for which some places (n,) are valid.

        Returns:
            Whether the places are valid now. They are not if a block is missing, has another length, or a place is
            beyond the last row.
        """
        there = {block.path.name: block for block in self._blocks}
        blocks = [there.pop(name, None) for name, _ in layout]
        if any(block is None or len(block) != rows for block, (_, rows) in zip(blocks, layout)):
            return False
        self._blocks = [*blocks, *there.values()]
        self._forget_places()
        return int(places.max(initial=0)) < self._block_starts()[-1]

    def release(self) -> None:
        """Free the directory of all digests (20 bytes for each photo). It is made again when it is needed."""
        self._directory = None

    def compact(self, digests: np.ndarray, directory: Path | None = None) -> None:
        """Keep only the features of these digests (n,), in as few blocks as possible.

        The new blocks are in `directory`, if it is given. The files of the old blocks stay until `delete_others`, so
        nothing is lost if the process is killed.
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
        """Delete all blocks in the folder that are not in use: damaged, replaced, or of another model."""
        used = {block.path for block in self._blocks}
        for path in self.directory.glob(f"*{SUFFIX}"):
            if path not in used:
                path.unlink(missing_ok=True)

    def is_scattered(self, n_photos: int) -> bool:
        """Whether to `compact`: half of the features are unused, some are damaged, or there are many small blocks."""
        if any(len(rows) for rows in self._damaged_rows.values()):
            return True
        rows = sum(map(len, self._blocks))
        return rows > 2 * n_photos or len(self._blocks) > 2 * (rows // BLOCK_ROWS + 1)

    def _make_block(self, digests: np.ndarray, features: np.ndarray) -> BlockFile | _MemoryBlock:
        if self.directory is None:
            return _MemoryBlock(digests, features)
        return BlockFile.write(self.directory, digests, features, self.model)

    def _all_places(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted keys (n,) of 16 bytes, and places (n,) uint32, of all digests."""
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

    def _find(self, digests: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Parts of digests (n,), each with the indices of its digests in the sorted keys, or -1."""
        self.flush()
        keys = self._all_places()[0]
        for start in range(0, len(digests), _DIGESTS_AT_ONCE):
            part = slice(start, start + _DIGESTS_AT_ONCE)
            yield part, _find(keys, digests[part])

    def _block_starts(self) -> np.ndarray:
        """(blocks + 1,) the number of rows before each block, and of all rows."""
        if self._starts is None:
            self._starts = np.cumsum([0, *map(len, self._blocks)])
        return self._starts

    def _forget_places(self) -> None:
        self._directory, self._starts = None, None
        self.changes += 1


def _find(keys: np.ndarray, digests: np.ndarray) -> np.ndarray:
    if not len(keys):
        return np.full(len(digests), -1)
    wanted, valid = _keys(digests.astype(_DIGEST))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(valid & (keys[place] == wanted), place, -1)


def _keys(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digests (n,) of 32 letters as 16 bytes, and whether they are valid: the disk may have altered them."""
    numbers = _HEXADECIMAL[np.ascontiguousarray(digests).view(np.uint8).reshape(len(digests), 2 * _KEY_BYTES)]
    keys = (numbers[:, ::2] << 4) | (numbers[:, 1::2] & 15)
    return keys.view(_KEY).ravel(), (numbers < 16).all(axis=1)


class StoredVectors:
    """Features of photos as rows that are read when they are used.

    Their places are looked up once, and take four bytes for each photo.

    Args:
        store: the store that has them.
        digests: (N,) of str, the digest of each row.
        places: (N,) uint32, if they are known; see `FeatureStore.places`.
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
        """(N,) uint32, the places of the rows; see `FeatureStore.places`."""
        self.store.flush()
        if self._found is None or self._found[0] != self.store.changes:
            self._found = self.store.changes, self.store.places(self.digests)
            self.store.release()
        return self._found[1]
