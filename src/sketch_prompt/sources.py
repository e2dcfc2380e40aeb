"""Where a checkpoint comes from: a directory, a name bundled with the package, or the Hub."""

import os
from importlib import resources
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only")
"""Keywords that say how to ask the Hub; those of `find_checkpoint`."""

_FILES = ["*.json", "*.safetensors", "*.txt", "README.md"]


def bundled_names() -> list[str]:
    """Names of the checkpoints that ship with the package and need no network."""
    assets = resources.files("sketch_prompt") / "assets"
    entries = assets.iterdir() if assets.is_dir() else ()
    return sorted(entry.name for entry in entries if (entry / "config.json").is_file())


def find_checkpoint(
    source: str | os.PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path:
    """Directory that holds the checkpoint `source`, downloading it if it is a Hub id.

    Raises:
        FileNotFoundError: if there is no such directory, bundled name or repository, or no network to ask.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if str(source) in bundled_names():
        return Path(str(resources.files("sketch_prompt") / "assets" / str(source)))
    try:
        return Path(
            snapshot_download(
                str(source),
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                allow_patterns=_FILES,
            )
        )
    except (HFValidationError, RepositoryNotFoundError) as error:
        reason = "it is neither a directory here nor a repository on the Hub"
        cause = error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = f"it is no directory here, and the Hub could not be asked ({type(error).__name__})"
        cause = error
    raise FileNotFoundError(
        f"no checkpoint {str(source)!r}: {reason}. Give a directory, a Hub id you can reach, "
        f"or one of the bundled names: {', '.join(bundled_names()) or 'none'}."
    ) from cause
