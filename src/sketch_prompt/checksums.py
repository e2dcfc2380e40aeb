"""Checksums of files and rows, to detect changes by a disk, a copy or a transfer; and samples of weights.

They do not protect against people, who can change the checksums too.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_WORD = 8


def row_checksums(*columns: np.ndarray) -> np.ndarray:
    """A checksum (n,) uint64 of each row of some arrays (n, ...) side by side.

    It is the sum of the row's 64-bit words, each multiplied by its own odd number, modulo 2^64. A single changed bit
    always changes it, and several bits with a probability of about 1 - 2^-63, at the speed of the memory.
    """
    parts = [np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1) for column in columns]
    if any(part.shape[1] % _WORD for part in parts):
        padding = -sum(part.shape[1] for part in parts) % _WORD
        parts = [np.concatenate([*parts, np.zeros((len(parts[0]), padding), np.uint8)], axis=1)]
    numbers = _odd_numbers(sum(part.shape[1] for part in parts) // _WORD)
    sums, start = np.zeros(len(parts[0]), np.uint64), 0
    for part in parts:
        words = part.view("<u8")
        sums += np.einsum("nw,w->n", words, numbers[start : start + words.shape[1]])
        start += words.shape[1]
    return sums


@cache
def _odd_numbers(count: int) -> np.ndarray:
    """Fixed pseudo-random 64-bit numbers (SplitMix64), made odd."""
    with np.errstate(over="ignore"):
        mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)


def text_checksum(text: str) -> str:
    """BLAKE2b of a text, hexadecimal."""
    return bytes_checksum(text.encode())


def bytes_checksum(content: bytes) -> str:
    """BLAKE2b of bytes, hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def file_checksum(path: Path) -> str:
    """BLAKE2b of a file's content, hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def json_checksum(values: Mapping[str, Any]) -> str:
    """BLAKE2b of plain values, independent of the order of keys, hexadecimal."""
    as_read = json.loads(json.dumps(values))  # keys that are numbers become text, and are sorted as such
    return text_checksum(json.dumps(as_read, sort_keys=True, separators=(",", ":")))


def are_same_weights(ours: list[float], theirs: list[float], *epsilons: float) -> bool:
    """Whether two samples are from the same weights, up to the rounding of data types with these epsilons."""
    tolerance = max([1e-6, *(2 * epsilon for epsilon in epsilons)])
    return len(ours) == len(theirs) and np.allclose(ours, theirs, rtol=tolerance, atol=tolerance * 1e-2)
