"""Rebuild the recorded parity cases: tensors are drawn again from the case's seed and their own names."""

import json
import zlib
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures" / "parity"


def tensor(seed: int, name: str, shape: list[int], mean: float, std: float) -> np.ndarray:
    """float32 array of `shape`, mean + std * N(0, 1), the same on every machine."""
    generator = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode()))
    return (mean + std * generator.standard_normal(shape)).astype(np.float32)


def load_case(name: str) -> dict:
    """`fixtures/parity/<name>/case.json` with `weights` and `inputs` as {tensor name: array}."""
    case = json.loads((FIXTURES / name / "case.json").read_text())
    for group in ("weights", "inputs"):
        case[group] = {key: tensor(case["seed"], key, *spec) for key, spec in case[group].items()}
    return case
