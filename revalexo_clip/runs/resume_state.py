"""The entries of a checkpoint that a resumed run needs besides weights and optimizer.

Their names are constants, so that renaming a class neither loses nor changes them. `CheckpointMetadata.resume_entries`
lists those that a checkpoint of an experiment must have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DATA_POSITION = "data_position"
"""The epoch and the batch that come next, see `PairsDataModule.position`."""
SCHEDULE = "schedule"
"""The optimizer's settings and the length of the run, as text."""
EPOCH_AVERAGES = "epoch_averages"
"""Sums of the metrics since the last row of `metrics.csv`, and since the start of an unfinished epoch."""
EPOCH_ROW = "epoch_row"
"""The row of `metrics.csv` that the epoch ends with; empty within an epoch."""
BETWEEN_SUBJECTS = "between_subjects"
"""Sums over the embeddings of an unfinished epoch, by modality."""
TRAINING_WEIGHTS = "training_weights"
"""The weights that training continues with, if `state_dict` holds their moving average."""

CALLBACKS = "callbacks"
"""The entry in which Lightning keeps the state of callbacks, each by its `state_key`:"""
BEST_CHECKPOINTS = "best_checkpoints"
EARLY_STOPPING = "early_stopping"
COLLAPSE_WARNING = "collapse_warning"
MEMORISING_WARNING = "memorising_warning"


def of_callback(state_key: str) -> str:
    """Return the path of a callback's entry."""
    return f"{CALLBACKS}/{state_key}"


def missing_entries(content: Mapping[str, Any], paths: Iterable[str]) -> tuple[str, ...]:
    """Return those paths, such as `callbacks/early_stopping`, that a checkpoint's content lacks."""
    return tuple(path for path in paths if not _has(content, path))


def _has(content: object, path: str) -> bool:
    for key in path.split("/"):
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return True


@dataclass(frozen=True)
class Progress:
    """How far the run of a checkpoint has come."""

    next_epoch: int
    """Number of complete epochs, validation included."""
    stopped_early: bool
    """Whether early stopping has ended the training."""
    epoch_row: Mapping[str, float]
    """The row of `metrics.csv` that the epoch ends with; empty within an epoch."""
    pending_steps: int | None
    """Number of steps of the unfinished epoch; None if the last epoch has ended."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Progress:
        """Read the content of a checkpoint that has all of its entries."""
        position = content[DATA_POSITION]
        return cls(
            next_epoch=position["epoch"],
            stopped_early=bool(content[CALLBACKS].get(EARLY_STOPPING, {}).get("stopped_epoch")),
            epoch_row=content[EPOCH_ROW],
            pending_steps=position["batches"] if position["batch"] else None,
        )
