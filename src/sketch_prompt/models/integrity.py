"""Checksums by which a checkpoint detects changes by a disk, a copy or a transfer.

The metadata of a safetensors file has checksums of its tensors and of the text files beside it. They do not protect
against people, who can change the checksums too.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_TENSORS, _FILES = "tensor_checksums", "file_checksums"


def checksum_metadata(tensors: Mapping[str, Tensor], files: Iterable[Path] = ()) -> dict[str, str]:
    """The metadata with checksums for a safetensors file.

    Args:
        tensors: Tensors of the file, or of all shards of a checkpoint.
        files: Files in the same folder to include.
    """
    sums = {_TENSORS: {name: _tensor_checksum(value) for name, value in tensors.items()}}
    sums[_FILES] = {path.name: _digest(path.read_bytes()) for path in sorted(files)}
    return {name: json.dumps(values, sort_keys=True) for name, values in sums.items() if values}


def check_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> None:
    """Raise a ValueError with the names of tensors that differ from the checksums in the metadata."""
    expected = _read(path, metadata, _TENSORS)
    altered = [
        name for name, value in tensors.items() if expected and expected.get(name) != _tensor_checksum(value)
    ]
    if altered:
        names = ", ".join(altered[:3]) + (", ..." if len(altered) > 3 else "")
        raise ValueError(
            f"{path} is damaged: it holds another {names} than was written; fetch or save it again"
        )


def check_files(path: Path, metadata: Mapping[str, str] | None) -> None:
    """Warn about text files that have changed since the safetensors file beside them was written.

    People may edit them, so this is not an error.
    """
    for name, checksum in _read(path, metadata, _FILES).items():
        beside = path.with_name(Path(name).name)
        if beside.is_file() and _digest(beside.read_bytes()) != checksum:
            logger.warning(
                "%s is not what was saved with the weights. If you did not edit it, fetch it again", beside
            )


def _read(path: Path, metadata: Mapping[str, str] | None, key: str) -> dict[str, str]:
    try:
        values = json.loads((metadata or {}).get(key, "{}"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: its {key} cannot be read; fetch or save it again")
    return values


def _tensor_checksum(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return _digest(flat.data, f"{tensor.dtype} {tuple(tensor.shape)} ".encode())


def _digest(content, before: bytes = b"") -> str:
    digest = hashlib.blake2b(before, digest_size=8)
    digest.update(content)
    return digest.hexdigest()
