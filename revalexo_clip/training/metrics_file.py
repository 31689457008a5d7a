"""`metrics.csv`: one row for each time something is logged. A resumed run goes on with it where it stood."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import lightning.pytorch as pl
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger

from revalexo_clip.core.files import atomically


class MetricsFile(Logger):
    """Writes each row as it comes. A new metric is a new column, for which the file is written anew.

    Lightning's own logger deletes the file that it finds. `step` is how many steps were taken before this process
    began: rows of later ones come from steps that will be repeated, and are dropped.
    """

    def __init__(self, path: Path, step: int = 0) -> None:
        super().__init__()
        self.path = path
        self.step = step
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """None: the file has its own place in the run folder."""
        return ""

    @property
    def version(self) -> str:
        """None, as for the name."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        row = {**metrics, "step": step}
        if not set(row) <= set(self._columns):
            self._add_columns(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def complete(self, row: Mapping[str, float]) -> None:
        """Add the row of an epoch that its checkpoint holds, if it is missing: a run may be killed between the two."""
        there = [
            {name for name, value in found.items() if value}
            for found in self._rows()
            if found["step"] == str(row["step"])
        ]
        if set(row) not in there:
            self.log_metrics(row, int(row["step"]))

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: `experiment.json` has them."""

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


class KeepEpochRow(pl.Callback):
    """Puts the row that an epoch ends with into its checkpoints: Lightning logs it only after they are written."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Do so; between two steps there is no such row."""
        loop = trainer.fit_loop.epoch_loop
        if loop.batch_progress.current.completed == trainer.num_training_batches:
            row = convert_tensors_to_scalars(trainer._logger_connector.metrics["log"])
            checkpoint["epoch_row"] = {**row, "epoch": trainer.current_epoch, "step": loop._batches_that_stepped - 1}
