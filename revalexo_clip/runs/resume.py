"""Resuming a run: which run, from which checkpoint, and whether the experiment is still the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import counted
from revalexo_clip.core.version import __version__
from revalexo_clip.models.encoders.base import Encoder
from revalexo_clip.runs.checkpoint import CheckpointMetadata, LoadedCheckpoint
from revalexo_clip.runs.environment import jobs_of, requeued_job
from revalexo_clip.runs.folder import inherited_run_folder, runs_of
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume_state import Progress

log = logging.getLogger("revalexo_clip")

E = TypeVar("E", bound=Experiment)

NEWEST = Path("newest")
"""Stands for the newest run of an experiment that has a checkpoint."""

LOGGERS = "trainer.loggers"

FREE = frozenset(
    f"{part}.{name}"
    for part, names in (
        ("data", ("root", "workers", "pack")),
        ("video", ("architecture",)),  # read from the model's files unless it is given
        ("feature_cache", ("folder",)),
        ("trainer", ("accelerator", "devices", "num_nodes", "strategy", "checkpoint_minutes", "log_every", "loggers")),
    )
    for name in names
)
"""Fields that do not affect what is computed, only where and how: they may change when a run is resumed."""


@dataclass(frozen=True)
class Resumed:
    """A run that is to be resumed."""

    folder: Path
    checkpoint: LoadedCheckpoint[CheckpointMetadata]
    """The checkpoint to resume from, without its weights."""
    progress: Progress
    corrupt: tuple[Path, ...] = ()
    """Newer checkpoints that cannot be read."""
    changed: frozenset[str] = frozenset()
    """Dotted paths of the fields that the overrides change."""

    def finished(self, experiment: Experiment) -> bool:
        """Return whether the experiment, as it is now, leaves nothing to train."""
        stopped = self.progress.stopped_early and "trainer.early_stopping" not in self.changed
        return stopped or self.progress.next_epoch >= experiment.trainer.max_epochs

    def describe_progress(self, experiment: Experiment) -> str:
        """Describe where the run stands, for the log."""
        epochs = self.progress.next_epoch
        if self.finished(experiment):
            done = counted(epochs, "epoch")
            return f"{self.folder} is finished: {done}; to train longer, --set trainer.max_epochs=..."
        step = counted(self.checkpoint.step, "step")
        return f"resumes from {self.checkpoint.path}: {step} done, now in epoch {epochs + 1}"

    def with_kept_files(self, experiment: E) -> E:
        """Return the experiment; if files of its video model are missing, with what the checkpoint has of them."""
        description = self.checkpoint.description
        now = getattr(experiment, "video", None)
        kept = getattr(description, "video", None) or getattr(description.experiment, "video", None)
        if not isinstance(now, Encoder) or not isinstance(kept, Encoder):
            return experiment
        return experiment.model_copy(update={"video": now.or_as_kept(kept)})

    def refuse_other_data(self, now: CheckpointMetadata) -> None:
        """Raise `ConfigError` if the recordings changed, unless the overrides change fields of `data`."""
        before = self.checkpoint.description.fingerprint
        if before and before != now.fingerprint and not any(path.startswith("data.") for path in self.changed):
            raise ConfigError(
                f"{self.folder}: the files of the dataset have changed since this run started, so it cannot be "
                "resumed; start a new run without --resume"
            )
        differing = _differing_architecture(self.checkpoint.description, now)
        named = [path.partition(".")[0] for path in self.changed if not is_free(path)]
        if differing and not {"video", "encoder"}.intersection(named):
            raise ConfigError(
                f"{self.folder}: the files of the video model have changed since this run started ({differing}), so it "
                "cannot be resumed; restore config.json and preprocessor_config.json, or start a new run without "
                "--resume"
            )


def _differing_architecture(before: CheckpointMetadata, now: CheckpointMetadata) -> str:
    """Return what differs in the video model that was read from files, as text; empty if nothing does.

    Settings that only one of them has are those of another version of the library.
    """
    old, new = (_architecture(description) for description in (before, now))
    if old is None or new is None:
        return ""
    found = differences(old, new)
    old_config, new_config = old.get("config"), new.get("config")
    if isinstance(old_config, dict) and isinstance(new_config, dict):
        one_only = {f"config.{name}" for name in old_config.keys() ^ new_config.keys()}
        found = {
            path: values
            for path, values in found.items()
            if not any(
                path == name or path.startswith(f"{name}.") for name in {*one_only, "config.transformers_version"}
            )
        }
    return ", ".join(sorted(found))


def _architecture(description: CheckpointMetadata) -> JsonObject | None:
    """Return what a description says about the video model that was read from files; None if there is none."""
    described = description.model_dump(mode="json")
    video = described.get("video") or description.experiment.model_dump(mode="json").get("video")
    found = video.get("architecture") if isinstance(video, dict) else None
    return found if isinstance(found, dict) else None


LoadCheckpoint = Callable[[Path], LoadedCheckpoint[CheckpointMetadata]]
"""Reads a checkpoint file of one kind. Raises `DataError` or `ConfigError`, which name the file."""


def find_resumed(experiment: Experiment, options: RunOptions, load: LoadCheckpoint) -> Resumed | None:
    """Return the run to resume, or None if a new run is to start.

    If `options.resume` is None, only a requeued SLURM job resumes the run that it started. The fields that
    `options.overrides` name may differ from the checkpoint's experiment. Raises `ConfigError` if other fields differ,
    if there is no such run, or if its checkpoint lacks entries; `DataError` if all of its checkpoints are corrupt.
    """
    folder = _choose(experiment, options.resume)
    if folder is None:
        return None
    corrupt: list[Path] = []
    for path in _checkpoints(folder):
        try:
            checkpoint = load(path)
        except DataError:
            corrupt.append(path)
            continue
        for other in corrupt:
            log.warning("%s is corrupt; resuming from %s instead", other, path.name)
        if checkpoint.progress is None:
            raise ConfigError(
                f"{path} lacks {', '.join(checkpoint.missing)}, which a resumed run needs. Version "
                f"{checkpoint.description.version} of revalexo_clip wrote it, this is {__version__}; start a new run "
                "without --resume"
            )
        before = checkpoint.description.experiment.model_dump(mode="json")
        changed = changed_paths(folder, before, experiment, options.overrides)
        without_weights = replace(checkpoint, state={})  # Lightning reads them
        return Resumed(folder, without_weights, checkpoint.progress, tuple(corrupt), changed)
    if corrupt:
        raise DataError(f"{folder}: all of its checkpoints are corrupt: {', '.join(path.name for path in corrupt)}")
    return None


def _choose(experiment: Experiment, where: Path | None) -> Path | None:
    if inherited := inherited_run_folder():  # the parent process has chosen
        return inherited
    if where is not None and where != NEWEST:
        if not where.is_dir():
            raise ConfigError(f"--resume {where}: no such run folder")
        folder = where.parent / where.readlink() if where.is_symlink() else where
        if not _checkpoints(folder):
            raise ConfigError(f"--resume {where}: this run has no checkpoint to resume from")
        return folder
    runs = [folder for folder in runs_of(experiment.name) if _checkpoints(folder)]
    if job := requeued_job():
        own = [folder for folder in runs if job in jobs_of(folder) and _is_of(folder, experiment)]
        if own:
            return own[0]
    if where is None:
        return None
    if not runs:
        log.info("no run of %s has a checkpoint to resume from: a new run starts", experiment.name)
        return None
    return runs[0]


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that a run can be resumed from, the best choice first."""
    found = sorted((folder / "checkpoints").glob("epoch=*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    last = (folder / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    return [*(path for path in last if path.is_file()), *found]


def _is_of(folder: Path, experiment: Experiment) -> bool:
    """Return whether a run is of this experiment: the script of a job may train several."""
    before = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    return all(map(is_free, differences(before, experiment.model_dump(mode="json"))))


def is_free(path: str) -> bool:
    """Return whether a field, also one of a pretraining inside folds, may change when a run is resumed."""
    path = path.removeprefix("folds.pretrain.")
    return path in FREE or path.startswith(f"{LOGGERS}.")


def changed_paths(folder: Path, before: JsonObject, experiment: Experiment, overrides: Sequence[str]) -> frozenset[str]:
    """Return the dotted paths that differ from a run's experiment `before`, as JSON, and that `overrides` name.

    Raises `ConfigError` if other paths differ, except for `FREE` ones.
    """
    found = differences(before, experiment.model_dump(mode="json"))
    named = [text.partition("=")[0] for text in overrides]
    changed = {path for path in found if any(path == name or path.startswith(f"{name}.") for name in named)}
    refused = {path: values for path, values in found.items() if path not in changed and not is_free(path)}
    if refused:
        shown = "\n".join(f"  {path}: {json.dumps(old)} -> {json.dumps(new)}" for path, (old, new) in refused.items())
        first = next(iter(refused))
        raise ConfigError(
            f"{folder}: the experiment differs from the one that started this run:\n{shown}\n"
            f"To resume with the new values, pass --set {first}=... for each; to start a new run, omit --resume"
        )
    return frozenset(changed)


def differences(before: JsonValue, now: JsonValue, path: str = "") -> dict[str, tuple[JsonValue, JsonValue]]:
    """Return the differences of two experiments, as JSON, by dotted path.

    If a component was replaced by one of another type, only `type` is listed.
    """
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
