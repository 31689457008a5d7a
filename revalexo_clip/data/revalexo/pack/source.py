"""Reading windows from a pack: selecting clips, and reading their samples and frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import Samples, agreed_channels, clock_like, header_of
from revalexo_clip.data.index import ClipIndex, fingerprint
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo.index import check_files, described_by, no_video, none_lasts
from revalexo_clip.data.revalexo.layout import LABEL_MAPPING
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.checksums import Section, first_checks
from revalexo_clip.data.revalexo.pack.file import AGAIN, PackError, PackTables
from revalexo_clip.data.revalexo.pack.payload import Payload
from revalexo_clip.data.revalexo.raw_files import RawFiles
from revalexo_clip.data.revalexo.survey import Span, Survey, sensor_columns
from revalexo_clip.data.revalexo.timing import Files, raw_files
from revalexo_clip.data.source import ClipSource
from revalexo_clip.data.subjects import select_subjects
from revalexo_clip.data.video import Pixels, frame_size, upright_centre
from revalexo_clip.data.windows import TIME_DECIMALS, Floats, Ints, Segments, burst_frames


class PackedClips:
    """Selected clips of a pack, with the same index as from `read_index`."""

    def __init__(
        self,
        pack: PackTables,
        root: Path,
        subjects: Sequence[str],
        min_duration: float,
        without: Collection[str] = frozenset(),
        *,
        video: bool = True,
    ) -> None:
        """Select the subjects' clips of at least `min_duration` [s], except those in `without`.

        If `video` is False, clips without video are included. Raises `DataError` like `read_index`, and `PackError` if
        a subject is not in the pack.
        """
        self.pack = pack
        self.root = root
        self.place_N = self._select(subjects, min_duration, without, video=video)
        index = self._whole_index().take(self.place_N, num_too_short=self.num_too_short)
        self.index = index if video else index.without_video()
        self.packed_N = pack.tables["clips/packed"][self.place_N]
        self.raw = np.flatnonzero(~self.packed_N.astype(bool)).tolist()
        if self.raw:
            check_files(self.index, self.raw)

    def _select(self, subjects: Sequence[str], min_duration: float, without: Collection[str], *, video: bool) -> Ints:
        about, pack = self.pack.about, self.pack
        wanted = sorted(select_subjects(subjects, about.subjects, self.root))
        lacking = [subject for subject in wanted if subject in about.unreadable]
        if lacking:
            raise PackError(
                f"{pack.path}: has no clips of {', '.join(lacking)}, because the subject's JSON file was invalid"
            )
        numbers = [about.subjects.index(subject) for subject in wanted]
        found_N = np.flatnonzero(np.isin(pack.ints("clips/subject"), numbers))
        if without:
            found_N = found_N[[about.names[clip] not in without for clip in found_N]]
        silent = next((clip for clip in found_N if not about.videos[clip]), None)
        if video and silent is not None:
            subject = int(pack.tables["clips/subject"][silent])
            file = self.root / described_by(about.names[silent], about.subjects[subject], about.described_by[subject])
            raise no_video(file, about.subjects[subject], about.names[silent])
        long_N = found_N[np.round(pack.floats("clips/duration")[found_N], TIME_DECIMALS) >= min_duration]
        if not len(long_N):
            raise none_lasts(self.root, wanted, min_duration, len(found_N), len(without))
        self.num_too_short = len(found_N) - len(long_N)
        return np.asarray(long_N, dtype=np.int64)

    def _whole_index(self) -> ClipIndex:
        pack, about = self.pack, self.pack.about
        return ClipIndex(
            root=self.root,
            subjects=tuple(about.subjects[number] for number in pack.ints("clips/subject")),
            names=about.names,
            video_N=np.array(about.videos, dtype=np.str_),
            imu_N=np.array(about.imus, dtype=np.str_),
            duration_N=pack.floats("clips/duration"),
            times=self._declared(),
            activity=self._segments("activity"),
            transition=self._segments("transition"),
            activities=about.activities,
            num_too_short=0,
        )

    def _declared(self) -> ClipTimes:
        """Return the times of all clips as far as the dataset declares them."""
        duration_N, declared_N = self.pack.floats("clips/duration"), self.pack.tables["clips/declared"].astype(bool)
        return replace(
            ClipTimes.separate(duration_N),
            recording_N=self.pack.ints("clips/recording"),
            offset_N=self.pack.floats("clips/offset"),
            declared_N=declared_N,
        )

    def select(self, place_M: Ints, index: ClipIndex) -> None:
        """Take some of the clips, in that order and as the given index says; one clip may come several times."""
        self.place_N = self.place_N[place_M]
        self.packed_N = self.packed_N[place_M]
        self.pack.file.close()  # a pack that is replaced from now on is noticed when it is opened again
        self.raw = np.flatnonzero(~self.packed_N.astype(bool)).tolist()
        self.index = index

    def files(self, survey: Survey, rate: float, *, check_clock: bool, video: bool) -> Files:
        """Return how these clips are asked about time, as far as the pack knows it."""
        pack, index, place_N = self.pack, self.index, self.place_N
        header_N, has_files = pack.ints("clips/header")[place_N], self.root.is_dir()
        size_N, changed_N = pack.ints("sources/size")[place_N, 1], pack.ints("sources/changed")[place_N, 1]

        def stamp(clip: int) -> tuple[int, int]:
            return int(size_N[clip]), int(changed_N[clip])

        raw = raw_files(index, survey, rate, check_clock=check_clock, video=video, stamps=stamp)
        frame_N, value_N = pack.ints("clips/first_frame"), pack.ints("clips/first_value")
        check_N, time_check_N = first_checks(value_N), pack.ints("clips/time_check")
        tolerance_N, payload = pack.floats("clips/tolerance")[place_N], Payload(pack)

        def values(clip: int, columns: int) -> Samples:
            place = int(place_N[clip])
            section = Section(int(value_N[place]), int(value_N[place + 1]), int(check_N[place]))
            rows = slice(0, (section.end - section.first) // columns)
            return np.asarray(payload.samples(section, columns, rows, index.names[clip]), dtype=np.float32)

        def sensors(clip: int) -> tuple[tuple[str, ...], Samples]:
            if header_N[clip] < 0:
                return raw.sensors(clip)
            kept = pack.about.headers[int(header_N[clip])].kept
            columns = sensor_columns(kept)
            return columns, values(clip, len(kept))[:, [kept.index(column) for column in columns]]

        def imu(clip: int) -> list[Span]:
            header = None if header_N[clip] < 0 else pack.about.headers[int(header_N[clip])]
            if header is None or (check_clock and has_files and clock_like(header.columns)):
                return raw.imu(clip)
            place = int(place_N[clip])
            rows = (int(value_N[place + 1]) - int(value_N[place])) // len(header.kept)
            return [Span(0.0, (rows + 1) / rate)]

        def first(clip: int) -> float:
            header = None if header_N[clip] < 0 else pack.about.headers[int(header_N[clip])]
            return raw.first(clip) if header is None or (has_files and clock_like(header.columns)) else 0.0

        def shown(clip: int) -> Span:
            assert raw.video is not None
            if header_N[clip] < 0:
                return raw.video(clip)
            place = int(place_N[clip])
            first, end = int(frame_N[place]), int(frame_N[place + 1])
            time_P = payload.times(first, end, int(time_check_N[place]), index.names[clip])
            return Span(max(float(time_P[0]) - tolerance_N[clip], 0.0), float(time_P[-1]) + tolerance_N[clip])

        return Files(
            stamp=stamp,
            sensors=sensors,
            imu=imu,
            first=first,
            video=shown if video else None,
        )

    def _segments(self, group: str) -> Segments:
        ints, floats = self.pack.ints, self.pack.floats
        return Segments(
            ints(f"{group}/offset"), floats(f"{group}/start"), floats(f"{group}/end"), ints(f"{group}/label")
        )

    def channels(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the ordered channels, which must be the same for all recordings. See `common_channels`."""
        return agreed_channels(self._headers(), patterns)

    def _headers(self) -> Iterable[tuple[Path, tuple[str, ...]]]:
        header_N = self.pack.ints("clips/header")[self.place_N]
        _, first_H = np.unique(header_N, return_index=True)
        for clip in sorted({*first_H.tolist(), *self.raw}):
            path, header = self.index.imu(clip), int(header_N[clip])
            yield path, header_of(path) if header < 0 else self.pack.about.headers[header].columns

    def fingerprint(self) -> str:
        """See `index_fingerprint`."""
        about, index = self.pack.about, self.index
        files = dict(zip(about.subjects, about.described_by, strict=True))
        described = (LABEL_MAPPING, *(file for subject in sorted(set(index.subjects)) for file in files[subject]))
        size_N2 = self.pack.ints("sources/size")[self.place_N]
        names = (*zip(index.video_N, size_N2[:, 0], strict=True), *zip(index.imu_N, size_N2[:, 1], strict=True))
        return fingerprint(
            (about.digests[name] for name in described), ((str(name), int(size)) for name, size in names if name)
        )


