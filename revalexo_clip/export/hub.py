"""Exported folders on the Hugging Face Hub: downloading and uploading them with huggingface_hub.

Only named files are transferred, and none that may contain code. Where the cache lies, the token and the offline mode
are those of huggingface_hub: `HF_HOME`, `hf auth login`, `HF_HUB_OFFLINE=1`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.text import one_line
from revalexo_clip.core.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelCard

EXTRA = "pip install 'revalexo-clip[hub]'"

SAFE_SUFFIXES = (".json", ".safetensors", ".md", ".onnx")
"""Suffixes of the files that are transferred; none of these formats contains code that reading would run."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LIBRARY = "revalexo_clip"


@dataclass(frozen=True)
class HubOptions:
    """How a folder is downloaded. The options mean what they mean in huggingface_hub."""

    revision: str | None = None
    """Branch, tag or commit; None for the branch `main`."""
    token: str | None = None
    """Access token; None for the one that `hf auth login` or `HF_TOKEN` left."""
    cache_dir: Path | None = None
    """Folder of the cache; None for that of huggingface_hub."""
    local_files_only: bool = False
    """Use only what is in the cache."""

    def given(self) -> list[str]:
        """Return the names of the options that are not at their default."""
        return [name for name, value in vars(self).items() if value not in (None, False)]


def repository_named(where: str | Path, options: HubOptions) -> str | None:
    """Return the name of a repository on the hub, or None if `where` is a local folder.

    Only a text of the form `user/name` can be a repository, and a local folder of this name takes precedence. If
    there is a local folder `user`, the text is taken for a path to a folder that is missing in it, unless a revision is
    given. Raises `ConfigError` if options of the hub are given for a local folder.
    """
    is_name = isinstance(where, str) and _NAME.fullmatch(where) is not None
    path = Path(where)
    if is_name and not path.exists() and (options.revision is not None or not path.parent.is_dir()):
        return str(where)
    if given := options.given():
        why = "is a local folder" if path.exists() else "is a local path, not the user/name of a repository on the hub"
        raise ConfigError(f"{where} {why}; {', '.join(given)} apply to the hub only")
    return None


def download_folder(repo: str, names: Sequence[str], options: HubOptions) -> Path:
    """Download the files `names` of a repository, those that it has, and return their folder in the cache.

    The folder has the name of the commit, which is a revision, too. Raises `ConfigError` if there is no such
    repository or revision, it may not be read, or huggingface_hub is not installed; `DataError` if the hub cannot be
    reached and the cache lacks the files, or a file is corrupt. The message names the repository.
    """
    _check_names(names)
    with explained(repo, "downloaded", options.revision):
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                repo,
                revision=options.revision,
                token=options.token,
                cache_dir=options.cache_dir,
                local_files_only=options.local_files_only,
                allow_patterns=list(names),
                library_name=_LIBRARY,
                library_version=__version__,
            )
        )
    for name in names:
        if (folder / name).exists():
            _check_content(repo, folder / name)
    return folder


