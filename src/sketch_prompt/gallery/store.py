"""Features of photos by the digest of their content, in memory or in files that survive a kill.

A photo that was renamed, copied or touched has the digest it had, so it is never embedded again. On disk the store is
a folder of blocks, each a safetensors file that is complete or absent and says which model it is of. A run that was
killed leaves the blocks it had finished, and the next one goes on from there. Every row has a checksum, which is
compared whenever the row is read: features that a disk has altered are never searched.
"""

import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sketch_prompt.atomic import atomic_write
from sketch_prompt.checksums import row_checksums

from .fingerprint import describe_differences

BLOCK_ROWS = 8192
FLUSH_SECONDS = 15.0
_FEW = 8  # one row in so many, or fewer, are read one by one
_SUFFIX = ".safetensors"
_DIGEST_BYTES = 32
_DIGEST = f"S{_DIGEST_BYTES}"
_TYPES = {"digests": "U8", "features": "F32"}


class DamagedFeaturesError(ValueError):
    """Features on disk are not those that were written."""

    def __init__(self, path: Path):
        super().__init__(
            f"{path} is damaged: features in it are not those that were written. Index the photos into the gallery "
            f"once more (sketch-prompt index PHOTOS -o {path.parent.parent}): only these are embedded again."
        )


class _Block(NamedTuple):
    digests: np.ndarray  # (n,) of bytes, empty ones for rows that are damaged
    features: np.ndarray | None  # (n, D), None for one that stays on disk
    path: Path | None


