"""Checkpoints: written atomically, read without running code from the file."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Literal, TypeVar

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from pydantic import Field, ValidationError
from torch import Tensor, nn

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Config, describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import UNPICKLING_ERRORS, atomically, link_atomically
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.runs import resume_state
from revalexo_clip.runs.resume_state import Progress

PRETRAINING_KEY = "revalexo_clip"
"""Entry of a pretraining checkpoint that holds the JSON text of its `PretrainingMetadata`."""
CLASSIFIER_KEY = "revalexo_clip_classifier"
"""Entry of a classifier checkpoint that holds the JSON text of its `ClassifierMetadata`."""


class CheckpointMetadata(Config):
    """Metadata of every kind of checkpoint."""

    format: Literal[1] = 1
    """Version of this layout."""
    version: str
    """Version of revalexo_clip that wrote the checkpoint."""
    experiment: Experiment
    """The resolved experiment."""
    activities: tuple[str, ...]
    """Names of the activity labels, in the order of their indices."""
    subjects: dict[Split, tuple[str, ...]]
    """Training subjects, and validation subjects, on which checkpoints were selected."""
    excluded: dict[Split, tuple[str, ...]] = Field(default_factory=dict)
    """`subject/pair id` of the bad clips that were excluded."""
    fingerprint: dict[Split, str] = Field(default_factory=dict)
    """Fingerprints of the data, see `LabelledWindows.fingerprint`."""

    def resume_entries(self) -> tuple[str, ...]:
        """Return the paths of the entries that a resumed run needs, see `resume_state`."""
        trainer = self.experiment.trainer
        paths = [
            *(resume_state.DATA_POSITION, resume_state.SCHEDULE, resume_state.EPOCH_AVERAGES, resume_state.EPOCH_ROW),
            resume_state.of_callback(resume_state.BEST_CHECKPOINTS),
        ]
        if trainer.early_stopping is not None:
            paths.append(resume_state.of_callback(resume_state.EARLY_STOPPING))
        if trainer.average is not None:
            paths.append(resume_state.TRAINING_WEIGHTS)
        return tuple(paths)


class PretrainingMetadata(CheckpointMetadata):
    """Metadata of a pretraining checkpoint: enough to rebuild the model and to know its training data."""

    experiment: PretrainExperiment
    """The resolved experiment."""
    imu_spec: ImuSpec
    """Format of the IMU windows that it was trained on."""
    video_spec: VideoSpec | None
    """Format of the video windows that it was trained on; None for IMU alone."""

    def resume_entries(self) -> tuple[str, ...]:
        """See `CheckpointMetadata.resume_entries`."""
        warnings = resume_state.COLLAPSE_WARNING, resume_state.MEMORISING_WARNING
        own = resume_state.BETWEEN_SUBJECTS, *(resume_state.of_callback(warning) for warning in warnings)
        return *super().resume_entries(), *own


D = TypeVar("D", bound=CheckpointMetadata)
D_co = TypeVar("D_co", bound=CheckpointMetadata, covariant=True)


@dataclass(frozen=True)
class LoadedCheckpoint(Generic[D_co]):
    """A checkpoint that was read."""

    path: Path
    description: D_co
    state: Mapping[str, Tensor]
    """Weights of the Lightning module, by name."""
    epoch: int
    """Number of epochs it was trained for, an unfinished one included."""
    step: int
    """Number of optimizer steps taken."""
    progress: Progress | None
    """How far the run has come; None if entries are missing."""
    missing: tuple[str, ...] = ()
    """Entries that a resumed run needs and the file lacks."""

    def load_into(self, model: nn.Module) -> None:
        """Load the checkpoint's weights into a model. Raises `DataError` if they do not fit."""
        prefix = "model."
        weights = {name.removeprefix(prefix): w for name, w in self.state.items() if name.startswith(prefix)}
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:  # names or shapes differ
            raise DataError(
                f"{self.path}: its weights do not fit the model that it describes; the code of a component may have "
                f"changed since the training\n{error}"
            ) from error


