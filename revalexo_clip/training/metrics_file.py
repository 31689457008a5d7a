"""`metrics.csv`: one row for each time something is logged. A resumed run goes on with it where it stood."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger

from revalexo_clip.files import atomically


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

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: `experiment.json` has them."""

    def _add_columns(self, row: Iterable[str]) -> None:
        rows: list[dict[str, str]] = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        if not self._columns:
            rows = [found for found in rows if int(found["step"]) < self.step]
        self._columns = sorted({*self._columns, *row}.union(*rows))
        with atomically(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
