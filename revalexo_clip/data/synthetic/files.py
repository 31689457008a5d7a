"""Files of a recording: the CSV files of the IMUs and the mp4 files of the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from revalexo_clip.core.files import atomically
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.script import CLIP_SECONDS
from revalexo_clip.data.synthetic.sensors import IMU_RATE

VIDEO_RATE = 30
VIDEO_WIDTH, VIDEO_HEIGHT = 160, 120

Frames = Iterator[NDArray[np.uint8]]
"""Images [120, 160, 3] at `VIDEO_RATE`."""


class Recording(NamedTuple):
    """What a world simulates of one recording. Both signals are computed when they are called for."""

    channels: tuple[str, ...]
    imu: Callable[[], Float]
    """Returns the IMU rows, [60 * seconds, channels]."""
    frames: Callable[[], Frames]
    crf: int
    """Compression of the video: x264's constant rate factor."""


def write_recording(recording: Recording, files: Sequence[tuple[Path, Path]], overlap: float) -> None:
    """Write a recording as clips of `CLIP_SECONDS` that share `overlap` [s] with the one before.

    `files` are the video and the IMU file of each clip, in order of time. Files that are there already are complete,
    and stay. Clips share IMU rows to the last digit, and show the same frames, each compressed in its own file.
    """
    step = CLIP_SECONDS - overlap
    if not all(imu.exists() for _, imu in files):
        imu_LC = recording.imu()
        for number, (_, imu) in enumerate(files):
            row = round(number * step * IMU_RATE)
            if not imu.exists():
                with atomically(imu) as path:
                    _write_csv(path, recording.channels, imu_LC[row : row + round(CLIP_SECONDS * IMU_RATE)])
    if not all(video.exists() for video, _ in files):
        frames = recording.frames()
        kept = frames if len(files) == 1 else list(frames)
        for number, (video, _) in enumerate(files):
            first = round(number * step * VIDEO_RATE)
            if not video.exists():
                with atomically(video) as path:
                    _write_mp4(path, islice(kept, first, first + round(CLIP_SECONDS * VIDEO_RATE)), recording.crf)


def recording_seconds(clips: int, overlap: float) -> float:
    """Length of a recording that is cut into so many clips [s]."""
    return clips * (CLIP_SECONDS - overlap) + overlap


def _write_csv(path: Path, channels: tuple[str, ...], imu_LC: Float) -> None:
    row = ",".join(["%.4f"] * len(channels)) + "\n"
    text = (row * len(imu_LC)) % tuple(imu_LC.ravel().tolist())
    path.write_text(",".join(channels) + "\n" + text, encoding="utf-8", newline="\n")


def _write_mp4(path: Path, frames: Frames, crf: int) -> None:
    # One thread, so that the bytes do not depend on the number of cores; no filters, for fast decoding.
    options = {"preset": "ultrafast", "crf": str(crf), "tune": "fastdecode", "threads": "1"}
    with av.open(str(path.absolute()), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = VIDEO_WIDTH, VIDEO_HEIGHT, "yuv420p"
        stream.gop_size = 15
        scaler = VideoReformatter()
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = scaler.reformat(frame, VIDEO_WIDTH, VIDEO_HEIGHT, "yuv420p", interpolation="BILINEAR", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, VIDEO_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