class PackedFiles(ClipSource):
    """Source of samples and frames in a pack; clips that could not be packed are read from their own files.

    A loader worker keeps only a few numbers per clip in memory.
    """

    def __init__(self, clips: PackedClips, channels: tuple[str, ...]) -> None:
        pack, place_N = clips.pack, clips.place_N
        self.payload = Payload(pack)
        self.short_side = pack.short_side
        self.digest = clips.fingerprint()
        self.frame_N2, self.value_N2 = (
            np.stack([first_N1[place_N], first_N1[place_N + 1]], axis=1)
            for first_N1 in (pack.ints("clips/first_frame"), pack.ints("clips/first_value"))
        )
        self.check_N = first_checks(pack.ints("clips/first_value"))[place_N]
        self.time_check_N = pack.ints("clips/time_check")[place_N]
        self.size_N2 = pack.ints("clips/size")[place_N]
        self.turns_N = pack.ints("clips/turns")[place_N]
        self.tolerance_N = pack.floats("clips/tolerance")[place_N]
        self.header_N = pack.ints("clips/header")[place_N]
        self.columns_H = [len(header.kept) for header in pack.about.headers]
        self.channels_HC = [_columns_of(channels, header.kept) for header in pack.about.headers]
        self.video_N, self.root, self.names = clips.index.video_N, clips.index.root, clips.index.names
        self.raw_files = RawFiles(clips.index, channels)

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        if self._channels(clip) is None:
            return self.raw_files.samples(clip)
        first, end = self.value_N2[clip]
        return (int(end) - int(first)) // self.columns_H[int(self.header_N[clip])]

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        channel_C = self._channels(clip)
        if channel_C is None:
            return self.raw_files.imu(clip, place)
        first, end = self.value_N2[clip]
        section = Section(int(first), int(end), int(self.check_N[clip]))
        columns = self.columns_H[int(self.header_N[clip])]
        samples_LC = self.payload.samples(section, columns, place, self.names[clip])
        return np.ascontiguousarray(samples_LC[:, channel_C], dtype=np.float32)

    def frames(self, clip: int, time_T: Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """See `ClipSource.frames`."""
        if self.header_N[clip] < 0:
            return self.raw_files.frames(clip, time_T, short_side, crop, burst)
        path, name = self.root / str(self.video_N[clip]), self.names[clip]
        height, width = (int(size) for size in self.size_N2[clip])
        first, end = (int(frame) for frame in self.frame_N2[clip])
        time_P = self.payload.times(first, end, int(self.time_check_N[clip]), name)
        try:
            frame_T = burst_frames(time_P, time_T, burst, float(self.tolerance_N[clip]))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        once_U, which_T = np.unique(frame_T, return_inverse=True)
        stored, wanted = (frame_size(height, width, side) for side in (min(self.short_side, height, width), short_side))
        jpegs = self.payload.jpegs(first, once_U, name)
        try:
            frames_UHWC = jpeg.decode(jpegs, stored, wanted)
        except ValueError as error:
            raise DataError(f"{self.payload.path}: {name}: frames of {path} are corrupt ({error}); {AGAIN}") from error
        return np.ascontiguousarray(upright_centre(frames_UHWC, crop, int(self.turns_N[clip]))[which_T])

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return self.digest

    def _channels(self, clip: int) -> Ints | None:
        """Return [C], the channels' indices among the packed columns; None if the pack does not have them."""
        header = int(self.header_N[clip])
        return None if header < 0 else self.channels_HC[header]


def _columns_of(channels: Sequence[str], kept: Sequence[str]) -> Ints | None:
    if any(channel not in kept for channel in channels):
        return None
    return np.array([kept.index(channel) for channel in channels], dtype=np.int64)
