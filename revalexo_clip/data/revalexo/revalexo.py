"""RevalExo: seven IMUs on the lower body and first-person video of people walking, climbing, sitting, standing.

https://revalexo.github.io (doi:10.48804/OWJOID). Any dataset in the same layout is read the same way.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, PrivateAttr, model_validator

from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.data import windows
from revalexo_clip.data.base import Dataset, LabelledWindows, WindowDataset, Windows
from revalexo_clip.data.dataset import ClipWindows, LabelledClips
from revalexo_clip.data.imu import common_channels, unit_of
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.check.exclude import bad_clips
from revalexo_clip.data.revalexo.index import read_index
from revalexo_clip.data.revalexo.pack.choose import packed_clips, prepare_pack
from revalexo_clip.data.revalexo.pack.find import find_pack
from revalexo_clip.data.revalexo.pack.source import PackedFiles
from revalexo_clip.data.revalexo.raw_files import RawFiles
from revalexo_clip.data.source import ClipSource
from revalexo_clip.data.subjects import SplitBySubject, select_subjects

log = logging.getLogger("revalexo_clip")


class RevalExo(SplitBySubject, Dataset):
    """A dataset in RevalExo's layout, split by subject.

    A subject is named as its file names it (`Subject08`), or by the number at the end of that name (`08`). Subjects, or
    clips, may lack video where windows of IMU alone are asked for.
    """

    root: Path
    """Folder with `label_mapping.json` and `data_pairs/`; a relative path starts at the working directory."""
    channels: tuple[str, ...] = Field(default=layout.CHANNELS, min_length=1)
    """Glob patterns of the IMU columns to use, in order; within a pattern the columns keep the file's order."""
    imu_rate: PositiveFloat = layout.IMU_RATE
    """Sampling rate of the IMU recordings [Hz]."""
    window: PositiveFloat = 2.0
    """Length of a window [s]."""
    windows_per_clip: PositiveInt = 10
    """Training windows drawn from each clip in each epoch."""
    eval_stride: PositiveFloat = 0.5
    """Time from one evaluation window's start to the next one's [s]."""
    min_duration: PositiveFloat = 10.0
    """Clips that are shorter are left out, and counted [s]."""
    frames: PositiveInt = 4
    """Video frames in a window, spread evenly, first and last moment included."""
    crop: PositiveInt = 182
    """Height and width of a frame as the encoder sees it [px]."""
    short_side: PositiveInt = 182
    """Short side that a frame is resized to before it is cropped [px]."""
    horizons: tuple[NonNegativeFloat, ...] = Field(default=(0.0,), min_length=1)
    """How long after a window's end its labels are read [s]."""
    pack: Literal["auto", "off"] | Path = "auto"
    """The packed form of the dataset, which loads far quicker. `auto`: the one in its folder (or, where that is
    read-only, in the cache folder) if it is up to date; pretraining makes it first where it is not. `off`: the mp4 and
    CSV files. Or the file of a pack."""
    on_bad_clip: Literal["error", "exclude"] = "error"
    """`error`: the first clip that cannot be read as it should ends the run. `exclude`: every clip is read once before
    training, in `workers` processes, and those that would end the run are left out, listed and counted. What was found
    is kept in the cache folder until a file changes."""

    _checked: dict[tuple[Split, bool], dict[str, str]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop > self.short_side:
            raise ValueError(f"crop is {self.crop} px, more than short_side, {self.short_side} px")
        if self.min_duration < self.window:
            raise ValueError(f"min_duration is {self.min_duration:g} s, less than a window of {self.window:g} s")
        if round(self.imu_rate * self.window) < 1:
            raise ValueError(f"a window of {self.window:g} s at {self.imu_rate:g} Hz holds no IMU sample")
        return self

    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index a split and read the header of each of its recordings."""
        index, source, excluded, imu_spec = self._index(split, video=True)
        placed, segment_N = self._place(split, index.duration_N)
        return ClipWindows(
            index,
            placed,
            source,
            imu_spec=imu_spec,
            video_spec=VideoSpec(self.frames, self.crop, self.short_side, self.window),
            horizons=self.horizons,
            seed=seed,
            segment_N=segment_N,
            excluded=excluded,
        )

    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Index a split and read the header of each of its recordings."""
        index, source, excluded, imu_spec = self._index(split, video=False)
        placed, segment_N = self._place(split, index.duration_N)
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
        """A split's clips, where they are read, those that were left out as bad, and what their IMU windows are."""
        subjects = self._some_subjects(split)
        excluded = self._bad_clips(split, video=video) if self.on_bad_clip == "exclude" else {}
        root = self.root.expanduser()
        clips = packed_clips(
            self.pack,
            root,
            subjects,
            min_duration=self.min_duration,
            short_side=self.short_side if video else None,
            without=excluded,
        )
        source: ClipSource
        if clips is None:
            index = read_index(root, subjects, self.min_duration, without=excluded, video=video)
            channels = common_channels((index.imu(clip) for clip in range(len(index))), self.channels)
            source = RawFiles(index, channels)
        else:
            index, channels = clips.index, clips.channels(self.channels)
            source = PackedFiles(clips, channels)
        imu_spec = ImuSpec(channels, tuple(map(unit_of, channels)), self.imu_rate, self.window)
        return index, source, excluded, imu_spec

    def _place(self, split: Split, duration_N: windows.Floats) -> tuple[Windows, windows.Floats | None]:
        """Where the windows of a split lie, and for training the length of the segments that they are drawn from."""
        if split != "train":
            return windows.evaluation_windows(duration_N, self.window, self.eval_stride), None
        placed = windows.training_windows(duration_N, self.window, self.windows_per_clip)
        return placed, windows.segment_length(duration_N, self.window, self.windows_per_clip)

    def unprepared(self) -> bool:
        """Whether an up-to-date pack is to be made and there is none."""
        return self.pack == "auto" and find_pack(self.root.expanduser())[0] is None

    def prepare(self, on_progress: OnProgress, *, leader: bool) -> None:
        """Make the pack, or wait for the leader to make it."""
        prepare_pack(self.root.expanduser(), self.short_side, on_progress, leader=leader)

    def _bad_clips(self, split: Split, *, video: bool) -> dict[str, str]:
        """Names of the clips that would stop training, and the first thing that is wrong with each.

        Every clip is read once, however often a split is built.
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
            processes=max(self.workers, 1),
        )
        for clip, why in found.bad.items():
            log.warning("left out  %s: %s", clip, why)
        log.info("checked  %d clips, %d of them bad and left out", found.clips, len(found.bad))
        return found.bad
