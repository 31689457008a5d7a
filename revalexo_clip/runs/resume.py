"""Going on with a run: which one, from which of its checkpoints, and whether it is still the same experiment."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import counted
from revalexo_clip.runs.checkpoint import CheckpointMetadata, Saved
from revalexo_clip.runs.environment import jobs_of, requeued_job
from revalexo_clip.runs.folder import inherited_run_folder, runs_of

log = logging.getLogger("revalexo_clip")

NEWEST = Path("newest")
"""Stands for the newest run of an experiment that has a checkpoint."""

FREE = frozenset(
    f"{part}.{name}"
    for part, names in (
        ("data", ("root", "workers", "pack")),
        ("trainer", ("accelerator", "devices", "num_nodes", "strategy", "checkpoint_minutes")),
    )
    for name in names
)
"""Fields that say where and how a run is computed, not what: they may change between its parts."""


@dataclass(frozen=True)
class Resumed:
    """A run that is gone on with."""

    folder: Path
    checkpoint: Saved[CheckpointMetadata]
    damaged: tuple[Path, ...] = ()
    """Newer checkpoints that cannot be used."""
    changed: frozenset[str] = frozenset()
    """Dotted paths that the command sets anew."""

    def finished(self, experiment: Experiment) -> bool:
        """Whether the experiment, as it is now, leaves nothing to train."""
        stopped = self.checkpoint.stopped_early and "trainer.early_stopping" not in self.changed
        return stopped or self.checkpoint.next_epoch >= experiment.trainer.max_epochs

    def describe_progress(self, experiment: Experiment) -> str:
        """Where it stands, for the log."""
        found = self.checkpoint
        if self.finished(experiment):
            done = counted(found.next_epoch, "epoch")
            return f"{self.folder} is finished: {done}; to train on, --set trainer.max_epochs=..."
        return f"from   {found.path}: {counted(found.step, 'step')} done, now epoch {found.next_epoch + 1}"

    def refuse_other_data(self, now: CheckpointMetadata) -> None:
        """Raises `ConfigError` where the recordings changed, unless the command changes what is taken of them."""
        before = self.checkpoint.description.fingerprint
        if before and before != now.fingerprint and not any(path.startswith("data.") for path in self.changed):
            raise ConfigError(
                f"{self.folder}: the files of the dataset have changed since this run began, so it cannot be gone on "
                "with; start a new run without --resume"
            )


LoadCheckpoint = Callable[[Path], Saved[CheckpointMetadata]]
"""Reads a checkpoint file of one kind. Raises `DataError` or `ConfigError`, naming the file."""


def find_resumed(
    experiment: Experiment, where: Path | None, load: LoadCheckpoint, overrides: Sequence[str] = ()
) -> Resumed | None:
    """The run to go on with, or None where a new one is to begin.

    `where` is a run folder, or `NEWEST`; without it only a job that SLURM has requeued goes on with the run that it
    began. `overrides` are the command's `path=value` texts: what they say may differ from the checkpoint's experiment.
    Raises `ConfigError` where anything else differs or there is no such run, `DataError` where no checkpoint is whole.
    """
    folder = _choose(experiment, where)
    if folder is None:
        return None
    damaged: list[Path] = []
    for path in _checkpoints(folder):
        try:
            checkpoint = load(path)
        except DataError:
            damaged.append(path)
            continue
        for other in damaged:
            log.warning("%s is damaged; going on from %s instead", other, path.name)
        before = checkpoint.description.experiment.model_dump(mode="json")
        changed = changed_paths(folder, before, experiment, overrides)
        return Resumed(folder, replace(checkpoint, state={}), tuple(damaged), changed)  # Lightning reads the weights
    if damaged:
        raise DataError(f"{folder}: none of its checkpoints is whole: {', '.join(path.name for path in damaged)}")
    return None


def _choose(experiment: Experiment, where: Path | None) -> Path | None:
    if inherited := inherited_run_folder():  # this process does what the one that started it does
        return inherited
    if where is not None and where != NEWEST:
        if not where.is_dir():
            raise ConfigError(f"--resume {where}: no such run folder")
        folder = where.parent / where.readlink() if where.is_symlink() else where
        if not _checkpoints(folder):
            raise ConfigError(f"--resume {where}: this run has no checkpoint to go on from")
        return folder
    runs = [folder for folder in runs_of(experiment.name) if _checkpoints(folder)]
    if job := requeued_job():
        own = [folder for folder in runs if job in jobs_of(folder) and _is_of(folder, experiment)]
        if own:
            return own[0]
    if where is None:
        return None
    if not runs:
        log.info("no run of %s has a checkpoint to go on from: a new one begins", experiment.name)
        return None
    return runs[0]


def _checkpoints(folder: Path) -> list[Path]:
    """Those that a run can go on from, the best choice first."""
    found = sorted((folder / "checkpoints").glob("epoch=*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    last = (folder / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    return [*(path for path in last if path.is_file()), *found]


def _is_of(folder: Path, experiment: Experiment) -> bool:
    """Whether a run is of this very experiment: the script of a job may train several."""
    before = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    return all(map(is_free, differences(before, experiment.model_dump(mode="json"))))


def is_free(path: str) -> bool:
    """Whether a field may change between the parts of a run, that of a pretraining inside folds too."""
    return path.removeprefix("folds.pretrain.") in FREE


def changed_paths(folder: Path, before: JsonObject, experiment: Experiment, overrides: Sequence[str]) -> frozenset[str]:
    """The dotted paths that differ from a run's experiment, as JSON, and that `overrides` name.

    Raises `ConfigError` where others differ, but for those that are free to.
    """
    found = differences(before, experiment.model_dump(mode="json"))
    said = [text.partition("=")[0] for text in overrides]
    changed = {path for path in found if any(path == name or path.startswith(f"{name}.") for name in said)}
    refused = {path: values for path, values in found.items() if path not in changed and not is_free(path)}
    if refused:
        shown = "\n".join(f"  {path}: {json.dumps(old)} -> {json.dumps(new)}" for path, (old, new) in refused.items())
        first = next(iter(refused))
        raise ConfigError(
            f"{folder}: the experiment is not what it was in this run:\n{shown}\n"
            f"To change it from here on, say so: --set {first}=... for each; a new run starts without --resume"
        )
    return frozenset(changed)


def differences(before: JsonValue, now: JsonValue, path: str = "") -> dict[str, tuple[JsonValue, JsonValue]]:
    """What differs between the JSON forms of two experiments, by dotted path; of another component, only its type."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = ["type"] if before.get("type") != now.get("type") else dict.fromkeys([*before, *now])
        pairs = {name: (before.get(name), now.get(name)) for name in names}
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = {str(index): pair for index, pair in enumerate(zip(before, now, strict=True))}
    else:
        return {} if before == now else {path: (before, now)}
    return {
        name: values
        for key, (old, new) in pairs.items()
        for name, values in differences(old, new, f"{path}.{key}" if path else key).items()
    }
