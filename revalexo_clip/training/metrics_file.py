"""`metrics.csv`: one row each time something is logged. A resumed run continues the file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import lightning.pytorch as pl
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger

from revalexo_clip.core.files import atomically
from revalexo_clip.runs.resume_state import EPOCH_ROW


class MetricsFile(Logger):
    """Writes each row at once to a file that stays open. A new metric is a new column: the file is then rewritten.

    Lightning's own logger is not used because it deletes an existing file. `step` is the number of steps taken before
    this process started: rows of later steps are dropped, because those steps will be repeated.
    """

    def __init__(self, path: Path, step: int = 0) -> None:
        super().__init__()
        self.path = path
        self.step = step
        self._columns: list[str] = []
        self._file: IO[str] | None = None

    @property
    def name(self) -> str:
        """Empty: the file has its own place in the run folder."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as the name."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        row = {**metrics, "step": step}
        if not set(row) <= set(self._columns):
            self._close()  # before the file is replaced
            self._add_columns(row)
        if self._file is None:
            self._file = self.path.open("a", newline="", encoding="utf-8")
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def complete(self, row: Mapping[str, float]) -> None:
        """Add an epoch's row from its checkpoint if it is missing: a run may be killed between the two writes."""
        present = [
            {name for name, value in found.items() if value}
            for found in self._rows()
            if found["step"] == str(row["step"])
        ]
        if set(row) not in present:
            self.log_metrics(row, int(row["step"]))
            self._close()

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Do nothing: they are in `experiment.json`."""

    def _add_columns(self, row: Iterable[str]) -> None:
        rows = self._rows()
        if not self._columns:
            rows = [found for found in rows if int(found["step"]) < self.step]
        self._columns = sorted({*self._columns, *row}.union(*rows))
        with atomically(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


class EpochRow(pl.Callback):
    """Saves the row that an epoch ends with in its checkpoints: Lightning logs it only after they are written."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Add the row; within an epoch it is empty."""
        checkpoint[EPOCH_ROW] = {}
        loop = trainer.fit_loop.epoch_loop
        if loop.batch_progress.current.completed == trainer.num_training_batches:
            row = convert_tensors_to_scalars(trainer._logger_connector.metrics["log"])
            checkpoint[EPOCH_ROW] = {**row, "epoch": trainer.current_epoch, "step": loop._batches_that_stepped - 1}
