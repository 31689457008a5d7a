"""Tables of a sensor that nods slowly: its accelerometer shows gravity turning as its gyroscope says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from revalexo_clip.devices.base import Floats
from support.tiny_dataset import steady, write_video

G = 9.80665
SECONDS = 6.0


def nodding(time_N: Floats, angle: float = 0.8) -> Floats:
    """[N, 6] acc [m/s^2] and gyro [rad/s] of a sensor that nods about x by an angle [rad], at 0.4 Hz."""
    angle_N, turns_N = angle * np.sin(2.5 * time_N), 2.5 * angle * np.cos(2.5 * time_N)
    still_N = np.zeros_like(time_N)
    acc_N3 = G * np.stack([still_N, np.sin(angle_N), np.cos(angle_N)], axis=1)
    return np.concatenate([acc_N3, np.stack([turns_N, still_N, still_N], axis=1)], axis=1)


def even(rate: float = 100.0, seconds: float = SECONDS) -> Floats:
    """Times of rows [s]."""
    return np.arange(round(seconds * rate)) / rate


def write_table(  # noqa: PLR0917 (what a table is made of)
    path: Path,
    header: Sequence[str],
    columns: Sequence[Floats | Sequence[str]],
    delimiter: str = ",",
    decimal: str = ".",
    before: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Path:
    """Write columns of numbers or texts below lines and a header; NaN becomes an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [delimiter.join(_text(cell, decimal) for cell in row) for row in zip(*columns, strict=True)]
    head = [delimiter.join(header)] if header else []
    path.write_bytes("\n".join([*before, *head, *rows, ""]).encode(encoding))
    return path


def _text(cell: object, decimal: str) -> str:
    if isinstance(cell, str):
        return cell
    value = float(str(cell))
    return "" if np.isnan(value) else repr(value).replace(".", decimal)


def imu_table(path: Path, **changed: Sequence[str] | Floats | str) -> Path:
    """Write a table with t, ax to az [m/s^2] and gx to gz [rad/s], with columns replaced or added."""
    time_N = even()
    values_N6 = nodding(time_N)
    columns: Mapping[str, Sequence[str] | Floats | str] = {
        "t": time_N,
        **dict(zip(("ax", "ay", "az", "gx", "gy", "gz"), values_N6.T, strict=True)),
        **changed,
    }
    cells = {name: cell for name, cell in columns.items() if not isinstance(cell, str)}
    return write_table(path, tuple(cells), tuple(cells.values()))


def video_of(path: Path, seconds: float = SECONDS) -> Path:
    """Write a video of 30 frames per second, encoded once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(seconds))
    return path


@cache
def _encoded(seconds: float) -> bytes:
    with TemporaryDirectory() as folder:
        write_video(Path(folder) / "video.mp4", steady(seconds))
        return (Path(folder) / "video.mp4").read_bytes()
