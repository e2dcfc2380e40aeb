"""One way to the Hub for models, processors, galleries, data sets and metrics."""

import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..sources import BROKEN_CONNECTION, RepoType, causes


def create_repository(
    repo_id: str,
    repo_type: RepoType = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    space_sdk: str | None = None,
) -> str:
    """Make a repository if there is none; returns its whole id, `owner/name`.

    Raises:
        PermissionError, ConnectionError, ValueError: as `upload`.
    """
    try:
        made = HfApi(token=token).create_repo(
            repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk
        )
    except (OSError, HFValidationError, BROKEN_CONNECTION) as error:
        raise _refusal(error, repo_id, None) from error
    return made.repo_id


def upload(
    directory: str | os.PathLike,
    files: Iterable[str],
    repo_id: str,
    *,
    repo_type: RepoType = "model",
    replaces: Sequence[str] = (),
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Upload with sketch-prompt",
    commit_description: str | None = None,
) -> CommitInfo:
    """Upload files of a folder in one commit.

    Args:
        directory: the folder.
        files: what to upload, relative to it; nothing else is.
        repo_id: a repository that exists, see `create_repository`.
        repo_type: what it is a repository of.
        replaces: patterns of files to delete there unless they are uploaded: what an earlier upload may have left.
        token: of the Hub.
        revision: branch to commit to; a new one starts at main.
        create_pr: open a pull request instead of committing.
        commit_message, commit_description: of the commit.

    Returns:
        The commit: a string, its address, with further attributes.

    Raises:
        PermissionError: there is no token, or it may not write there.
        ConnectionError: the Hub cannot be reached, or the connection broke.
        ValueError: the id is none, or the Hub refuses the card.
    """
    api = HfApi(token=token)
    try:
        if revision is not None and not create_pr and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        return api.upload_folder(
            repo_id=repo_id,
            repo_type=repo_type,
            folder_path=directory,
            allow_patterns=[glob.escape(Path(name).as_posix()) for name in files],
            delete_patterns=list(replaces) or None,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            commit_description=commit_description,
        )
    except (OSError, HFValidationError, RuntimeError, BROKEN_CONNECTION) as error:
        raise _refusal(error, repo_id, revision) from error


def _refusal(error: Exception, repo_id: str, revision: str | None) -> Exception:
    """The error to raise for one of the client's: a sentence that says what to do."""
    chain = list(causes(error))

    def caused_by(*types: type) -> bool:
        return any(isinstance(cause, types) for cause in chain)

    answers = [cause.response for cause in chain if isinstance(cause, HfHubHTTPError)]
    status = next((answer.status_code for answer in answers if answer is not None), None)
    login = "log in with `hf auth login` or pass token=..."
    if caused_by(HFValidationError):
        return ValueError(f"{repo_id!r} cannot be a repository's id: give owner/name")
    if caused_by(OfflineModeIsEnabled):
        return ConnectionError(f"offline (HF_HUB_OFFLINE is set), so nothing can be pushed to {repo_id}")
    if caused_by(LocalTokenNotFoundError) or status == 401:
        return PermissionError(
            f"the Hub needs to know who pushes to {repo_id}, or the token is wrong: {login}"
        )
    if caused_by(RevisionNotFoundError):
        return ValueError(f"{repo_id} has no revision {revision!r} to commit to")
    if caused_by(RepositoryNotFoundError) or status == 403:
        return PermissionError(
            f"this token may not write to {repo_id}: {login} with one that has write access, or open a pull request "
            "with create_pr=True"
        )
    if status == 400:
        return ValueError(f"the Hub refuses what was pushed to {repo_id}: {chain[0]}".strip())
    if status == 412:
        return ConnectionError(f"someone else committed to {repo_id} in the meantime; push again")
    if status is not None:
        return ConnectionError(f"the Hub answered {status} to the push to {repo_id}; try again later")
    if any(type(cause).__module__.partition(".")[0].startswith("http") for cause in chain):
        return ConnectionError(
            f"the connection to {constants.ENDPOINT} failed in the push to {repo_id} ({type(chain[-1]).__name__}); "
            "push again, what has arrived is not sent twice"
        )
    return error


def push(
    write: Callable[[Path], Iterable[str]],
    repo_id: str,
    *,
    repo_type: RepoType = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    **options,
) -> CommitInfo:
    """Make a repository if there is none, write files into a temporary folder, upload them.

    Args:
        write: writes the files into the folder that it is given, and returns their names.
        repo_id: `owner/name`, or `name` for one's own.
        repo_type, private, token: as in `create_repository`.
        options: further ones of `upload`.
    """
    repo_id = create_repository(repo_id, repo_type, private, token)
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.relpath(os.path.join(folder, name), folder) for name in write(Path(folder))]
        return upload(folder, files, repo_id, repo_type=repo_type, token=token, **options)
