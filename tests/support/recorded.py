"""Tiny labelled recordings, as an .npz file and as CSV files with tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.data import ImuRecordings

CHANNELS = ("acc_x", "acc_y", "gyro_x")
ACTIVITIES = ("walking", "sitting", "climbing")
LENGTHS = (300, 90, 180, 721, 240)
"""Samples of the recordings: 5.0, 1.5, 3.0, 12.02 and 4.0 s at 60 Hz."""
SUBJECTS = (3, 3, 1, 12, 1)
LABELS = (0, 1, 2, 1, 0)

Array = npt.NDArray[np.generic]


def arrays(**changes: Array | None) -> dict[str, Array]:
    """Arrays of the .npz file: row i is i, i + 0.25 and i + 0.5. A change of None removes an array."""
    rows_N = np.arange(sum(LENGTHS), dtype=np.float32)
    whole: dict[str, Array | None] = {
        "data": rows_N[:, None] + np.array([0.0, 0.25, 0.5], dtype=np.float32),
        "offsets": np.cumsum([0, *LENGTHS]),
        "label": np.array(LABELS),
        "subject": np.array(SUBJECTS),
        "activities": np.array(ACTIVITIES),
        "channels": np.array(CHANNELS),
        "fs": np.array(60.0),
    }
    return {name: array for name, array in (whole | changes).items() if array is not None}


def write_npz(path: Path, **changes: Array | None) -> Path:
    """Write an .npz file of five recordings of three subjects."""
    np.savez(path, allow_pickle=True, **arrays(**changes))
    return path


def from_npz(path: Path, **fields: object) -> ImuRecordings:
    """The component that reads such a file."""
    wanted = {"root": path, "train_subjects": ("3", "12"), "val_subjects": ("1",)}
    return ImuRecordings.model_validate(wanted | fields)


def write_csv(path: Path, columns: Mapping[str, Sequence[float] | Array]) -> None:
    """A recording whose cells are written in full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(repr, map(float, row))) for row in rows)]) + "\n")


def write_table(path: Path, header: str, *lines: str) -> None:
    """A table of recordings or of segments."""
    path.write_text("\n".join([header, *lines]) + "\n")
