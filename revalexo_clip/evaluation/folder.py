"""Choose the folder for the results of an evaluation.

`evaluation/` in the run folder is for the checkpoint's own test subjects, with the probe and without tolerance. An
evaluation of anything else is written to a folder inside it, named after what differs: `evaluation/no-probe/`,
`evaluation/subjects-05+09_tolerance-0.5/`. So it never replaces the full results. `out` overrides both.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from pydantic import JsonValue

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import UserError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.data import Dataset
from revalexo_clip.runs.checkpoint import CheckpointMetadata
from revalexo_clip.runs.folder import folder_of

_IGNORED = ("root", "workers", "pack", "train_subjects", "val_subjects")
"""Fields of `data` that do not change the results. The root is compared by its recordings."""

_LABELS = {"test_subjects": "subjects", "root": "data"}
"""Fields of `data` with another name in a folder's name."""

_LONGEST = 80
"""Characters in a folder's name, before a digest is needed."""


def results_folder(
    checkpoint: Path, changed: JsonObject, *, probe: bool = True, tolerance: float = 0.0, inside: str = ""
) -> Path:
    """Return the default folder for the results of a checkpoint.

    `changed` are the data settings that differ from the checkpoint's own, see `changed_data`. `inside` is a subfolder
    of `evaluation/` for results of another kind.
    """
    return folder_of(checkpoint) / "evaluation" / inside / _name(changed, probe=probe, tolerance=tolerance)


def chosen_folder(out: str | Path | None) -> Path | None:
    """Return the folder that the user chose, or None. Raises `ConfigError` if it is a file."""
    return None if out is None else checked_folder(Path(out))


def changed_data(described: CheckpointMetadata, own: Experiment, experiment: Experiment) -> JsonObject:
    """Return the fields of `data` that change the results: those in which `experiment` differs from `own`.

    A dataset that only moved is no change. It is identified by the recordings of the validation subjects, whose
    fingerprint is in the checkpoint.
    """
    before, now = (one.data.model_dump(mode="json") for one in (own, experiment))
    changed: JsonObject = {
        name: value
        for name, value in now.items()
        if name not in _IGNORED and _sorted(name, value) != _sorted(name, before.get(name))
    }
    if now.get("root") != before.get("root") and not _same_recordings(described, own, str(now["root"])):
        changed["root"] = now["root"]
    return changed


def _sorted(name: str, value: JsonValue) -> JsonValue:
    return sorted(value, key=str) if name == "test_subjects" and isinstance(value, list) else value


def _same_recordings(described: CheckpointMetadata, own: Experiment, root: str) -> bool:
    data = own.data.model_copy(update={"root": Path(root)})
    read = [data.labelled, *([data.build] if isinstance(data, Dataset) else [])]  # training used one or the other
    try:
        return any(windows("val", own.seed).fingerprint() == described.fingerprint.get("val") for windows in read)
    except UserError:  # the validation subjects are not there
        return False


def _name(changed: JsonObject, *, probe: bool, tolerance: float) -> str:
    """Return the folder's name, empty if nothing differs. Two different settings never share a name."""
    parts = [_part(name, value) for name, value in changed.items()]
    if tolerance:
        parts.append(f"tolerance-{float(tolerance)}")
    if not probe:
        parts.append("no-probe")
    text = "_".join(parts)
    name = re.sub(r"[^\w.+-]", "-", text, flags=re.ASCII)
    if name == text and len(name) <= _LONGEST and "root" not in changed:
        return name
    settings = json.dumps([changed, probe, tolerance], sort_keys=True)
    return f"{name[:_LONGEST]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def _part(name: str, value: JsonValue) -> str:
    if name == "test_subjects" and not value:
        return "validation-subjects"
    if name == "root":
        text = Path(str(value)).name
    else:
        text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{_LABELS.get(name, name)}-{text}"
