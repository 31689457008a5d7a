"""Tables of a pack: their types and shapes, and whether they fit each other, so that readers need not check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from revalexo_clip.data.packets import MAX_PIXELS
from revalexo_clip.data.revalexo.layout import LABEL_MAPPING
from revalexo_clip.data.revalexo.pack.checksums import blocks_of
from revalexo_clip.data.revalexo.pack.hdf5 import Table
from revalexo_clip.data.windows import Ints

MAX_SIDE = 2**15
"""Largest short side of stored frames [px]."""

TURNS = 8
"""Number of ways to make a frame upright: four rotations, mirrored or not."""


class Layout(NamedTuple):
    """Type and shape of a table."""

    dtype: str
    shape: tuple[str | int, ...]
    """Names of lengths: N clips, N1 = N + 1, and the numbers of segments."""


TABLES: Mapping[str, Layout] = {
    **dict.fromkeys(("clips/subject", "clips/recording", "clips/header"), Layout("<i4", ("N",))),
    **dict.fromkeys(("clips/duration", "clips/offset", "clips/tolerance"), Layout("<f8", ("N",))),
    **dict.fromkeys(("clips/declared", "clips/packed"), Layout("?", ("N",))),
    **dict.fromkeys(("clips/first_frame", "clips/first_value"), Layout("<i8", ("N1",))),
    "clips/size": Layout("<i4", ("N", 2)),
    "clips/turns": Layout("i1", ("N",)),
    "clips/time_check": Layout("<u4", ("N",)),
    **{f"{group}/offset": Layout("<i8", ("N1",)) for group in ("activity", "transition")},
    **{f"{group}/{name}": Layout("<f8", (group,)) for group in ("activity", "transition") for name in ("start", "end")},
    **{f"{group}/label": Layout("<i8", (group,)) for group in ("activity", "transition")},
    **dict.fromkeys(("sources/size", "sources/changed"), Layout("<i8", ("N", 2))),
    "sources/sha256": Layout("u1", ("N", 2, 32)),
}
"""Arrays that are read when a pack is opened."""

PAYLOAD: Mapping[str, str] = {
    "frames/time": "<f8",
    "frames/place": "<i8",
    "frames/jpeg": "u1",
    "frames/check": "<u4",
    "imu/values": "<f4",
    "imu/check": "<u4",
}
"""Types of the arrays that are read window by window."""


class Header(BaseModel):
    """Column names of a CSV file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    kept: tuple[str, ...]
    """Columns whose samples are in the pack."""


class About(BaseModel):
    """Metadata of a pack that is not numeric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activities: tuple[str, ...]
    subjects: tuple[str, ...]
    """All subjects of the dataset, in order."""
    described_by: tuple[tuple[str, ...], ...]
    """Each subject's JSON files, relative to the root."""
    unreadable: tuple[str, ...]
    """Subjects whose JSON files are invalid, so that none of their clips is in the pack."""
    digests: dict[str, str]
    """SHA-256 of every JSON file, by its path relative to the root."""
    names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    videos: tuple[str, ...]
    """Video of each clip, relative to the root; "" if there is none."""
    imus: tuple[str, ...]
    """IMU file of each clip, relative to the root."""
    headers: tuple[Header, ...]


def check_tables(about: About, tables: Mapping[str, Table], lengths: Mapping[str, int]) -> None:
    """Check that the tables of a pack fit each other and its arrays. Raises `ValueError`.

    `lengths` are the numbers of items of the arrays in `PAYLOAD`.
    """
    _check_about(about)
    known = {"N": len(about.names), "N1": len(about.names) + 1}
    for name, layout in TABLES.items():
        shape = tables[name].shape
        if len(shape) != len(layout.shape):
            raise ValueError(f"{name} has {len(shape)} dimensions, not {len(layout.shape)}")
        for length, size in zip(layout.shape, shape, strict=True):
            expected = length if isinstance(length, int) else known.setdefault(length, size)
            if size != expected:
                raise ValueError(f"{name} has the shape {shape}, and {expected} was expected instead of {size}")
    _check_clips(about, tables)
    _check_segments(about, tables)
    _check_payload(about, tables, lengths)


