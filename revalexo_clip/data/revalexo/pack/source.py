"""Reading windows from a pack: the samples and frames of clips that were found in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.imu import Samples, agreed_channels, clock_like, header_of
from revalexo_clip.data.index import ClipIndex, fingerprint
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.index import check_files
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.checksums import Section
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO
from revalexo_clip.data.revalexo.pack.file import AGAIN
from revalexo_clip.data.revalexo.pack.find import Found
from revalexo_clip.data.revalexo.pack.payload import Payloads
from revalexo_clip.data.revalexo.raw_files import RawFiles
from revalexo_clip.data.revalexo.survey import Span, Survey, sensor_columns
from revalexo_clip.data.revalexo.timing import Files, raw_files
from revalexo_clip.data.source import ClipSource, FrameTimes
from revalexo_clip.data.video import Pixels, frame_size, upright_centre
from revalexo_clip.data.windows import Floats, Ints, burst_frames


@dataclass(frozen=True)
class _Rows:
    """Where N clips lie in a pack."""

    header_N: Ints
    """Header of the IMU file; -1 if the clip is read from its own files."""
    imu_shard_N: Ints
    first_value_N: Ints
    values_N: Ints
    check_N: Ints
    video_shard_N: Ints
    first_frame_N: Ints
    frames_N: Ints
    time_check_N: Ints
    size_N2: Ints
    turns_N: Ints
    tolerance_N: Floats

    def section(self, clip: int) -> Section:
        """Return the samples of a clip."""
        first = int(self.first_value_N[clip])
        return Section(first, first + int(self.values_N[clip]), int(self.check_N[clip]))

    def take(self, place_M: Ints) -> _Rows:
        """Return the rows of some clips."""
        return _Rows(**{name: column_N[place_M] for name, column_N in vars(self).items()})


def _rows(found: Found) -> _Rows:
    entries, current = found.pack.entries, found.current
    imu_N, video_N = (np.where(current.packed, current.entry_N2[:, kind], -1) for kind in (IMU, VIDEO))

    def ints(of: str | Ints, entry_N: Ints, none: int = 0) -> Ints:
        of_E = entries.ints(of) if isinstance(of, str) else of
        return np.append(of_E, np.full((1, *of_E.shape[1:]), none), axis=0)[entry_N]  # -1 is the last one

    return _Rows(
        header_N=ints("header", imu_N, -1),
        imu_shard_N=ints(entries.shard_E, imu_N),
        first_value_N=ints("first_value", imu_N),
        values_N=ints("values", imu_N),
        check_N=ints("first_check", imu_N),
        video_shard_N=ints(entries.shard_E, video_N),
        first_frame_N=ints("first_frame", video_N),
        frames_N=ints("frames", video_N),
        time_check_N=ints("time_check", video_N),
        size_N2=ints("size", video_N),
        turns_N=ints("turns", video_N),
        tolerance_N=np.append(entries.floats("tolerance"), 0.0)[video_N],
    )


class PackedClips:
    """Clips of a pack, with the same index as from `read_index`."""

    def __init__(self, found: Found, described: Path) -> None:
        """Take the clips that were found; `described` is the folder of the JSON files.

        Raises `DataError` like `read_index` if a file of a clip that is not packed is missing.
        """
        self.pack, self.index, self.described = found.pack, found.index, described
        self.size_N2, self.changed_N2 = found.current.size_N2, found.current.changed_N2
        self.rows = _rows(found)
        self.raw = np.flatnonzero(self.rows.header_N < 0).tolist()
        if self.raw:
            check_files(self.index, self.raw)

    def select(self, place_M: Ints, index: ClipIndex) -> None:
        """Take some of the clips, in that order and as the given index says; one clip may come several times."""
        self.rows = self.rows.take(place_M)
        self.size_N2, self.changed_N2 = self.size_N2[place_M], self.changed_N2[place_M]
        self.raw = np.flatnonzero(self.rows.header_N < 0).tolist()
        self.index = index

    def files(self, survey: Survey, rate: float, *, check_clock: bool, video: bool) -> Files:
        """Return how these clips are asked about time, as far as the pack knows it."""
        pack, index, rows, has_files = self.pack, self.index, self.rows, self.index.root.is_dir()
        size_N, changed_N, headers = self.size_N2[:, IMU], self.changed_N2[:, IMU], pack.entries.headers
        payloads = Payloads(pack.shards, pack.entries.shards)

        def stamp(clip: int) -> tuple[int, int]:
            return int(size_N[clip]), int(changed_N[clip])

        raw = raw_files(index, survey, rate, check_clock=check_clock, video=video, stamps=stamp)

        def values(clip: int, columns: int) -> Samples:
            section, payload = rows.section(clip), payloads.of(int(rows.imu_shard_N[clip]))
            place = slice(0, (section.end - section.first) // columns)
            return np.asarray(payload.samples(section, columns, place, index.names[clip]), dtype=np.float32)

        def sensors(clip: int) -> tuple[tuple[str, ...], Samples]:
            if rows.header_N[clip] < 0:
                return raw.sensors(clip)
            kept = headers[int(rows.header_N[clip])].kept
            columns = sensor_columns(kept)
            return columns, values(clip, len(kept))[:, [kept.index(column) for column in columns]]

        def imu(clip: int) -> list[Span]:
            header = None if rows.header_N[clip] < 0 else headers[int(rows.header_N[clip])]
            if header is None or (check_clock and has_files and clock_like(header.columns)):
                return raw.imu(clip)
            return [Span(0.0, (int(rows.values_N[clip]) // len(header.kept) + 1) / rate)]

        def first(clip: int) -> float:
            header = None if rows.header_N[clip] < 0 else headers[int(rows.header_N[clip])]
            return raw.first(clip) if header is None or (has_files and clock_like(header.columns)) else 0.0

        def shown(clip: int) -> Span:
            assert raw.video is not None
            if rows.header_N[clip] < 0:
                return raw.video(clip)
            begin, tolerance = int(rows.first_frame_N[clip]), float(rows.tolerance_N[clip])
            end = begin + int(rows.frames_N[clip])
            payload = payloads.of(int(rows.video_shard_N[clip]))
            time_P = payload.times(begin, end, int(rows.time_check_N[clip]), index.names[clip])
            return Span(max(float(time_P[0]) - tolerance, 0.0), float(time_P[-1]) + tolerance)

        return Files(stamp=stamp, sensors=sensors, imu=imu, first=first, video=shown if video else None)

    def channels(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the ordered channels, which must be the same for all recordings. See `common_channels`."""
        return agreed_channels(self._headers(), patterns)

    def _headers(self) -> Iterable[tuple[Path, tuple[str, ...]]]:
        header_N = self.rows.header_N
        _, first_H = np.unique(header_N, return_index=True)
        for clip in sorted({*first_H.tolist(), *self.raw}):
            path, header = self.index.imu(clip), int(header_N[clip])
            yield path, header_of(path) if header < 0 else self.pack.entries.headers[header].columns

    def fingerprint(self) -> str:
        """See `index_fingerprint`."""
        index, files = self.index, layout.subject_files(self.described)
        described = (
            self.described / layout.LABEL_MAPPING,
            *(file for subject in sorted(set(index.subjects)) for file in files[subject]),
        )
        names = (
            *zip(index.video_N, self.size_N2[:, VIDEO], strict=True),
            *zip(index.imu_N, self.size_N2[:, IMU], strict=True),
        )
        return fingerprint(map(sha256_of, described), ((str(name), int(size)) for name, size in names if name))