def push_folder(
    folder: Path,
    names: Sequence[str],
    repo: str,
    *,
    card: str,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> str:
    """Upload the files `names` of a folder, those that it has, in one commit, and return the commit's address.

    Creates the repository and the branch `revision` if they do not exist; `private` is the visibility of a new one.
    Files of these names that the folder does not have are deleted in the repository; other files there stay. `card` is
    the name of the model card, whose header the hub checks first. Raises `ConfigError` if the hub refuses the card,
    the name or the token, and `DataError` if it cannot be reached.
    """
    _check_names(names)
    check_repository_name(repo)
    with explained(repo, "uploaded", revision):
        from huggingface_hub import HfApi

        api = HfApi(token=token, library_name=_LIBRARY, library_version=__version__)
        _check_card(folder / card)
        api.create_repo(repo, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        return _commit(api, folder, names, repo, revision)


def check_repository_name(repo: str) -> None:
    """Raise `ConfigError` if a text is not of the form `user/name`."""
    if not _NAME.fullmatch(repo):
        raise ConfigError(f"{repo!r} is not the name of a repository on the hub, which has the form user/name")


def _commit(api: HfApi, folder: Path, names: Sequence[str], repo: str, revision: str | None) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    present = [name for name in names if (folder / name).is_file()]
    there = api.list_repo_files(repo, revision=revision)
    committed = api.create_commit(
        repo,
        [
            *(CommitOperationAdd(name, folder / name) for name in present),
            *(CommitOperationDelete(name) for name in names if name in there and name not in present),
        ],
        commit_message=f"Upload with {_LIBRARY} {__version__}",
        revision=revision,
    )
    return str(committed.commit_url)


def read_card(path: Path) -> ModelCard:
    """Read a model card. Raises `ConfigError` if there is none, or its header is not one."""
    import yaml
    from huggingface_hub import ModelCard

    try:
        return ModelCard(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; a model without its card is not uploaded") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: the header of this card is not valid: {one_line(error)}") from error


def _check_card(path: Path) -> None:
    """Raise `ConfigError` if the header of a model card is not what the hub expects. Asks the hub."""
    try:
        read_card(path).validate(repo_type="model")
    except ValueError as error:
        raise ConfigError(f"{path}: the hub refuses the header of this card: {one_line(error)}") from error


def _check_names(names: Sequence[str]) -> None:
    assert all(Path(name).name == name and name.endswith(SAFE_SUFFIXES) for name in names), names


def _check_content(repo: str, path: Path) -> None:
    """Raise `DataError` if a file of the cache differs from the digest by which the hub names it.

    A cache without symbolic links does not know the digests.
    """
    blob = path.resolve()
    if len(blob.name) == 64:
        found = sha256_of(blob)
    elif len(blob.name) == 40:  # as git names a file
        content = blob.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        return
    if found != blob.name:
        raise DataError(
            f"{repo}: {path.name} is corrupt: its content does not have the digest that the hub names; delete {blob} "
            "and load it again"
        )


@contextmanager
def explained(repo: str, what: str, revision: str | None = None) -> Iterator[None]:
    """Turn the errors of huggingface_hub into one sentence that names the repository."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ConfigError(f"{repo} cannot be {what}: this needs huggingface_hub; {EXTRA}") from error
    # The base class of errors of the HTTP library, httpx or httpx2
    unreachable: type[BaseException] = errors.HfHubHTTPError.__mro__[1]
    at = f" at revision {revision}" if revision else ""
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"{repo}: its owner restricts access; ask for it on the page of the model, then `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigError(
            f"{repo}: no such model on the hub, or it is private and the token does not give access to it "
            "(`hf auth login`, HF_TOKEN); there is no local folder of this name either"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"{repo}: has no revision {revision or 'main'}") from error
    except errors.LocalEntryNotFoundError as error:
        raise DataError(_not_cached(f"{repo}{at}", error)) from error
    except (errors.HFValidationError, errors.OfflineModeIsEnabled) as error:
        raise ConfigError(f"{repo} cannot be {what}: {one_line(error)}") from error
    except errors.HfHubHTTPError as error:
        raise _refused(f"{repo}{at}", what, error.response.status_code, error) from error
    except (unreachable, OSError) as error:
        raise DataError(f"{repo}{at} cannot be {what}: {one_line(error)}") from error


def _not_cached(repo: str, error: Exception) -> str:
    """Say why files were neither downloaded nor found in the cache."""
    cause = error.__cause__
    if cause is None or type(cause).__name__ == "OfflineModeIsEnabled":
        return f"{repo}: is not in the cache, or not completely, and downloads are switched off (offline mode)"
    return f"{repo}: is not in the cache, and the hub does not answer as expected: {one_line(cause)}"


def _refused(repo: str, what: str, status: int, error: Exception) -> ConfigError | DataError:
    if status == 401:
        return ConfigError(f"{repo} cannot be {what}: the hub does not accept the token (`hf auth login`, HF_TOKEN)")
    if status == 403:
        return ConfigError(f"{repo} cannot be {what}: the token does not have the permission to do so")
    return DataError(f"{repo} cannot be {what}: the hub answers with error {status}: {one_line(error)}")
