"""Publish the folder of an exported encoder or classifier on the Hugging Face Hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.export.description import CARD, CLASSIFIER_ONNX, DESCRIPTION, ONNX, WEIGHTS, noun_of
from revalexo_clip.export.hub import explained, push_folder, read_card
from revalexo_clip.export.loading import load_classifier, load_encoder

_FILES = (CARD, WEIGHTS, ONNX, CLASSIFIER_ONNX, DESCRIPTION)


def push_to_hub(
    folder: str | Path,
    repo: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    licence: str | None = None,
    licence_link: str | None = None,
    datasets: Sequence[str] = (),
    token: str | None = None,
    experiment_file: str | Path | None = None,
) -> str:
    """Upload an exported encoder or classifier to a repository on the Hugging Face Hub; return the commit's address.

    - `folder`: folder of `export_encoder`, `import_encoder` or `export_classifier`; it must load. It is not changed.
    - `repo`: `user/name`. It is created if it does not exist.
    - `private`: whether a new repository is private; None for the default of the account.
    - `revision`: branch, which is created if it does not exist; None for `main`.
    - `licence`, `licence_link`: licence of the weights as the hub names it, e.g. `cc-by-nc-4.0`, or a name of your own
      and the address of its text; None to publish the card with the licence that it has.
    - `datasets`: names of the training datasets, if the hub has them.
    - `token`: access token; None for the one that `hf auth login` or `HF_TOKEN` left.
    - `experiment_file`: file that defines components that are not part of this package.

    Raises what `load_encoder` and `push_folder` raise, and `ConfigError` if `licence_link` has no `licence`.
    """
    folder = Path(folder)
    if licence_link is not None and licence is None:
        raise ConfigError("licence_link requires licence, the name of the licence")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    (load_classifier if _is_classifier(folder) else load_encoder)(folder, experiment_file)
    with tempfile.TemporaryDirectory() as staged:
        for name in _FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(staged) / name)
        with explained(repo, "uploaded"):
            _complete_card(Path(staged) / CARD, licence, licence_link, datasets)
        return push_folder(Path(staged), _FILES, repo, card=CARD, private=private, revision=revision, token=token)


def _is_classifier(folder: Path) -> bool:
    try:
        return noun_of(json.loads((folder / DESCRIPTION).read_bytes())) == "classifier"
    except (OSError, ValueError):  # then `load_encoder` says what is wrong
        return False


def _complete_card(path: Path, licence: str | None, link: str | None, datasets: Sequence[str]) -> None:
    """Write into the header of a card what its publisher says."""
    card = read_card(path)
    if licence is not None:
        card.data["license"] = licence if link is None else "other"
        card.data["license_name"] = None if link is None else licence
        card.data["license_link"] = link
    if datasets:
        card.data["datasets"] = list(datasets)
    path.write_text(str(card), encoding="utf-8")
