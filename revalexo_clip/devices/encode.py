"""Encoding pictures at their own times to a video file, for devices that do not record videos."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import Floats

CLOCK = Fraction(1, 1_000_000)
"""Unit of the times in the file [s]."""
_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
_KEYFRAMES = 30
"""Frames from one keyframe to the next: a window is read from the last keyframe before it."""


def encode_video(
    pictures: Iterable[npt.NDArray[np.uint8]], time_T: Floats, size: tuple[int, int], target: Path
) -> None:
    """Encode pictures [H, W, 3], RGB, to an MP4 file with H.264, one after the other.

    `time_T` are their times [s], ascending from zero, which are kept to the microsecond. `size` is width and height
    [px], both even. Raises `DataError` if they cannot be encoded.
    """
    width, height = size
    try:
        with av.open(str(target.absolute()), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=30, options=_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.gop_size = _KEYFRAMES
            stream.codec_context.time_base = CLOCK
            for time, picture in zip(time_T.tolist(), pictures, strict=True):
                assert picture.shape == (height, width, 3)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = round(time / CLOCK), CLOCK
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise DataError(f"{target.name}: cannot be encoded: {error.strerror}") from error