@dataclass(frozen=True)
class Checkpoint(LoadedCheckpoint[PretrainingMetadata]):
    """A pretraining checkpoint."""

    def build_model(self) -> DualEncoder:
        """Build the dual encoder with the checkpoint's weights, in eval mode."""
        described = self.description
        model = described.experiment.build_model(described.imu_spec, described.video_spec)
        self.load_into(model)
        return model.eval()


def load_checkpoint(path: Path, experiment_file: Path | None = None) -> Checkpoint:
    """Read a pretraining checkpoint. Raises `DataError` or `ConfigError`, which name the file."""
    saved = read_checkpoint(path, PRETRAINING_KEY, PretrainingMetadata, experiment_file)
    return Checkpoint(**vars(saved))


def read_checkpoint(path: Path, key: str, kind: type[D], experiment_file: Path | None = None) -> LoadedCheckpoint[D]:
    """Read a checkpoint file whose entry `key` holds metadata of a kind.

    Raises `DataError` or `ConfigError`, which name the file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(_not_a_checkpoint_message(path, error)) from error
    if not is_sound(path):
        raise DataError(f"{path} is corrupt: checksum mismatch")
    text = content.get(key) if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise DataError(_other_kind_message(path, content))
    try:
        description = kind.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(_invalid_metadata_message(path, error, experiment_file)) from error
    missing = resume_state.missing_entries(content, description.resume_entries())
    return LoadedCheckpoint(
        path,
        description,
        content["state_dict"],
        epoch=content["epoch"] + 1,
        step=content["global_step"],
        progress=None if missing else Progress.read(content),
        missing=missing,
    )


def _other_kind_message(path: Path, content: object) -> str:
    pretraining_uses = "rxclip evaluate, rxclip export-encoder, or `encoder` of a finetuning"
    for key, kind, command in (
        (PRETRAINING_KEY, "a pretraining checkpoint", pretraining_uses),
        (CLASSIFIER_KEY, "the checkpoint of an activity classifier", "rxclip finetune --resume"),
    ):
        if isinstance(content, dict) and key in content:
            return f"{path} is {kind}, which cannot be used here; use it with {command}"
    return f"{path} is not a checkpoint of rxclip: it has no metadata of a run"


def is_sound(path: Path) -> bool:
    """Return whether a checkpoint is complete and matches its checksums, which torch writes but does not verify."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, OSError, *UNPICKLING_ERRORS):  # depending on which bytes are corrupt
        return False


def _invalid_metadata_message(path: Path, error: ValidationError, experiment_file: Path | None) -> str:
    unknown = [item["ctx"]["name"] for item in error.errors() if item["type"] == "unknown_component"]
    hint = ""
    if unknown and experiment_file is None:
        hint = "\nIf an experiment file defines the component, pass that file: --experiment FILE.py"
    elif unknown:
        hint = f"\n{experiment_file} does not define it"
    if unknown:
        hint += (
            ". If it was renamed since the training, let that file define the old name too: "
            f"`class {unknown[0]}(NewName): pass`"
        )
    return f"{path}: cannot rebuild its experiment:\n{describe(error)}{hint}"


def _not_a_checkpoint_message(path: Path, error: Exception) -> str:
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"{path} is not a checkpoint of rxclip: it contains code ({refused[1]}), which is never run"
    if path.stat().st_size == 0:
        return f"{path} is not a checkpoint: the file is empty"
    return f"{path} is not a checkpoint, or is incomplete: it cannot be unpacked"


def _save(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch hides it when it closes its archive
            raise error.__context__ from error
        raise


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file, flushes it to disk and renames it: a crash leaves the old file or the new one.

    Reading never runs code from the checkpoint.
    """

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: object = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the content of a checkpoint, on the CPU."""
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return content

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object | None = None
    ) -> None:
        """Write `checkpoint` to `path`, and keep the file that it replaces if `storage_options` name a place."""
        target = Path(path)
        with atomically(target) as temporary:
            with temporary.open("wb") as file:
                _save(checkpoint, file)
            if isinstance(storage_options, dict) and target.is_file():
                link_atomically(target, target.with_name(storage_options["keep_old_as"]))
