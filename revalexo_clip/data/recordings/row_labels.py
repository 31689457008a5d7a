"""Labels in a column of a recording's own CSV file: one for each row. Blank cells are no label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import read_column
from revalexo_clip.data.windows import Floats, Ints

UNLABELLED_ROW = -1


def read_row_labels(path: Path, column: str) -> list[str]:
    """Read the label of each row, "" for none. Raises `DataError` if no row has one."""
    cells, _ = read_column(path, column)
    labels = [cell.strip() for cell in cells]
    if not any(labels):
        raise DataError(f"{path}: column {column} has no label in any row")
    return labels


def numbered(labels: Sequence[str], activities: Sequence[str]) -> Ints:
    """Return [n], the index of the label of each row in `activities`, or `UNLABELLED_ROW`."""
    number = {name: place for place, name in enumerate(activities)} | {"": UNLABELLED_ROW}
    return np.array([number[label] for label in labels], dtype=np.int64)


def segments_of(label_n: Ints, time_n: Floats, usual: float, longest: float) -> list[tuple[float, float, int]]:
    """Return start, end [s] and label of each run of rows with one label, for at least one row.

    `time_n` ascends. A row lasts until the next one; if that comes later than `longest` [s], it lasts for `usual` [s].
    """
    step_n = np.append(np.diff(time_n), np.inf)
    end_n = np.where(step_n > longest, time_n + usual, np.append(time_n[1:], np.inf))
    is_last_n = np.append(label_n[1:] != label_n[:-1], True) | (step_n > longest)
    last_r = np.flatnonzero(is_last_n)
    first_r = np.append(0, last_r[:-1] + 1)
    runs = zip(time_n[first_r].tolist(), end_n[last_r].tolist(), label_n[last_r].tolist(), strict=True)
    return [(start, end, label) for start, end, label in runs if label != UNLABELLED_ROW]