class PackedFiles(ClipSource):
    """Source of samples and frames in a pack; clips that could not be packed are read from their own files.

    A loader worker keeps only a few numbers per clip in memory.
    """

    def __init__(self, clips: PackedClips, channels: tuple[str, ...]) -> None:
        entries = clips.pack.entries
        self.payloads = Payloads(clips.pack.shards, entries.shards)
        self.short_side, self.quality = clips.pack.pixels.short_side, clips.pack.pixels.quality
        self.digest = clips.fingerprint()
        self.rows = clips.rows
        self.columns_H = [len(header.kept) for header in entries.headers]
        self.channels_HC = [_columns_of(channels, header.kept) for header in entries.headers]
        self.video_N, self.root, self.names = clips.index.video_N, clips.index.root, clips.index.names
        self.raw_files = RawFiles(clips.index, channels)

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        if self._channels(clip) is None:
            return self.raw_files.samples(clip)
        return int(self.rows.values_N[clip]) // self.columns_H[int(self.rows.header_N[clip])]

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        channel_C = self._channels(clip)
        if channel_C is None:
            return self.raw_files.imu(clip, place)
        columns, payload = (
            self.columns_H[int(self.rows.header_N[clip])],
            self.payloads.of(int(self.rows.imu_shard_N[clip])),
        )
        samples_LC = payload.samples(self.rows.section(clip), columns, place, self.names[clip])
        return np.ascontiguousarray(samples_LC[:, channel_C], dtype=np.float32)

    def frames(self, clip: int, time_T: Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """See `ClipSource.frames`."""
        rows = self.rows
        if rows.header_N[clip] < 0:
            return self.raw_files.frames(clip, time_T, short_side, crop, burst)
        path, name = self.root / str(self.video_N[clip]), self.names[clip]
        height, width = (int(size) for size in rows.size_N2[clip])
        first, payload = int(rows.first_frame_N[clip]), self.payloads.of(int(rows.video_shard_N[clip]))
        time_P, tolerance = self.frame_times(clip)
        try:
            frame_T = burst_frames(time_P, time_T, burst, tolerance)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        once_U, which_T = np.unique(frame_T, return_inverse=True)
        stored, wanted = (frame_size(height, width, side) for side in (min(self.short_side, height, width), short_side))
        jpegs = payload.jpegs(first, once_U, name)
        try:
            frames_UHWC = jpeg.decode(jpegs, stored, wanted)
        except ValueError as error:
            raise DataError(f"{payload.path}: {name}: frames of {path} are corrupt ({error}); {AGAIN}") from error
        return np.ascontiguousarray(upright_centre(frames_UHWC, crop, int(rows.turns_N[clip]))[which_T])

    def frame_times(self, clip: int) -> FrameTimes:
        """See `ClipSource.frame_times`."""
        rows = self.rows
        if rows.header_N[clip] < 0:
            return self.raw_files.frame_times(clip)
        first, payload = int(rows.first_frame_N[clip]), self.payloads.of(int(rows.video_shard_N[clip]))
        end, check = first + int(rows.frames_N[clip]), int(rows.time_check_N[clip])
        return FrameTimes(payload.times(first, end, check, self.names[clip]), float(rows.tolerance_N[clip]))

    def pixel_source(self, clip: int) -> str:
        """See `ClipSource.pixel_source`."""
        stored = "" if self.rows.header_N[clip] < 0 else f" pack {self.short_side} {self.quality}"
        return self.raw_files.pixel_source(clip) + stored

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return self.digest

    def _channels(self, clip: int) -> Ints | None:
        """Return [C], the channels' indices among the packed columns; None if the pack does not have them."""
        header = int(self.rows.header_N[clip])
        return None if header < 0 else self.channels_HC[header]


def _columns_of(channels: Sequence[str], kept: Sequence[str]) -> Ints | None:
    if any(channel not in kept for channel in channels):
        return None
    return np.array([kept.index(channel) for channel in channels], dtype=np.int64)
