"""Find checkpoints: in a folder, by a bundled name, or on the Hub."""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

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

RepoType = Literal["model", "dataset", "space"]

HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "subfolder")
"""Arguments for downloads from the Hub; those of `find_checkpoint`."""

_ADAPTER_FILES = (
    "config.json",
    "training.json",
    "adapter_config.json",  # of checkpoints saved by 0.1
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

# Small enough to be checked whenever they are loaded, not only when they arrive.
_ALWAYS_CHECKED = ("adapter_model.safetensors",)

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")

LOGIN = "log in with `hf auth login` or pass token=..."

# The client's own error for a connection that breaks: huggingface_hub does not re-export it, and which library it
# comes from depends on the version.
BROKEN_CONNECTION = next(c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")


def bundled_names() -> list[str]:
    """Names of the checkpoints in the package, which need no network."""
    assets = resources.files("sketch_prompt") / "assets"
    entries = assets.iterdir() if assets.is_dir() else ()
    return sorted(entry.name for entry in entries if (entry / "config.json").is_file())


def hub_id(name: str | os.PathLike | None) -> str | None:
    """`name` if it can be a repository `owner/name` on the Hub. None for an existing folder or a bundled name."""
    if name is None or local_checkpoint(name) is not None or not _HUB_ID.fullmatch(str(name)):
        return None
    return str(name)


def find_checkpoint(
    source: str | os.PathLike,
    *,
    files: Sequence[str] | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
) -> Path:
    """The folder of the checkpoint `source`, which is downloaded if it is on the Hub.

    Args:
        source: A folder, a bundled name or a Hub id.
        files: Patterns of the files to download. The default is those of a checkpoint and its processor.
        revision: Branch, tag or commit on the Hub.
        cache_dir, token, local_files_only, force_download: As in `huggingface_hub.snapshot_download`.
        subfolder: Folder of the checkpoint in `source`.

    Raises:
        FileNotFoundError: It was not found. The message says why and what to do.
    """
    path = local_checkpoint(source)
    if path is None:
        path = download(
            str(source),
            [f"{subfolder}/{name}" if subfolder else name for name in files or weights_files()],
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
    return path / subfolder if subfolder else path


def weights_files(variant: str | None = None) -> tuple[str, ...]:
    """Patterns of the files of a checkpoint with this variant of the weights, and of its processor."""
    middle = f".{variant}" if variant else ""
    names = (f"adapter_model{middle}", f"model{middle}", f"model{middle}-?????-of-?????")
    weights = tuple(f"{name}.safetensors" for name in names)
    return (*_ADAPTER_FILES, *weights, f"model{middle}.safetensors.index.json", *PROCESSOR_FILES)


def download(
    repo_id: str,
    files: Sequence[str],
    *,
    kind: RepoType = "model",
    revision: str | None = None,
    **options,
) -> Path:
    """Download files of a repository, unless they are in the cache, and check their digests.

    Args:
        repo_id: `owner/name`.
        files: Patterns of the files.
        kind: Type of the repository.
        revision: Branch, tag or commit.
        options: Further arguments of `huggingface_hub.snapshot_download`.

    Returns:
        The folder of the snapshot in the cache.

    Raises:
        FileNotFoundError: They were not found. The message says why and what to do.
    """
    started = time.time()
    try:
        folder = snapshot_download(
            repo_id, repo_type=kind, revision=revision, allow_patterns=list(files), **options
        )
    except (HFValidationError, OSError, RuntimeError, BROKEN_CONNECTION) as error:
        raise FileNotFoundError(explain(error, repo_id, revision, kind)) from error
    for path in Path(folder).rglob("*"):
        if path.is_file() and (path.name in _ALWAYS_CHECKED or path.stat().st_mtime >= started - 2):
            _check_digest(path, repo_id)
    return Path(folder)


def _check_digest(path: Path, repo_id: str) -> None:
    """Delete a file of the cache and raise a FileNotFoundError if its content does not match its name.

    The cache names large files by their SHA-256 on the Hub, but the client does not check it.
    """
    # Not `resolve`: blobs may be links themselves, to a store that is shared and names files otherwise.
    digest = Path(os.readlink(path)).name if path.is_symlink() else ""
    if len(digest) != 64:
        return  # the digest is not known for small files, or in a cache without links (Windows)
    with open(path, "rb") as file:
        arrived = hashlib.sha256()
        while block := file.read(1 << 20):
            arrived.update(block)
    if arrived.hexdigest() != digest:
        (path.parent / os.readlink(path)).unlink()
        path.unlink()
        raise FileNotFoundError(
            f"{path.name} of {repo_id} did not arrive as it is on the Hub, and was removed from the cache; run the "
            "same command again"
        )


def local_checkpoint(source: str | os.PathLike) -> Path | None:
    """The folder of a checkpoint that needs no download. None if `source` can only be on the Hub."""
    path = Path(source)
    if path.is_dir():
        return path
    if str(source) in bundled_names():
        return Path(str(resources.files("sketch_prompt") / "assets" / str(source)))
    return None


def explain(
    error: BaseException, source: str | os.PathLike, revision: str | None, kind: str = "model"
) -> str:
    """A sentence that says why `source` could not be downloaded, and what to do.

    Args:
        error: The error of `huggingface_hub` or transformers.
        source, revision: What was asked for.
        kind: `"model"`, `"dataset"` or `"space"`.
    """
    chain = list(causes(error))
    prefix = "" if kind == "model" else f"{kind}s/"
    page = f"{constants.ENDPOINT}/{prefix}{source}"
    name = "checkpoint" if kind == "model" else {"dataset": "data set", "space": "Space"}[kind]

    def caused_by(*types: type) -> bool:
        return any(isinstance(cause, types) for cause in chain)

    answers = [cause.response for cause in chain if isinstance(cause, HfHubHTTPError)]
    status = next((answer.status_code for answer in answers if answer is not None), None)
    words = " ".join(map(str, chain))
    here = f"no {name} {str(source)!r}: "
    if kind == "model":
        here += "there is no such directory here, and "
    others = _alternatives(source, kind)
    if caused_by(HFValidationError):
        return f"{here}it cannot be an id on the Hub; {others}"
    if caused_by(GatedRepoError):
        return f"{source!s} is gated: accept its conditions at {page} and {LOGIN}"
    if "Invalid credentials in Authorization header" in words:
        return f"the Hub refuses the token that was sent for {source!s}: it is wrong or expired; {LOGIN}"
    if caused_by(RevisionNotFoundError):
        return (
            f"{source!s} has no revision {str(revision)!r} on the Hub; its branches are at {page}/tree/main"
        )
    # Without a login, the Hub also answers 401 if there is no such repository.
    if caused_by(RepositoryNotFoundError) or status == 401:
        return f"{here}the Hub has none of that name, or it is private: {LOGIN}; {others}"
    if caused_by(OfflineModeIsEnabled) or (caused_by(LocalEntryNotFoundError) and len(chain) == 1):
        cached = "only in part" if caused_by(IncompleteSnapshotError) else "not"
        return f"{here}offline it is {cached} in the cache: go online once to fetch it; {others}"
    if status == 403:
        return f"the Hub does not let this token read {source!s}; {LOGIN} with one that may"
    if status is not None:
        return f"the Hub answered {status} when asked for {source!s}; try again later"
    if any(type(cause).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout") for cause in chain):
        return f"no connection to {constants.ENDPOINT} for {source!s}; check the network and try again"
    return (
        f"the download of {source!s} broke off ({type(chain[-1]).__name__}); run the same command again, it "
        "continues where it stopped"
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and its causes, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _alternatives(source: str | os.PathLike, kind: RepoType) -> str:
    """The bundled name that may have been meant, or all of them."""
    if kind != "model":
        return "give the id of another one"
    known = bundled_names()
    guess = nearest(str(source), known) if "/" not in str(source) else None
    return f"did you mean {guess!r}?" if guess else f"bundled names: {', '.join(known) or 'none'}"