def _demand(name: str, right: npt.NDArray[np.bool_] | bool) -> None:
    if not np.all(right):
        raise ValueError(f"{name} has impossible values")


def _check_about(about: About) -> None:
    clips, paths = len(about.names), (*about.videos, *about.imus)
    described = {LABEL_MAPPING, *(file for files in about.described_by for file in files)}
    _demand("about.names", clips > 0)
    _demand("about.videos", len(about.videos) == clips)
    _demand("about.imus", len(about.imus) == clips)
    _demand("about.described_by", len(about.described_by) == len(about.subjects) and all(about.described_by))
    _demand("about.digests", described <= about.digests.keys())
    _demand("about.videos", not any("\0" in path or path.startswith(("/", "../")) for path in paths))
    for header in about.headers:
        _demand("about.headers", 0 < len(header.kept) == len(set(header.kept)) and {*header.kept} <= {*header.columns})


def _check_clips(about: About, tables: Mapping[str, Table]) -> None:
    def ints(name: str) -> Ints:
        return tables[f"clips/{name}"].astype(np.int64)

    _demand("clips/subject", (ints("subject") >= 0) & (ints("subject") < len(about.subjects)))
    _demand("clips/recording", ints("recording") >= 0)
    _demand("clips/header", (ints("header") >= -1) & (ints("header") < len(about.headers)))
    _demand("clips/packed", (ints("header") >= 0) == tables["clips/packed"])
    _demand("clips/turns", (ints("turns") >= 0) & (ints("turns") < TURNS))
    duration_N, offset_N, tolerance_N = (
        tables[f"clips/{name}"].astype(np.float64) for name in ("duration", "offset", "tolerance")
    )
    _demand("clips/duration", duration_N >= 0)
    _demand("clips/offset", np.isfinite(offset_N))
    _demand("clips/tolerance", np.isfinite(tolerance_N) & (tolerance_N >= 0))
    _demand("sources/size", tables["sources/size"].astype(np.int64) >= -1)
    size_N2, frames_N = ints("size"), np.diff(ints("first_frame"))
    _demand("clips/size", ((size_N2 > 0).all(axis=1) & (size_N2.prod(axis=1) <= 4 * MAX_PIXELS)) | (frames_N == 0))


def _check_segments(about: About, tables: Mapping[str, Table]) -> None:
    for group in ("activity", "transition"):
        label_S = tables[f"{group}/label"].astype(np.int64)
        _check_offsets(f"{group}/offset", tables[f"{group}/offset"].astype(np.int64), len(label_S))
        _demand(f"{group}/label", (label_S >= 0) & (label_S < (len(about.activities) if group == "activity" else 1)))
        for name in ("start", "end"):
            _demand(f"{group}/{name}", np.isfinite(tables[f"{group}/{name}"].astype(np.float64)))


def _check_offsets(name: str, offset_N1: Ints, total: int) -> None:
    _demand(name, offset_N1[0] == 0 and offset_N1[-1] == total and bool((np.diff(offset_N1) >= 0).all()))


def _check_payload(about: About, tables: Mapping[str, Table], lengths: Mapping[str, int]) -> None:
    header_N = tables["clips/header"].astype(np.int64)
    frame_N1, value_N1 = (tables[f"clips/first_{name}"].astype(np.int64) for name in ("frame", "value"))
    _check_offsets("clips/first_frame", frame_N1, lengths["frames/time"])
    _check_offsets("clips/first_value", value_N1, lengths["imu/values"])
    packed_N, has_video_N = header_N >= 0, np.array([bool(video) for video in about.videos])
    _demand("clips/first_frame", (np.diff(frame_N1) > 0) == (packed_N & has_video_N))
    columns_N = np.array([*(len(header.kept) for header in about.headers), 1])[header_N]  # -1 is the last one
    _demand("clips/first_value", np.where(packed_N, np.diff(value_N1) % columns_N == 0, np.diff(value_N1) == 0))
    _demand("frames/place", lengths["frames/place"] == lengths["frames/time"] + 1)
    _demand("frames/check", lengths["frames/check"] == lengths["frames/time"])
    _demand("imu/check", lengths["imu/check"] == int(blocks_of(np.diff(value_N1)).sum()))
