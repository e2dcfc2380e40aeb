"""Limits for configurations from untrusted files, which are checked before anything is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_SIZE = 1 << 20
"""Of any whole number in a configuration: widths, vocabularies, numbers of prompts."""
MAX_LAYERS = 512
_MAX_DEPTH = 16
# Which implementation of a layer runs, and where it comes from: transformers fetches some of them from the Hub.
_CODE_KEYS = frozenset(
    {
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "quantization_config",
        "use_kernels",
        "kernel_config",
        "custom_pipelines",
        "trust_remote_code",
    }
)


def stored_config(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """The content of a configuration file, without the keys that choose code.

    Raises:
        ValueError: A value is larger than in any model. The message names the key.
    """
    return _checked(values, path, "", 0)


def _checked(value: Any, path: Path, key: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{path} is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, dict):
        return {
            name: _checked(part, path, f"{key}.{name}".strip("."), depth + 1)
            for name, part in value.items()
            if name not in _CODE_KEYS
        }
    if isinstance(value, list):
        return [_checked(part, path, key, depth + 1) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        limit = MAX_LAYERS if key.endswith("num_hidden_layers") else MAX_SIZE
        if abs(value) > limit:
            shown = value if abs(value) < 1 << 64 else "a huge number"
            raise ValueError(f"{path} asks for {key} = {shown}, more than {limit:,}: no model has so much")
    return value


@contextmanager
def described_by(path: Path) -> Iterator[None]:
    """Name the file in errors while building what its configuration describes.

    Raises:
        ValueError: Nothing can be built. The message names the file.
    """
    try:
        yield
    except (ValueError, OSError):
        raise
    except Exception as error:  # of strict dataclasses, of torch and of arithmetic, by whatever does not fit
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} describes no model that can be built: {lines[-1].strip()}") from error
