"""Checkpoints: written atomically, found by name, read without running any code of theirs."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
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

KEY = "revalexo_clip"
"""Where a checkpoint of pretraining keeps the JSON text of its `Description`."""
RECOGNISER_KEY = "revalexo_clip_classifier"
"""Where that of an activity classifier does."""


class CheckpointMetadata(Config):
    """What checkpoints of all kinds say about themselves."""

    format: Literal[1] = 1
    """Version of this layout."""
    version: str
    """Version of revalexo_clip that trained it."""
    experiment: Experiment
    """The resolved experiment."""
    activities: tuple[str, ...]
    """Names of the activity labels, in the order of their indices."""
    subjects: dict[Split, tuple[str, ...]]
    """Subjects it was trained on, and those it was selected on."""
    excluded: dict[Split, tuple[str, ...]] = Field(default_factory=dict)
    """`subject/pair id` of the clips that were left out because they were bad."""
    fingerprint: dict[Split, str] = Field(default_factory=dict)
    """What the data were, as `LabelledWindows.fingerprint` tells."""


class Description(CheckpointMetadata):
    """What a checkpoint of pretraining says about itself: enough to rebuild the model and to know what it has seen."""

    experiment: PretrainExperiment
    """The resolved experiment."""
    imu_spec: ImuSpec
    """The IMU windows it was trained on."""
    video_spec: VideoSpec
    """The video windows it was trained on."""


D = TypeVar("D", bound=CheckpointMetadata)
D_co = TypeVar("D_co", bound=CheckpointMetadata, covariant=True)


@dataclass(frozen=True)
class Saved(Generic[D_co]):
    """A checkpoint that was read."""

    path: Path
    description: D_co
    state: Mapping[str, Tensor]
    epoch: int
    """Epochs it was trained for; the last of them may have been under way."""
    step: int
    """Optimizer steps taken."""
    next_epoch: int = 0
    """Epochs that are complete, their validation included."""
    stopped_early: bool = False
    """Whether early stopping has ended the training."""
    epoch_row: Mapping[str, float] = field(default_factory=dict)
    """What `metrics.csv` says of its epoch; nothing while that is under way."""
    pending_steps: int | None = None
    """How many steps the epoch that is under way has; None where the last one has ended."""

    def load_into(self, model: nn.Module) -> None:
        """Give a model the checkpoint's weights. Raises `DataError` where they do not fit."""
        prefix = "model."
        weights = {name.removeprefix(prefix): w for name, w in self.state.items() if name.startswith(prefix)}
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:  # names or shapes differ
            raise DataError(
                f"{self.path}: its weights do not fit the model that it describes; was a component's code changed "
                f"since?\n{error}"
            ) from error


@dataclass(frozen=True)
class Checkpoint(Saved[Description]):
    """A checkpoint of pretraining."""

    def build_model(self) -> DualEncoder:
        """The dual encoder with the checkpoint's weights, in eval mode."""
        described = self.description
        model = described.experiment.build_model(described.imu_spec, described.video_spec)
        self.load_into(model)
        return model.eval()


def load_checkpoint(path: Path, experiment_file: Path | None = None) -> Checkpoint:
    """Read a checkpoint file of pretraining. Raises `DataError` or `ConfigError`, naming the file."""
    saved = read_checkpoint(path, KEY, Description, experiment_file)
    return Checkpoint(**vars(saved))


def read_checkpoint(path: Path, key: str, kind: type[D], experiment_file: Path | None = None) -> Saved[D]:
    """Read a checkpoint file that keeps a description of some kind under a key.

    Raises `DataError` or `ConfigError`, naming the file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(_not_a_checkpoint(path, error)) from error
    if not is_sound(path):
        raise DataError(f"{path} is damaged: it does not hold what was written")
    text = content.get(key) if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise DataError(_of_another_kind(path, content))
    try:
        description = kind.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(_unreadable(path, error, experiment_file)) from error
    epoch: int = content["epoch"] + 1
    stands = content.get("PairsDataModule", {"epoch": epoch})
    return Saved(
        path,
        description,
        content["state_dict"],
        epoch=epoch,
        step=content["global_step"],
        next_epoch=stands["epoch"],
        stopped_early=any(state.get("stopped_epoch") for state in content.get("callbacks", {}).values()),
        epoch_row=content.get("epoch_row", {}),
        pending_steps=stands["batches"] if stands.get("batch") else None,
    )


def _of_another_kind(path: Path, content: object) -> str:
    for key, what, command in (
        (KEY, "a checkpoint of pretraining", "rxclip evaluate, rxclip export-encoder, or `encoder` of a finetuning"),
        (RECOGNISER_KEY, "a finetuned activity classifier", "rxclip finetune --resume"),
    ):
        if isinstance(content, dict) and key in content:
            return f"{path} is {what}, and not what was asked for here; it is for {command}"
    return f"{path} is not a checkpoint of rxclip: it holds no description of a run"


def is_sound(path: Path) -> bool:
    """Whether a checkpoint holds what was written: all of it, and no bit of it changed.

    Its parts carry checksums, which torch writes and does not look at.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, OSError, *UNPICKLING_ERRORS):  # according to what the damage hit
        return False


def _unreadable(path: Path, error: ValidationError, experiment_file: Path | None) -> str:
    unknown = any(item["type"] == "unknown_component" for item in error.errors())
    hint = ""
    if unknown and experiment_file is None:
        hint = "\nIf an experiment file defines the component, name that file: --experiment FILE.py"
    elif unknown:
        hint = f"\n{experiment_file} does not define it"
    return f"{path}: cannot rebuild its experiment:\n{describe(error)}{hint}"


def _not_a_checkpoint(path: Path, error: Exception) -> str:
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"{path} is not a checkpoint of rxclip: it holds code ({refused[1]}), which is never run"
    if path.stat().st_size == 0:
        return f"{path} is not a checkpoint: it is empty"
    return f"{path} is not a checkpoint, or not a whole one: it cannot be unpacked"


def _save(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch's writer closes its archive and stumbles over that
            raise error.__context__ from error
        raise


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to disk, then renames: a crash leaves the old file or the new one.

    Reading runs no code of the checkpoint's.
    """

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: object = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a checkpoint, on the CPU."""
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return content

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object | None = None
    ) -> None:
        """Write `checkpoint` to `path`. The file that it replaces is kept where `storage_options` name it."""
        target = Path(path)
        with atomically(target) as temporary:
            with temporary.open("wb") as file:
                _save(checkpoint, file)
            if isinstance(storage_options, dict) and target.is_file():
                link_atomically(target, target.with_name(storage_options["keep_old_as"]))
