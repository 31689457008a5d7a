"""Windows of takes, split by subject: what Ego4D and other egocentric datasets have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, PrivateAttr, model_validator

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.data import windows
from revalexo_clip.data.base import Dataset, LabelledWindows, WindowDataset, Windows
from revalexo_clip.data.clocks import MAX_GAP
from revalexo_clip.data.ego4d.narrated import NarratedClips, NarratedWindows, around
from revalexo_clip.data.ego4d.pieces import (
    TakeClips,
    report_faults,
    shown_footage,
    take_index,
    takes_fingerprint,
    usable_pieces,
)
from revalexo_clip.data.ego4d.rows import Faults
from revalexo_clip.data.ego4d.store import Store, TakeFiles
from revalexo_clip.data.ego4d.take import Layout, Narrations, Take
from revalexo_clip.data.imu import unit_of
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.subjects import SplitBySubject, select_subjects


class NarratedTakes(SplitBySubject, Dataset, ABC):
    """Base class of datasets of egocentric videos with an IMU table and narrations, without labels.

    IMU rows that have no time or no value, or that go back in time, are left out, and windows lie between the gaps that
    remain. Takes that cannot be used are left out. Everything that is left out is counted and listed.
    """

    train_subjects: tuple[str, ...] = ()
    """Training subjects. If no split names subjects, they are drawn by `val_share` and `test_share`."""
    val_subjects: tuple[str, ...] = ()
    """Validation subjects, used to select checkpoints."""
    test_subjects: tuple[str, ...] = ()
    """Test subjects, used for evaluation only."""
    val_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the subjects that are drawn for validation, by a hash of their name."""
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the subjects that are drawn for the test."""
    imu_rate: PositiveFloat = 200.0
    """Sampling rate of windows [Hz]; tables are resampled to it."""
    max_gap: PositiveFloat = MAX_GAP
    """Longest time between two rows that is interpolated over [s]."""
    window: PositiveFloat = 5.0
    """Window length [s]."""
    around: Literal["narrations", "anywhere"] = "narrations"
    """`narrations`: one window around each moment that has a narration. `anywhere`: windows all over the takes."""
    jitter: NonNegativeFloat = 0.0
    """Length of the segment that the start of a training window around a narration is drawn from in each epoch [s]."""
    train_stride: PositiveFloat = 5.0
    """If windows are anywhere: maximum segment length for training windows [s]; one is drawn from each segment."""
    eval_stride: PositiveFloat = 5.0
    """If windows are anywhere: stride of evaluation windows [s]."""
    frames: PositiveInt = 10
    """Number of moments per window at which there are video frames, evenly spaced, including both ends."""
    burst: PositiveInt = 1
    """Number of consecutive frames at each moment."""
    crop: PositiveInt = 224
    """Height and width of the frames that the encoder receives [px]."""
    short_side: PositiveInt = 224
    """Short side of the frames before cropping [px]."""

    _layout: Layout | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop > self.short_side:
            raise ValueError(f"crop ({self.crop} px) must not be larger than short_side ({self.short_side} px)")
        if round(self.imu_rate * self.window) < 1:
            raise ValueError(f"a window of {self.window:g} s at {self.imu_rate:g} Hz has no IMU samples")
        if self.val_share + self.test_share >= 1:
            raise ValueError("val_share and test_share leave no subjects for training")
        return self

    @abstractmethod
    def open_layout(self) -> Layout:
        """Read the list of takes. Raises `DataError`, naming the file, if it is invalid."""

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """Channels of a window, in the order of the columns of tables."""

    def places_windows(self, text: str) -> bool:
        """Return whether there is a window around a narration; the others do not describe windows, either."""
        return True

    def sentences(self) -> frozenset[str]:
        """Return the different sentences of all splits."""
        takes = self.layout.takes
        return frozenset(text for take in takes for text in take.narrations.texts if self.places_windows(text))

    @property
    def layout(self) -> Layout:
        """The takes of the dataset; the list is read once."""
        if self._layout is None:
            self._layout = self.open_layout()
        return self._layout

    def subjects(self, split: Split) -> tuple[str, ...]:
        """Return the subjects of a split: those that are named, or those that are drawn."""
        if self.train_subjects or self.val_subjects or self.test_subjects:
            return super().subjects(split)
        known = dict.fromkeys(take.subject for take in self.layout.takes)
        return tuple(sorted(name for name in known if self._drawn(name) == split))

    def _drawn(self, subject: str) -> Split:
        place = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big") / 2**64
        if place < self.test_share:
            return "test"
        return "val" if place < self.test_share + self.val_share else "train"

    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Index the IMU tables of a split. The first time, they are read, cleaned and resampled."""
        found = self._clips(split, video=False)
        placed, segment_N = self._place(split, found)
        built = NarratedClips(
            found.index,
            placed,
            found.source,
            imu_spec=self._imu_spec,
            horizons=(0.0,),
            seed=seed,
            segment_N=segment_N,
            excluded=found.excluded,
        )
        built.narrations, built.faults = found.narrations, found.faults
        return built

    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index the IMU tables and videos of a split. The first time, tables are read, cleaned and resampled."""
        found = self._clips(split, video=True)
        placed, segment_N = self._place(split, found)
        built = NarratedWindows(
            found.index,
            placed,
            found.source,
            imu_spec=self._imu_spec,
            video_spec=VideoSpec(self.frames, self.crop, self.short_side, self.window, burst=self.burst),
            horizons=(0.0,),
            seed=seed,
            segment_N=segment_N,
            excluded=found.excluded,
        )
        built.narrations, built.faults = found.narrations, found.faults
        return built

    @property
    def _imu_spec(self) -> ImuSpec:
        return ImuSpec(self.channels, tuple(map(unit_of, self.channels)), self.imu_rate, self.window)

    def _clips(self, split: Split, *, video: bool) -> TakeClips:
        """Read the takes of a split, and log what is left out of them."""
        wanted, takes = self._some_subjects(split), self.layout.takes
        known = tuple(dict.fromkeys(take.subject for take in takes))
        subjects = set(select_subjects(wanted, known, self.layout.root))
        chosen = [take for take in takes if take.subject in subjects]
        chosen.sort(key=lambda take: (take.subject, take.name))
        store, clips, excluded = Store(self.layout, self.imu_rate, self.max_gap), [], {}
        faults: dict[str, Faults] = {}
        used: list[Take] = []
        too_short = 0
        for take in chosen:
            try:
                kept = store.read(take)
            except DataError as error:
                excluded[f"{take.subject}/{take.name}"] = str(error)
                continue
            footage, unusable = shown_footage(take, video=video)
            excluded |= {f"{take.subject}/{name}": reason for name, reason in unusable.items()}
            if not footage:
                continue
            faults[take.name] = kept.faults
            pieces = list(usable_pieces(kept, self.imu_rate, footage))
            long = [clip for clip in pieces if round(clip.end - clip.begin - self.window, 6) >= 0]
            too_short += len(pieces) - len(long)
            if long:
                clips += [(len(used), clip) for clip in long]
                used.append(take)
        report_faults(split, faults, excluded)
        if not clips:
            raise DataError(
                f"{self.layout.root}: no take of {', '.join(sorted(subjects))} has {self.window:g} s of IMU and video "
                f"in one piece{''.join(f'; {reason}' for reason in list(excluded.values())[:3])}"
            )
        index = take_index(self.layout.root, clips, used, too_short)
        source = TakeFiles(index, [clip.stretch for _, clip in clips], takes_fingerprint(used))
        return TakeClips(index, source, tuple(self._used(take) for take in used), faults, excluded)

    def _place(self, split: Split, found: TakeClips) -> tuple[Windows, windows.Floats | None]:
        """Return the windows of a split, and for training also the length of each clip's segments."""
        times, training = found.index.times, split == "train"
        if self.around == "narrations":
            placed, segment_N = around(
                [self._in_clip(found, clip) for clip in range(len(found.index))],
                times.begin_N,
                times.end_N,
                self.window,
                self.jitter if training else 0.0,
            )
            if not len(placed):
                raise DataError(
                    f"{found.index.root}: no window of the {split} split has a narration; --set data.around=anywhere "
                    "places windows without narrations"
                )
            return (placed, segment_N) if training else (self._distinct(placed, times), None)
        if not training:
            placed = windows.evaluation_windows(times.begin_N, times.end_N, self.window, self.eval_stride)
            beyond_W = placed.start_N + self.window - times.end_N[placed.clip_N]
            inside_W = beyond_W < 0.5 / self.imu_rate  # a piece may have no multiple of the stride
            return self._distinct(Windows(placed.clip_N[inside_W], placed.start_N[inside_W]), times), None
        length_N = times.end_N - times.begin_N
        count_N = windows.stretches(length_N, self.window, self.train_stride)
        placed = windows.training_windows(times.begin_N, times.end_N, self.window, count_N)
        return placed, windows.segment_length(length_N, self.window, count_N)

    @staticmethod
    def _distinct(placed: Windows, times: ClipTimes) -> Windows:
        return windows.distinct_moments(placed, times.recording_N, times.offset_N, times.end_N)

    @staticmethod
    def _in_clip(found: TakeClips, clip: int) -> Narrations:
        """Return the narrations of the take of a clip, with times in the clip."""
        times = found.index.times
        narrations = found.narrations[int(times.recording_N[clip])]
        return Narrations(narrations.time_S - times.offset_N[clip], narrations.texts)

    def _used(self, take: Take) -> Narrations:
        """Return the narrations of a take that windows may lie around."""
        narrations = take.narrations
        kept = [place for place, text in enumerate(narrations.texts) if self.places_windows(text)]
        return Narrations(narrations.time_S[kept], tuple(narrations.texts[place] for place in kept))
