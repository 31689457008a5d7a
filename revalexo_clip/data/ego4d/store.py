"""IMU tables at the rate of windows: cleaned and resampled once, and kept in the cache folder.

A table of an hour has 720,000 rows; reading it as text takes seconds. The kept file is mapped into memory, so that
loader workers share it and a window reads its own samples only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, atomically
from revalexo_clip.data import windows
from revalexo_clip.data.clocks import on_grid
from revalexo_clip.data.ego4d.rows import Faults, clean
from revalexo_clip.data.ego4d.take import Layout, Take
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.packets import presentation_times
from revalexo_clip.data.revalexo.pack.find import cache_folder
from revalexo_clip.data.source import ClipSource, FrameTimes
from revalexo_clip.data.video import Pixels, read_frames

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """The usable samples of a take, all pieces after one another."""

    first_P: tuple[int, ...]
    """When the first sample of each piece was taken [samples from the start of the take]."""
    count_P: tuple[int, ...]
    """Number of samples of each piece."""
    faults: Faults
    samples: Path | Samples
    """[n, C] float32, in the order of the channels: a .npy file, or the array if it cannot be kept."""

    def array(self) -> Samples:
        """Return the samples. Raises `DataError` if the file cannot be read."""
        return opened(self.samples)


def opened(samples: Path | Samples) -> Samples:
    """Return samples, those of a .npy file mapped into memory. Raises `DataError` if it cannot be read."""
    if not isinstance(samples, Path):
        return samples
    try:
        mapped: Samples = np.load(samples, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{samples}: the kept samples cannot be read: {error}; delete the file") from error
    return mapped


_FACTS = TypeAdapter(tuple[tuple[int, ...], tuple[int, ...], Faults])


class Store:
    """Tables of a dataset at `rate` [Hz]; stretches without rows longer than `max_gap` [s] divide pieces."""

    def __init__(self, layout: Layout, rate: float, max_gap: float) -> None:
        self.layout, self.rate, self.max_gap = layout, rate, max_gap
        self.folder = cache_folder(layout.root) / "imu"

    def read(self, take: Take) -> Kept:
        """Return the samples of a take. Raises `DataError`, naming the file, if no piece of it can be used."""
        try:
            status = take.imu.stat()
        except OSError as error:
            raise DataError(f"{take.imu}: the IMU table is missing: {error.strerror}") from error
        asked = f"{FORMAT} {take.imu.absolute()} {status.st_size} {status.st_mtime_ns} {self.rate} {self.max_gap} "
        name = hashlib.sha256((asked + self.layout.settings(take)).encode()).hexdigest()[:24]
        path = self.folder / f"{name}.npy"
        with suppress(OSError, ValidationError):
            first_P, count_P, faults = _FACTS.validate_json(path.with_suffix(".json").read_bytes())
            if path.is_file():
                return Kept(first_P, count_P, faults, path)
        return self._keep(self._resampled(take), path)

    def _resampled(self, take: Take) -> Kept:
        try:
            pieces, faults = clean(self.layout.read(take), self.max_gap)
            placed = [on_grid(piece, self.rate) for piece in pieces]
        except ValueError as error:  # a clock that cannot be used, or a rate that is too low
            raise DataError(f"{take.imu}: {error}") from error
        placed = [(samples_nC, first) for samples_nC, first in placed if len(samples_nC)]
        if not placed:
            raise DataError(f"{take.imu}: no piece between two gaps is as long as a sample at {self.rate:g} Hz")
        return Kept(
            tuple(first for _, first in placed),
            tuple(len(samples_nC) for samples_nC, _ in placed),
            faults,
            np.concatenate([samples_nC for samples_nC, _ in placed]),
        )

    @staticmethod
    def _keep(read: Kept, path: Path) -> Kept:
        assert isinstance(read.samples, np.ndarray)
        try:
            with atomically(path) as temporary:
                np.save(temporary, read.samples)
            with atomically(path.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps([read.first_P, read.count_P, asdict(read.faults)]), encoding="utf-8")
        except WriteError:  # no cache folder: the samples stay in memory
            return read
        return Kept(read.first_P, read.count_P, read.faults, path)


@dataclass(frozen=True)
class Stretch:
    """The samples of a clip: a piece of a take."""

    samples: Path | Samples
    """The samples of the take."""
    begin: int
    """Place of the piece's first sample among them."""
    count: int
    first: int
    """When the first sample was taken [samples from the start of the clip]."""


class TakeFiles(ClipSource):
    """Kept IMU samples, and frames decoded when they are needed."""

    def __init__(self, index: ClipIndex, stretches: Sequence[Stretch], digest: str) -> None:
        """Build it for the clips of an index; `digest` is their fingerprint."""
        self.index = index
        self.stretches = stretches
        self.digest = digest
        self._opened: dict[Path, Samples] = {}

    def __getstate__(self) -> dict[str, object]:
        """Leave out the mapped files: another process maps them anew."""
        return self.__dict__ | {"_opened": {}}

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        return self.stretches[clip].count

    def first(self, clip: int) -> int:
        """See `ImuSource.first`."""
        return self.stretches[clip].first

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        of = self.stretches[clip]
        return np.array(self._samples(of.samples)[of.begin : of.begin + of.count][place], dtype=np.float32)

    def _samples(self, samples: Path | Samples) -> Samples:
        if not isinstance(samples, Path):
            return samples
        if samples not in self._opened:
            self._opened[samples] = opened(samples)
        return self._opened[samples]

    def frames(self, clip: int, time_T: windows.Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """See `ClipSource.frames`."""
        return read_frames(self.index.video(clip), time_T, short_side, crop, burst)

    def frame_times(self, clip: int) -> FrameTimes:
        """See `ClipSource.frame_times`."""
        return FrameTimes(*presentation_times(self.index.video(clip)))

    def pixel_source(self, clip: int) -> str:
        """See `ClipSource.pixel_source`."""
        return self.index.pixel_source(clip)

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return self.digest
