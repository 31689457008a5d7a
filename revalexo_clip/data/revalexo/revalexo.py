"""RevalExo: seven lower-body IMUs and egocentric video of walking, climbing stairs and ramps, sitting and standing.

https://revalexo.github.io (doi:10.48804/OWJOID). The class reads any dataset in the same layout.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr, model_validator

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import ImuSpec, Split, TimeUnit, VideoSpec
from revalexo_clip.data import windows
from revalexo_clip.data.base import Dataset, LabelledWindows, WindowDataset, Windows
from revalexo_clip.data.clocks import BadTime
from revalexo_clip.data.dataset import ClipWindows, LabelledClips
from revalexo_clip.data.imu import common_channels, unit_of
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.check.exclude import bad_clips
from revalexo_clip.data.revalexo.clocked import Clock, ClockedFiles, offsets_of
from revalexo_clip.data.revalexo.index import read_index
from revalexo_clip.data.revalexo.motion.build import find_motion, prepare_motion
from revalexo_clip.data.revalexo.motion.source import MotionFiles
from revalexo_clip.data.revalexo.pack.choose import packed_clips, prepare_pack
from revalexo_clip.data.revalexo.pack.find import LastLook
from revalexo_clip.data.revalexo.pack.source import PackedFiles
from revalexo_clip.data.revalexo.raw_files import RawFiles
from revalexo_clip.data.revalexo.survey import Span, Survey
from revalexo_clip.data.revalexo.timing import Files, raw_files, timed
from revalexo_clip.data.source import ClipSource
from revalexo_clip.data.subjects import SplitBySubject, select_subjects

log = logging.getLogger("revalexo_clip")


class RevalExo(SplitBySubject, Dataset):
    """A dataset in RevalExo's layout, split by subject.

    A subject is given by its name in its file (`Subject08`), or by the number at the end of that name (`08`). Subjects
    or clips without video can be used for windows of IMU only.
    """

    root: Path
    """Dataset root, with `label_mapping.json` and `data_pairs/`; a relative path starts at the working directory."""
    channels: tuple[str, ...] = Field(default=layout.CHANNELS, min_length=1)
    """Glob patterns of the IMU columns to use, in order; within a pattern, in file order. `*` matches no clocks."""
    imu_rate: PositiveFloat = layout.IMU_RATE
    """Sampling rate of the IMU recordings [Hz]."""
    time: str | None = None
    """Column of the IMU files that is their clock, counted from the first frame of the video. Rows are placed by it and
    resampled to `imu_rate`. If not set: rows are 1 / `imu_rate` apart, from the first frame on."""
    time_unit: TimeUnit = "s"
    """Unit of `time`: `s`, `ms`, `us` or `ns`, or `iso` for dates and times as text."""
    time_zero: Literal["clip", "first_row"] = "clip"
    """What `time` counts from: the first frame of the video, or any moment, such as 1970; then the first row of each
    file was taken with the first frame."""
    max_gap: PositiveFloat = 0.1
    """Longest time between two rows that is interpolated over, if there is a clock [s]."""
    on_bad_time: BadTime = "error"
    """Longer gaps, and times that do not ascend: `error` stops, `split` cuts clips at gaps, `sort` orders rows by time
    and drops repeated times."""
    check_clock: bool = True
    """Refuse files with a column that looks like a clock and contradicts `imu_rate`, if `time` is not set."""
    imu_offset: float | dict[str, float] = 0.0
    """How much later than its rows or clock say the IMU was taken [s]: one number, or numbers by clip
    (`Subject01/0001`) or subject. It replaces `imu_offset` in the dataset's JSON files."""
    window: PositiveFloat = 2.0
    """Window length [s]."""
    windows_per_clip: PositiveInt = 10
    """Number of training windows per clip in each epoch."""
    eval_stride: PositiveFloat = 0.5
    """Stride of evaluation windows [s]."""
    min_duration: PositiveFloat = 10.0
    """Minimum clip duration [s]; shorter clips are left out and counted."""
    frames: NonNegativeInt = 4
    """Number of moments per window at which there are video frames, evenly spaced, including both ends of the window. 0
    if windows have measured motion only."""
    burst: PositiveInt = 1
    """Number of consecutive frames at each moment. With more than one, moments are spread so that all frames lie in the
    window."""
    motion: Motion | None = None
    """Image motion in windows, measured once from each video; if not set, windows have none."""
    crop: PositiveInt = 182
    """Height and width of the frames that the encoder receives [px]."""
    short_side: PositiveInt = 182
    """Short side of the frames before cropping [px]."""
    horizons: tuple[NonNegativeFloat, ...] = Field(default=(0.0,), min_length=1)
    """Label times, relative to the end of the window [s]."""
    pack: Literal["auto", "off"] | Path = "auto"
    """`auto`: the pack in the dataset folder or, if that is read-only, in the cache folder, which loads much faster;
    pretraining adds the clips that it does not have. `off`: the mp4 and CSV files. Otherwise: path of a pack."""
    on_bad_clip: Literal["error", "exclude"] = "error"
    """`error`: the first bad clip stops the run. `exclude`: every clip is read once before training, in `workers`
    processes; bad clips are left out, listed and counted. The result is cached until a file changes."""

    _checked: dict[tuple[Split, bool], dict[str, str]] = PrivateAttr(default_factory=dict)
    _look: LastLook = PrivateAttr(default_factory=LastLook)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop > self.short_side:
            raise ValueError(f"crop ({self.crop} px) must not be larger than short_side ({self.short_side} px)")
        if not self.frames and self.motion is None:
            raise ValueError("frames=0 needs motion: windows would have no video at all")
        if self.motion is not None and self.motion.spec(self.window).moments < 1:
            raise ValueError(f"a window of {self.window:g} s has no moment at motion.rate={self.motion.rate:g} Hz")
        if self.min_duration < self.window:
            raise ValueError(f"min_duration ({self.min_duration:g} s) must not be less than window ({self.window:g} s)")
        if round(self.imu_rate * self.window) < 1:
            raise ValueError(f"a window of {self.window:g} s at {self.imu_rate:g} Hz has no IMU samples")
        if self.time is None and (self.time_unit != "s" or self.time_zero != "clip" or self.on_bad_time != "error"):
            raise ValueError("time_unit, time_zero and on_bad_time need time, the name of the clock column")
        return self

    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index a split and read the header of each of its recordings."""
        index, source, excluded, imu_spec = self._index(split, video=True)
        placed, segment_N = self._place(split, index.times)
        return ClipWindows(
            index,
            placed,
            source,
            imu_spec=imu_spec,
            video_spec=self._video_spec(),
            horizons=self.horizons,
            seed=seed,
            segment_N=segment_N,
            excluded=excluded,
            motion=None if self.motion is None else MotionFiles(index, self.motion, self._beside_pack()),
        )

    def _video_spec(self) -> VideoSpec:
        motion = None if self.motion is None else self.motion.spec(self.window)
        return VideoSpec(self.frames, self.crop, self.short_side, self.window, burst=self.burst, motion=motion)

    def _beside_pack(self) -> Path | None:
        return self.pack.expanduser().parent if isinstance(self.pack, Path) else None

    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Index a split and read the header of each of its recordings."""
        index, source, excluded, imu_spec = self._index(split, video=False)
        placed, segment_N = self._place(split, index.times)
        return LabelledClips(
            index,
            placed,
            source,
            imu_spec=imu_spec,
            horizons=self.horizons,
            seed=seed,
            segment_N=segment_N,
            excluded=excluded,
        )

    def _index(self, split: Split, *, video: bool) -> tuple[ClipIndex, ClipSource, dict[str, str], ImuSpec]:
        """Return a split's clips, their source, the bad clips that are left out, and the specification of the IMU."""
        subjects = self._some_subjects(split)
        excluded = self._bad_clips(split, video=video) if self.on_bad_clip == "exclude" else {}
        root = self.root.expanduser()
        clips = packed_clips(
            self.pack,
            root,
            subjects,
            min_duration=self.min_duration,
            short_side=(self.short_side if self.frames else 1) if video else None,
            without=excluded,
            seen=self._look.seen(),
        )
        survey, check_clock = Survey(root), self.check_clock and self.time is None
        if clips is None:
            index = read_index(root, subjects, self.min_duration, without=excluded, video=video)
            channels = common_channels((index.imu(clip) for clip in range(len(index))), self.channels)
            files = raw_files(index, survey, self.imu_rate, check_clock=check_clock, video=video)
        else:
            index, channels = clips.index, clips.channels(self.channels)
            files = clips.files(survey, self.imu_rate, check_clock=check_clock, video=video)
        if self.time in channels:
            raise ConfigError(f"data.channels: column {self.time} is the clock, data.time, and no channel")
        clock = self._clock(index)
        if clock is not None:
            files = self._clocked(files, clock, index, channels, survey)
        index, place_N = timed(index, files, survey, rate=self.imu_rate, min_duration=self.min_duration)
        survey.save()
        if clips is None:
            source: ClipSource = RawFiles(index, channels)
        else:
            clips.select(place_N, index)
            source = PackedFiles(clips, channels)
        if clock is not None:
            source = ClockedFiles(index, channels, clock, source)
        imu_spec = ImuSpec(channels, tuple(map(unit_of, channels)), self.imu_rate, self.window)
        return index, source, excluded, imu_spec

    def _clocked(
        self, files: Files, clock: Clock, index: ClipIndex, channels: tuple[str, ...], survey: Survey
    ) -> Files:
        """Return files whose IMU rows are placed by a clock."""
        plain = files.imu

        def imu(clip: int) -> list[Span]:
            if self.time is None:
                plain(clip)  # raises if a column contradicts the sampling rate
            return clock.spans(index, clip, channels, survey)

        return replace(
            files,
            imu=imu,
            times=lambda clip: clock.row_times(index.imu(clip)),
            settings=" ".join(dict.fromkeys(clock.settings(index.imu(clip)) for clip in range(len(index)))),
        )

    def _clock(self, index: ClipIndex) -> Clock | None:
        """Return how rows are placed if they are not simply 1 / `imu_rate` apart from the first frame on."""
        clock = self._template() or (None if index.imu_offset_N is None else Clock(self.imu_rate))
        if clock is None:
            return None
        if isinstance(self.imu_offset, dict) and index.root.is_dir():
            known = {*layout.subject_files(index.root), *index.names}
            for name in self.imu_offset:
                if name not in known and name.partition("/")[0] not in known:
                    raise ConfigError(f"data.imu_offset: no subject or clip {name}{nearest(name, known)}")
        return replace(clock, offsets=offsets_of(index, self.imu_offset))

    def _template(self) -> Clock | None:
        """Return the clock of all files, without their offsets."""
        if self.time is None and not self.imu_offset:
            return None
        return Clock(
            self.imu_rate,
            self.time,
            self.time_unit,
            from_first_row=self.time_zero == "first_row",
            max_gap=self.max_gap,
            on_bad_time=self.on_bad_time,
        )

    def _place(self, split: Split, times: ClipTimes) -> tuple[Windows, windows.Floats | None]:
        """Return the windows of a split, and for training also the length of each clip's segments."""
        if split != "train":
            placed = windows.evaluation_windows(times.begin_N, times.end_N, self.window, self.eval_stride)
            return windows.distinct_moments(placed, times.recording_N, times.offset_N, times.end_N), None
        placed = windows.training_windows(times.begin_N, times.end_N, self.window, self.windows_per_clip)
        return placed, windows.segment_length(times.end_N - times.begin_N, self.window, self.windows_per_clip)

    def unprepared(self) -> bool:
        """Return whether a pack or a motion file is needed and there is none that is up to date."""
        return self._needs_pack() or self._needs_motion()

    def _needs_pack(self) -> bool:
        return self.pack == "auto" and self.frames > 0 and not self._look.finds_pack(self.root.expanduser())

    def _needs_motion(self) -> bool:
        root = self.root.expanduser()
        return self.motion is not None and root.is_dir() and find_motion(root, self.motion) is None

    def prepare(self, on_progress: OnProgress, *, leader: bool) -> None:
        """Make the pack and the motion file, or wait for the leader to make them."""
        root = self.root.expanduser()
        if self._needs_pack():
            prepare_pack(root, self.short_side, on_progress, leader=leader)
        if self.motion is not None and self._needs_motion():
            prepare_motion(root, self.motion, on_progress, leader=leader)

    def _bad_clips(self, split: Split, *, video: bool) -> dict[str, str]:
        """Return the names of the clips that would stop training, with the first problem of each.

        The result is kept, so that every clip is read only once.
        """
        if (split, video) not in self._checked:
            self._checked[split, video] = self._check(split, video=video)
        return self._checked[split, video]

    def _check(self, split: Split, *, video: bool) -> dict[str, str]:
        root = self.root.expanduser()
        layout.read_label_mapping(root)
        subjects = select_subjects(self.subjects(split), tuple(layout.subject_files(root)), root)
        found = bad_clips(
            root,
            subjects,
            channels=self.channels,
            imu_rate=self.imu_rate,
            min_duration=self.min_duration,
            video=video,
            clock=self._template() if self.time is not None else None,
            check_clock=self.check_clock,
            imu_offset=self.imu_offset,
            processes=max(self.workers, 1),
        )
        for clip, why in found.bad.items():
            log.warning("left out  %s: %s", clip, why)
        log.info("checked  %d clips, %d of them bad and left out", found.clips, len(found.bad))
        return found.bad
