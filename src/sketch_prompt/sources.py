"""Where a checkpoint comes from: a directory, a name bundled with the package, or the Hub."""

import os
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .hints import nearest

HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "subfolder")
"""Keywords that say how to ask the Hub; those of `find_checkpoint`."""

CHECKPOINT_FILES = (
    "config.json",
    "adapter_model.safetensors",
    "adapter_config.json",  # of checkpoints saved by 0.1
    "model*.safetensors",
    "model.safetensors.index.json",
    "README.md",
)
PROCESSOR_FILES = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)

# The client's own error for a connection that breaks: huggingface_hub does not re-export it, and which library it
# comes from depends on the version.
BROKEN_CONNECTION = next(c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")


def bundled_names() -> list[str]:
    """Names of the checkpoints that ship with the package and need no network."""
    assets = resources.files("sketch_prompt") / "assets"
    entries = assets.iterdir() if assets.is_dir() else ()
    return sorted(entry.name for entry in entries if (entry / "config.json").is_file())


def find_checkpoint(
    source: str | os.PathLike,
    *,
    files: Sequence[str] = (*CHECKPOINT_FILES, *PROCESSOR_FILES),
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
) -> Path:
    """Directory that holds the checkpoint `source`, downloading it if it is a Hub id.

    Args:
        source: a directory, a bundled name or a Hub id.
        files: patterns of the files to download.
        revision: branch, tag or commit on the Hub.
        cache_dir, token, local_files_only, force_download: as in `huggingface_hub.snapshot_download`.
        subfolder: where in the directory or repository the checkpoint lies.

    Raises:
        FileNotFoundError: if it cannot be had; the message says why and what to do.
    """
    path = local_checkpoint(source)
    if path is None:
        try:
            path = Path(
                snapshot_download(
                    str(source),
                    revision=revision,
                    cache_dir=cache_dir,
                    token=token,
                    local_files_only=local_files_only,
                    force_download=force_download,
                    allow_patterns=[os.path.join(subfolder, name) if subfolder else name for name in files],
                )
            )
        except (HFValidationError, OSError, BROKEN_CONNECTION) as error:
            raise FileNotFoundError(explain(error, source, revision)) from error
    return path / subfolder if subfolder else path


def local_checkpoint(source: str | os.PathLike) -> Path | None:
    """The directory of a checkpoint that needs no download; None if `source` can only be on the Hub."""
    path = Path(source)
    if path.is_dir():
        return path
    if str(source) in bundled_names():
        return Path(str(resources.files("sketch_prompt") / "assets" / str(source)))
    return None


def explain(
    error: BaseException, source: str | os.PathLike, revision: str | None, kind: str = "model"
) -> str:
    """One sentence for why the Hub did not give `source`, with what to do about it.

    Args:
        error: what `huggingface_hub` or transformers raised.
        source, revision: what was asked for.
        kind: `"model"`, `"dataset"` or `"space"`.
    """
    chain = list(_causes(error))
    prefix = "" if kind == "model" else f"{kind}s/"
    page = f"{constants.ENDPOINT}/{prefix}{source}"
    login = "log in with `hf auth login` or pass token=..."
    name = "checkpoint" if kind == "model" else {"dataset": "data set", "space": "Space"}[kind]

    def caused_by(*types: type) -> bool:
        return any(isinstance(cause, types) for cause in chain)

    answers = [cause.response for cause in chain if isinstance(cause, HfHubHTTPError)]
    status = next((answer.status_code for answer in answers if answer is not None), None)
    words = " ".join(map(str, chain))
    if caused_by(HFValidationError):
        known = bundled_names() if kind == "model" else []
        guess = nearest(str(source), known)
        return (
            f"no {name} {str(source)!r}: there is no such directory here, and it cannot be an id on the Hub"
            + (
                f"; did you mean {guess!r}?"
                if guess
                else f"; bundled names: {', '.join(known)}"
                if known
                else ""
            )
        )
    if caused_by(GatedRepoError):
        return f"{source!s} is gated: accept its conditions at {page} and {login}"
    if "Invalid credentials in Authorization header" in words:
        return f"the Hub refuses the token that was sent for {source!s}: it is wrong or expired; {login}"
    if caused_by(RevisionNotFoundError):
        return (
            f"{source!s} has no revision {str(revision)!r} on the Hub; its branches are at {page}/tree/main"
        )
    if caused_by(RepositoryNotFoundError):
        return _not_found(source, name, kind, login)
    if caused_by(OfflineModeIsEnabled) or (caused_by(LocalEntryNotFoundError) and len(chain) == 1):
        return _not_cached(source, name, kind, partly=caused_by(IncompleteSnapshotError))
    if status in (401, 403):
        return f"the Hub does not let this token read {source!s} ({status}); {login} with one that may"
    if status is not None:
        return f"the Hub answered {status} when asked for {source!s}; try again later"
    if any(type(cause).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout") for cause in chain):
        return f"no connection to {constants.ENDPOINT} for {source!s}; check the network and try again"
    return (
        f"the download of {source!s} broke off ({type(chain[-1]).__name__}); run the same command again, it goes "
        "on where it stopped"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _not_found(source, name: str, kind: str, login: str) -> str:
    known = bundled_names() if kind == "model" else []
    guess = nearest(str(source), known) if "/" not in str(source) else None
    bundled = f", bundled names: {', '.join(known)}" if known else ""
    return (
        f"no {name} {str(source)!r}: there is no such directory here, and the Hub has none of that name or it is "
        + (f"private; did you mean {guess!r}?" if guess else f"private: {login}{bundled}")
    )


def _not_cached(source, name: str, kind: str, partly: bool) -> str:
    known = bundled_names() if kind == "model" else []
    guess = nearest(str(source), known) if "/" not in str(source) else None
    what = "only in part" if partly else "not"
    return (
        f"no {name} {str(source)!r}: there is no such directory here, and offline it is {what} in the cache; "
        + (f"did you mean {guess!r}? " if guess else "go online once to fetch it, or give a directory")
        + (f" or one of the bundled names: {', '.join(known)}" if known and not guess else "")
    )