class FeatureStore:
    """Features (D,) float32 by content digest.

    Args:
        directory: where blocks are kept; None keeps them in memory.
        model: what `describe_model` says of the model, written into every block.
        flush_seconds: how much work may be lost when the process is killed.
    """

    def __init__(self, directory: Path | None, model: dict[str, Any], flush_seconds: float = FLUSH_SECONDS):
        self.directory = directory
        self.model = model
        self.flush_seconds = flush_seconds
        self.damaged: list[str] = []
        self.other_models: list[dict[str, Any]] = []
        self._blocks: list[_Block] = []
        self._damaged_rows: dict[Path, np.ndarray] = {}
        self._pending_since = 0.0
        self._pending: list[tuple[list[str], np.ndarray]] = []
        self._sorted: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def read_blocks(self, verify: bool = False) -> None:
        """Read the blocks in the folder; damaged ones are named in `damaged`, other models in `other_models`.

        Args:
            verify: also read all features, and forget those that are damaged, so that they are made again. Otherwise
                it is found out when they are read.
        """
        self._blocks, self._sorted, self.damaged, self.other_models = [], None, [], []
        for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
            try:
                with safe_open(path, "np") as file:
                    model = json.loads(file.metadata()["model"])
                    _check_layout(file)
                    digests = file.get_tensor("digests").view(_DIGEST).ravel().copy()
                    other = describe_differences(model, self.model)
                    if verify and not other:
                        self._damaged_rows[path] = np.flatnonzero(_damaged(file, np.arange(len(digests))))
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                self.damaged.append(f"{path}: {error}")
                continue
            if other:
                self.other_models.append(model)
                continue
            rows = self._damaged_rows.get(path, ())
            if len(rows):
                digests[rows] = b""
                self.damaged.append(f"{path}: {len(rows):,} of {len(digests):,} features are damaged")
            self._blocks.append(_Block(digests, None, path))

    @property
    def digests(self) -> set[str]:
        """Everything that is known."""
        parts = [block.digests for block in self._blocks]
        known = {digest.decode() for part in parts for digest in part}
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
        self._sorted = None

    def lookup(self, digests: Iterable[str]) -> np.ndarray:
        """Features (n, D) of these digests.

        Raises:
            KeyError: one is not known.
        """
        self.flush()
        wanted = np.array(list(digests), _DIGEST)
        blocks, rows = self._locate(wanted)
        features: np.ndarray | None = None
        for number in np.unique(blocks):
            here = blocks == number
            part = self._read(self._blocks[number], rows[here])
            if features is None:
                features = np.empty((len(wanted), part.shape[1]), np.float32)
            features[here] = part
        return np.empty((0, 0), np.float32) if features is None else features

    def lacking(self, digests: np.ndarray) -> np.ndarray:
        """Which of these digests (n,) are not known."""
        self.flush()
        known = [block.digests for block in self._blocks]
        return ~np.isin(digests.astype(_DIGEST), np.concatenate([np.empty(0, _DIGEST), *known]))

    def compact(self, digests: np.ndarray, directory: Path | None = None) -> None:
        """Keep only these digests (n,), in as few blocks as there can be, in `directory` from now on.

        The new blocks are written before the old ones are deleted, so a kill loses nothing.
        """
        self.flush()
        unique = list(dict.fromkeys(digests))
        old, old_directory = self._blocks, self.directory
        self.directory = directory if directory is not None else self.directory
        new = []
        for start in range(0, len(unique), BLOCK_ROWS):
            part = unique[start : start + BLOCK_ROWS]
            new.append(self._make_block(np.array(part, _DIGEST), self.lookup(part)))
        self._blocks, self._sorted, self._damaged_rows = new, None, {}
        if old_directory == self.directory:
            for block in old:
                if block.path is not None:
                    block.path.unlink(missing_ok=True)

    def delete_others(self) -> None:
        """Delete all blocks in the folder that are not in use: damaged, superseded, or another model's."""
        used = {block.path for block in self._blocks}
        for path in self.directory.glob(f"*{_SUFFIX}"):
            if path not in used:
                path.unlink(missing_ok=True)

    def is_scattered(self, n_photos: int) -> bool:
        """Whether `compact` is worthwhile: half of the features are not used, some are damaged, or blocks small."""
        if any(len(rows) for rows in self._damaged_rows.values()):
            return True
        rows = sum(len(block.digests) for block in self._blocks)
        return rows > 2 * n_photos or len(self._blocks) > 2 * (rows // BLOCK_ROWS + 1)

    def _make_block(self, digests: np.ndarray, features: np.ndarray) -> _Block:
        if self.directory is None:
            return _Block(digests, features, None)
        path = self.directory / f"{uuid.uuid4().hex}{_SUFFIX}"
        names = digests.view(np.uint8).reshape(len(digests), -1)
        tensors = {"digests": names, "features": features, "checksums": row_checksums(names, features)}
        with atomic_write(path, durable=True) as temporary:
            save_file(tensors, temporary, metadata={"model": json.dumps(self.model)})
            temporary.chmod(0o644)  # safetensors keeps what it writes to its owner
        return _Block(digests, None, path)

    def _read(self, block: _Block, rows: np.ndarray) -> np.ndarray:
        """Features (n, D) of some rows of a block."""
        if block.features is not None:
            return block.features[rows]
        try:
            with safe_open(block.path, "np") as file:
                _check_layout(file)
                if _damaged(file, rows).any():
                    raise DamagedFeaturesError(block.path)
                return _rows(file, "features", rows)
        except (SafetensorError, OSError) as error:
            raise DamagedFeaturesError(block.path) from error

    def _locate(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the block and row in it of every digest (n,)."""
        if self._sorted is None:
            sizes = [len(block.digests) for block in self._blocks]
            digests = np.concatenate([np.empty(0, _DIGEST), *(block.digests for block in self._blocks)])
            order = np.argsort(digests, kind="stable")
            block = np.repeat(np.arange(len(sizes)), sizes)[order]
            row = np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)])[order]
            self._sorted = digests[order], block, row.astype(np.int64)
        digests, blocks, rows = self._sorted
        place = np.minimum(np.searchsorted(digests, wanted), max(len(digests) - 1, 0))
        if len(wanted) and (not len(digests) or (digests[place] != wanted).any()):
            raise KeyError("features are missing")
        return blocks[place], rows[place]


def _rows(file, name: str, rows: np.ndarray) -> np.ndarray:
    """Some rows of a tensor (n, ...); a few are read one by one, without the rest."""
    tensor = file.get_slice(name)
    if len(rows) * _FEW < tensor.get_shape()[0]:
        return np.concatenate([tensor[row : row + 1] for row in map(int, rows)])
    return file.get_tensor(name)[rows]


def _check_layout(file) -> None:
    """Raise ValueError unless a block's tensors are of the types and shapes that are written."""
    types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    if types not in ({**_TYPES, "checksums": "U64"}, _TYPES):  # blocks of before had no checksums
        raise ValueError(f"it holds {types}, which are not features")
    (rows, length), (n, width) = (file.get_slice(name).get_shape() for name in ("digests", "features"))
    if rows != n or length != _DIGEST_BYTES or width == 0:
        raise ValueError(f"it holds {n} features of {width} numbers for {rows} photos")


def _damaged(file, rows: np.ndarray) -> np.ndarray:
    """Which of some rows (n,) are not as they were written."""
    features = _rows(file, "features", rows)
    damaged = ~np.isfinite(features).all(axis=1)
    if "checksums" in file.keys():  # noqa: SIM118 - no mapping
        digests, written = _rows(file, "digests", rows), _rows(file, "checksums", rows)
        damaged |= row_checksums(digests, features) != written.ravel()
    return damaged


class StoredVectors:
    """Features of photos as rows that are read when they are asked for.

    Args:
        store: where they are.
        digests: (N,) of str: the digest of every row.
    """

    def __init__(self, store: FeatureStore, digests: np.ndarray):
        self.store = store
        self.digests = digests

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, D) float32"""
        return self.store.lookup(self.digests[rows])
