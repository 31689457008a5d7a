"""Kept features of a frozen model: a file for each clip, and the features of windows read from these files.

A file is in the safetensors format:

    time     float64 [n]        presentation time of each frame, or start of each window, ascending [s in the clip]
    value    float32 [n, m, P]  features of each frame (m = 1), or of the m moments of each window
    check    uint32 [n]         CRC-32 of the features of each frame or window, compared whenever they are read
    joint.k  float32            draw of the k-th joint augmentation that the features show, if there are any

and has one entry of metadata, in JSON: format, tolerance of the times, shape of `value`, CRC-32 of all the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.data.revalexo.pack.checksums import Checks, check_of
from revalexo_clip.data.windows import Floats, burst_frames, frame_times

FORMAT = 1
"""Version of the file format; increase it with every change to the format or to how features are computed."""
OPEN_FILES = 128
"""Number of files that a process keeps open."""
SAME = 1e-5
"""Largest difference between the start of a window and that of its kept features [s]."""

Float32 = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]


class _About(BaseModel):
    """Metadata of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    tolerance: float
    shape: tuple[int, int, int]
    check: int


class KeptFeatures(NamedTuple):
    """The features of a clip."""

    time_n: Floats
    """Presentation time of each frame, or start of each window, ascending [s in the clip]."""
    tolerance: float
    """Largest allowed difference between a requested time and the presentation time [s]."""
    value_nmP: Float32
    """Features of each frame (m = 1), or of the m moments of each window."""
    joint: tuple[Float32, ...] = ()
    """Draw of each joint augmentation that the features show."""


def write_features(path: Path, kept: KeptFeatures) -> None:
    """Write the features of a clip atomically. Raises `WriteError` if that is not possible."""
    check_n = np.array([check_of(np.ascontiguousarray(row)) for row in kept.value_nmP], dtype=np.uint32)
    arrays: Arrays = {f"joint.{k}": drawn for k, drawn in enumerate(kept.joint)}
    arrays |= {"time": kept.time_n, "check": check_n}
    count, moments, dim = kept.value_nmP.shape
    check = _check_of_all(arrays)
    about = _About(format=FORMAT, tolerance=kept.tolerance, shape=(count, moments, dim), check=check)
    arrays["value"] = np.ascontiguousarray(kept.value_nmP, dtype=np.float32)
    with atomically(path) as temporary:
        temporary.write_bytes(save(arrays, {"about": about.model_dump_json()}))


def _check_of_all(arrays: Arrays) -> int:
    return check_of(b"".join(name.encode() + np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays)))


class _Values(Protocol):
    def get_shape(self) -> list[int]: ...

    def __getitem__(self, place: slice) -> Float32: ...


class _Opened(Protocol):
    def metadata(self) -> dict[str, str] | None: ...

    def keys(self) -> list[str]: ...

    def get_tensor(self, name: str) -> npt.NDArray[np.generic]: ...

    def get_slice(self, name: str) -> _Values: ...


class FeatureFile:
    """The open file of a clip. Raises `DataError`, naming the file, if it is not as it was written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            file = cast("_Opened", safe_open(path, "np"))  # its own methods have no types
            about = _About.model_validate_json((file.metadata() or {}).get("about", ""))
            names = set(file.keys())
            small: Arrays = {name: file.get_tensor(name) for name in names - {"value"}}
            self._value = file.get_slice("value")
            self.time_n: Floats = np.asarray(small["time"], dtype=np.float64)
            self.check_n: Checks = np.asarray(small["check"], dtype=np.uint32)
        except (SafetensorError, OSError, ValidationError, KeyError) as error:
            raise DataError(f"{path}: is no usable file of features ({str(error).splitlines()[0]})") from error
        if about.format != FORMAT:
            raise DataError(f"{path}: has format {about.format}, but this version reads format {FORMAT}")
        count, self.moments, self.dim = about.shape
        found = self._value.get_shape(), self.time_n.shape, self.check_n.shape
        if about.check != _check_of_all(small) or found != (list(about.shape), (count,), (count,)):
            raise DataError(f"{path}: is corrupt: checksum mismatch")
        self.tolerance = about.tolerance
        places = range(sum(name.startswith("joint.") for name in names))
        joint = [np.asarray(small[f"joint.{place}"], dtype=np.float32) for place in places]
        self.joint = tuple(map(torch.from_numpy, joint))

    def rows(self, place_T: Sequence[int]) -> Float32:
        """Read the features [T, m, P] of some frames or windows."""
        read: dict[int, Float32] = {}
        for place in place_T:
            if place in read:
                continue
            row_mP: Float32 = np.ascontiguousarray(self._value[place : place + 1][0])
            if check_of(row_mP) != self.check_n[place]:
                raise DataError(
                    f"{self.path}: features at {self.time_n[place]:.3f} s: is corrupt: checksum mismatch; delete the "
                    "file, so that they are computed again"
                )
            read[place] = row_mP
        return np.stack([read[place] for place in place_T])


class FeatureFiles:
    """The kept features of the windows of a dataset. It can be forked and pickled."""

    def __init__(self, folder: Path, names_KN: Sequence[Sequence[str]], spec: VideoSpec, *, per_frame: bool) -> None:
        """`names_KN` are the names of the files of each clip, for each of K views of its video.

        `spec` is the format of the windows. If `per_frame`, features are those of single frames, otherwise of windows.
        """
        self.folder = folder
        self.names_KN = names_KN
        self.spec = spec
        self.per_frame = per_frame
        self._open: OrderedDict[str, FeatureFile] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """Leave out the open files: another process opens them anew."""
        return self.__dict__ | {"_open": OrderedDict()}

    @property
    def views(self) -> int:
        """K, the number of views of each clip."""
        return len(self.names_KN)

    def features(self, clip: int, start: float, view: int = 0) -> Tensor:
        """Return the features [M, P] of a window that starts at `start` [s in the clip].

        Raises `DataError`, naming the file, if they are missing or corrupt.
        """
        file = self._file(clip, view)
        if self.per_frame:
            time_T = frame_times(start, self.spec.window, self.spec.frames)
            try:
                place_T = burst_frames(file.time_n, time_T, self.spec.burst, file.tolerance)
            except DataError as error:
                raise DataError(f"{file.path}: {error}") from error
            value_TmP = file.rows(place_T.tolist())
        else:
            place = int(np.abs(file.time_n - start).argmin())
            if abs(file.time_n[place] - start) > SAME:
                raise DataError(f"{file.path}: has no features of a window at {start:.3f} s")
            value_TmP = file.rows([place])
        return torch.from_numpy(value_TmP.reshape(-1, value_TmP.shape[-1]))

    def joint_draws(self, clip: int, view: int) -> tuple[Tensor, ...]:
        """Return the draws of joint augmentations that a view of a clip shows."""
        return self._file(clip, view).joint

    def feature_bytes(self) -> int:
        """Return the size of the features of a window [bytes]."""
        file = self._file(next(clip for clip, name in enumerate(self.names_KN[0]) if name), 0)
        return 4 * file.dim * file.moments * (self.spec.images if self.per_frame else 1)

    def _file(self, clip: int, view: int) -> FeatureFile:
        name = self.names_KN[view][clip]
        file = self._open.get(name)
        if file is None:
            file = self._open[name] = FeatureFile(self.folder / name)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        return file
