"""Upload to the Hub: `push` is used for models, processors, galleries, data sets and metrics."""

import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypedDict

from huggingface_hub import CommitInfo, HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..sources import BROKEN_CONNECTION, LOGIN, RepoType, causes


class PushOptions(TypedDict, total=False):
    """The keyword arguments of every `push_to_hub`.

    Attributes:
        private: Make a new repository private.
        token: Token of the Hub. The default is that of `hf auth login`.
        revision: Branch to commit to. A new branch starts at main.
        create_pr: Open a pull request instead of committing.
        commit_message, commit_description: Title and description of the commit.
    """

    private: bool | None
    token: str | bool | None
    revision: str | None
    create_pr: bool
    commit_message: str | None
    commit_description: str | None


def create_repository(
    repo_id: str,
    repo_type: RepoType = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    space_sdk: str | None = None,
) -> str:
    """Create a repository if it does not exist, and return its full id, `owner/name`.

    Raises:
        PermissionError, ConnectionError, ValueError: As in `push`.
    """
    try:
        made = HfApi(token=token).create_repo(
            repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk
        )
    except (OSError, HFValidationError, BROKEN_CONNECTION) as error:
        raise _error_for(error, repo_id, None) from error
    return made.repo_id


def push(
    write: Callable[[Path, str], Iterable[str | os.PathLike]],
    repo_id: str,
    *,
    repo_type: RepoType = "model",
    space_sdk: str | None = None,
    directory: str | os.PathLike | None = None,
    replaces: Sequence[str] = (),
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
) -> CommitInfo:
    """Create a repository if it does not exist, write files, and upload them in a single commit.

    Args:
        write: Called with a folder and the full id of the repository. Writes files into the folder and returns their
            names. Other files in the folder are not uploaded.
        repo_id: `owner/name`, or `name` for your own repository.
        repo_type, space_sdk: Type of a new repository.
        directory: Folder for the files. The default is a temporary folder.
        replaces: Patterns of old files in the repository to delete if they are not written again.
        private, token, revision, create_pr, commit_message, commit_description: See `PushOptions`.

    Returns:
        The commit, a string with its URL and further attributes.

    Raises:
        PermissionError: There is no token, or it does not allow writing.
        ConnectionError: The Hub cannot be reached, or the connection broke.
        ValueError: The id is not valid, or the Hub refuses the card.
    """
    repo_id = create_repository(repo_id, repo_type, private, token, space_sdk)
    api = HfApi(token=token)
    with nullcontext(directory) if directory is not None else tempfile.TemporaryDirectory() as folder:
        names = [os.path.relpath(os.path.join(folder, name), folder) for name in write(Path(folder), repo_id)]
        try:
            if revision is not None and not create_pr and not revision.startswith("refs/"):
                api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
            return api.upload_folder(
                repo_id=repo_id,
                repo_type=repo_type,
                folder_path=folder,
                allow_patterns=[glob.escape(Path(name).as_posix()) for name in names],
                delete_patterns=list(replaces) or None,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message or "Upload with sketch-prompt",
                commit_description=commit_description,
            )
        except (OSError, HFValidationError, RuntimeError, BROKEN_CONNECTION) as error:
            raise _error_for(error, repo_id, revision) from error


def _error_for(error: Exception, repo_id: str, revision: str | None) -> Exception:
    """The error to raise instead of one of the client, with a message that says what to do."""
    chain = list(causes(error))

    def caused_by(*types: type) -> bool:
        return any(isinstance(cause, types) for cause in chain)

    answers = [cause.response for cause in chain if isinstance(cause, HfHubHTTPError)]
    status = next((answer.status_code for answer in answers if answer is not None), None)
    if caused_by(HFValidationError):
        return ValueError(f"{repo_id!r} cannot be a repository's id: give owner/name")
    if caused_by(OfflineModeIsEnabled):
        return ConnectionError(f"offline (HF_HUB_OFFLINE is set), so nothing can be pushed to {repo_id}")
    if caused_by(LocalTokenNotFoundError) or status == 401:
        return PermissionError(f"there is no token for pushing to {repo_id}, or the token is wrong: {LOGIN}")
    if caused_by(RevisionNotFoundError):
        return ValueError(f"{repo_id} has no revision {revision!r} to commit to")
    if caused_by(RepositoryNotFoundError) or status == 403:
        return PermissionError(
            f"this token may not write to {repo_id}: {LOGIN} with one that has write access, or open a pull request "
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
            f"the connection to {constants.ENDPOINT} failed during the push to {repo_id} "
            f"({type(chain[-1]).__name__}); push again, and files that arrived are not sent twice"
        )
    return error
