"""Reading the JSON files of a dataset that is packed, and keeping copies of them in the pack."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.index import read_subjects
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.folder import DATASET, Pack, replace_file


@dataclass(frozen=True)
class DatasetDescription:
    """Content of a dataset's JSON files."""

    index: ClipIndex
    """All clips, including those without video."""
    files: dict[str, bytes]
    """Content of every JSON file, by its path relative to the root. Files may be edited while clips are packed."""


def describe(root: Path, *, skip_bad: bool = False) -> tuple[DatasetDescription, tuple[str, ...]]:
    """Read the JSON files of a dataset; return also the problems of the subjects that are left out.

    Raises `DataError` if the dataset is invalid or, unless `skip_bad`, a subject is.
    """
    layout.read_label_mapping(root)
    files = layout.subject_files(root)
    contents = _contents(root)
    unreadable: dict[str, str] = {}
    try:
        index = read_subjects(root, files)
    except DataError:
        if not skip_bad:
            raise
        unreadable = _unreadable(root, files)
        index = read_subjects(root, {subject: own for subject, own in files.items() if subject not in unreadable})
    if not len(index):
        raise DataError("\n".join(unreadable.values()) or f"{root}: has no clips")
    return DatasetDescription(index, contents), tuple(unreadable.values())


def _unreadable(root: Path, files: Mapping[str, tuple[Path, ...]]) -> dict[str, str]:
    """Return the problem of each subject with an invalid JSON file."""
    wrong = {}
    for subject, own in files.items():
        try:
            read_subjects(root, {subject: own})
        except DataError as error:
            wrong[subject] = str(error)
    return wrong


def digests_of(root: Path) -> dict[str, str]:
    """Compute the SHA-256 of all JSON files, by path relative to the root. Raises `DataError`."""
    return digests(_contents(root))


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Compute the SHA-256 of files that are given by their content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _contents(root: Path) -> dict[str, bytes]:
    paths = [root / layout.LABEL_MAPPING, *sorted((root / layout.DATA_PAIRS).glob("*.json"))]
    try:
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def keep_copies(path: Path, files: Mapping[str, bytes]) -> None:
    """Keep the JSON files of a dataset in its pack, and remove copies of files that are gone. Raises `OSError`.

    Nothing is written or removed through a symbolic link.
    """
    folder = path / DATASET
    if folder.is_symlink() or (folder / layout.DATA_PAIRS).is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link, and nothing is written outside the pack", str(folder))
    known: dict[str, bytes] = {}
    with suppress(DataError):
        known = _contents(folder)
    for name, content in files.items():
        if known.get(name) != content:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / name, content)
    for name in known.keys() - files.keys():
        (folder / name).unlink(missing_ok=True)


def described_root(pack: Pack, root: Path) -> Path:
    """Return the folder of the JSON files: the dataset, or the copies in its pack if the dataset is missing.

    Raises `PackError` if the copies are not what was packed.
    """
    if root.is_dir():
        return root
    folder = pack.path / DATASET
    try:
        found = digests_of(folder)
    except DataError as error:
        raise PackError(
            f"{pack.path}: has no copy of the dataset's JSON files ({error}), and {root} is missing"
        ) from error
    for name in sorted({*found, *pack.digests}):
        if found.get(name) != pack.digests.get(name):
            raise PackError(f"{folder / name}: is corrupt: it is not the JSON file that was packed; restore {root}")
    return folder
