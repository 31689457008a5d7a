"""Reading the video frames nearest to given times, by presentation time.

Packets are read first: that is fast, and gives the presentation time of every frame. Then only the needed frames are
decoded: from the last keyframe before a wanted frame up to that frame, without frames that no other frame refers to.
The pixels are the same as with a full decode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.packets import (
    LISTING,
    Video,
    VideoPacket,
    every_packet,
    nearest_pts,
    opened_video,
    packets_from_keyframe,
    packets_until,
    runs_to_decode,
    shown_pts,
)
from revalexo_clip.data.windows import Floats

Pixels = npt.NDArray[np.uint8]


MIRRORED = 4
"""Added to the quarter turns of a frame that is mirrored, too. A multiple of 4, so that the turns are the same."""


def read_frames(path: Path, time_T: Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
    """Read the frame nearest to each of the ascending times [s in the clip], [T, crop, crop, 3] uint8 RGB.

    With `burst`, read that many consecutive frames near each time, see `burst_frames`; T is then the number of all.

    Frames are resized to `short_side`, cropped in the centre, and rotated upright as the file says. If `crop` is None,
    they are not cropped: [T, H, W, 3], where the shorter of H and W is `short_side`. Raises `DataError` if the file is
    not a video, if the decoder finds that a frame or one that it depends on is corrupt, or if no frame is near a time.
    """
    try:
        return _read(path, time_T, short_side, crop, burst, seek=True)
    except (av.error.FFmpegError, DataError):
        # Either seeking does not work in this container or the file is corrupt: decoding from the start tells which.
        pass
    try:
        return _read(path, time_T, short_side, crop, burst, seek=False)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


def _read(path: Path, time_T: Floats, short_side: int, crop: int | None, burst: int, *, seek: bool) -> Pixels:
    with opened_video(path) as container:
        video = Video(path, container)
        # The burst around a single time begins before it.
        reach = video.tolerance * burst if len(time_T) == 1 and burst > 1 else 0.0
        span = np.array([max(time_T[0] - reach, 0.0), time_T[-1] + reach])
        packets = packets_from_keyframe(video, span) if seek else packets_until(video, span[-1])
        pts_T = nearest_pts(video, packets, time_T, burst)
        reformatter = VideoReformatter()
        shown = {
            frame.pts: _pixels(frame, reformatter, short_side, crop, video)
            for run in (runs_to_decode(packets, set(pts_T)) if seek else [packets])
            for frame in _decoded(video, run, set(pts_T).intersection(packet.pts for packet in run))
        }
    return np.stack([shown[pts] for pts in pts_T])


class Shown(NamedTuple):
    """One frame of a video."""

    time: float
    """Presentation time [s in the clip]."""
    rgb_HWC: Pixels
    """Resized, with square pixels, and not yet upright."""
    turns: int
    """What makes it upright, see `upright_centre`."""
    size: tuple[int, int]
    """Height and width of the frame with square pixels, before rotation [px]."""
    tolerance: float
    """Largest allowed difference between a requested time and the presentation time [s]."""


def every_frame(path: Path, short_side: int) -> Iterator[Shown]:
    """Yield all frames that `read_frames` can return, in presentation order.

    They are resized to `short_side` if theirs is longer. Raises `DataError` if the decoder finds errors.
    """
    reformatter = VideoReformatter()
    try:
        shown = _shown_pts(path)
        with opened_video(path) as container:
            video = Video(path, container)
            for frame in _decoded(video, every_packet(video), set(shown)):
                size = frame.height, max(round(frame.width * video.pixel_aspect), 1)
                rgb_HWC = _resized(frame, reformatter, min(short_side, *size), video.pixel_aspect)
                turns = _turns(frame, video)
                assert frame.pts is not None
                yield Shown(video.seconds(frame.pts), rgb_HWC, turns, size, video.tolerance)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


def grey_frames(path: Path, width: int) -> Iterator[tuple[float, Pixels]]:
    """Yield time [s in the clip] and brightness of all frames that `read_frames` can return, in presentation order.

    Frames are upright, [H, W] uint8, and resized to a width W [px]. Raises `DataError` if the file is corrupt, or if
    the size of frames changes.
    """
    reformatter, first = VideoReformatter(), None
    try:
        shown = _shown_pts(path)
        with opened_video(path) as container:
            video = Video(path, container)
            for frame in _decoded(video, every_packet(video), set(shown)):
                turns = _turns(frame, video)
                size = max(round(frame.width * video.pixel_aspect), 1), frame.height, turns
                first = first or size
                assert frame.pts is not None
                if size != first:
                    raise DataError(f"{path}: the frame size changes at {video.seconds(frame.pts):.3f} s")
                scale = width / size[turns % 2]
                small = reformatter.reformat(
                    frame,
                    round(size[0] * scale),
                    round(size[1] * scale),
                    "gray",
                    interpolation=Interpolation.BILINEAR,
                    threads=1,
                )
                grey_HW = upright_centre(np.asarray(small.to_ndarray(), np.uint8)[None], None, turns)[0]
                yield video.seconds(frame.pts), np.ascontiguousarray(grey_HW)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


@dataclass(frozen=True)
class Survey:
    """Presentation times of a video that was fully decoded, and the errors that the decoder found.

    Decoders of HEVC, VP9 and MJPEG, and sometimes of AV1, show wrong pixels for wrong bytes without noticing.
    """

    time_P: Floats
    """Ascending presentation times [s in the clip]."""
    tolerance: float
    """Largest allowed difference between a requested time and a presentation time [s]."""
    damage: str | None
    """Error that stopped decoding before the last frame; None if all frames are intact."""


def survey(path: Path) -> Survey:
    """Decode every frame that `read_frames` can return. Raises `DataError` if the file is not a video."""
    try:
        shown = sorted(_shown_pts(path))
        with opened_video(path) as container:
            video = Video(path, container)
            damage = _first_damage(video, every_packet(video), set(shown))
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error
    return Survey(np.array([video.seconds(pts) for pts in shown]), video.tolerance, damage)


def video_span(path: Path) -> tuple[float, float]:
    """Return the time from which and until which a video has a frame for any moment [s in the clip].

    Only packets are read, and of MP4 files only the header. Raises `DataError` if the file is not a video.
    """
    try:
        with opened_video(path) as container:
            video = Video(path, container)
            stream, rate = video.stream, video.stream.average_rate
            if path.suffix.lower() in LISTING and stream.start_time is not None and stream.duration and rate:
                first = video.seconds(stream.start_time)
                last = first + stream.duration * video.unit - 1 / float(rate)
            else:
                shown = shown_pts(every_packet(video))
                first, last = video.seconds(min(shown, default=0)), video.seconds(max(shown, default=0))
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error
    return max(first - video.tolerance, 0.0), last + video.tolerance


def _shown_pts(path: Path) -> list[int]:
    """Return the presentation times of all frames that can be shown, in decoding order. Reads the file once."""
    with opened_video(path) as container:
        return shown_pts(every_packet(Video(path, container)))


def _first_damage(video: Video, packets: Iterable[VideoPacket], wanted: set[int]) -> str | None:
    try:
        for _ in _decoded(video, packets, wanted):
            pass
    except DataError as error:
        return str(error).removeprefix(f"{video.path}: ")
    except av.error.FFmpegError as error:
        return f"cannot be decoded as video: {error.strerror}"
    return None


def _decoded(video: Video, packets: Iterable[VideoPacket], wanted: set[int]) -> Iterator[VideoFrame]:
    """Yield each frame with a wanted presentation time once. The first packet must be a keyframe."""
    codec = video.stream.codec_context
    codec.flush_buffers()  # a codec that was drained by an earlier run accepts no packets before a flush
    missing = set(wanted)
    last = video.origin - 1
    for packet in chain(packets, (None,)):  # None drains the decoder
        codec.skip_frame = "DEFAULT" if packet is None or packet.pts in wanted else "NONREF"
        for frame in codec.decode(packet):
            if frame.is_corrupt:  # the decoder conceals errors and marks the frame; later frames depend on it
                raise DataError(f"{video.path}: the frame after {video.seconds(last):.3f} s is corrupt")
            if frame.pts is None or frame.pts <= last:
                raise DataError(f"{video.path}: presentation times do not ascend after {video.seconds(last):.3f} s")
            last = frame.pts
            if frame.pts in missing:
                missing.remove(frame.pts)
                yield frame
        if not missing:
            return
    raise DataError(f"{video.path}: the frame at {video.seconds(min(missing)):.3f} s cannot be decoded")


def _pixels(
    frame: VideoFrame, reformatter: VideoReformatter, short_side: int, crop: int | None, video: Video
) -> Pixels:
    """Return [crop, crop, 3], or [H, W, 3] if `crop` is None, uint8 RGB.

    swscale widens its bilinear filter when it shrinks an image, so there is no aliasing.
    """
    rgb_HWC = _resized(frame, reformatter, short_side, video.pixel_aspect)
    upright_HWC: Pixels = upright_centre(rgb_HWC[None], crop, _turns(frame, video))[0]
    return upright_HWC


def _turns(frame: VideoFrame, video: Video) -> int:
    """Return what makes a frame upright, for `upright_centre`.

    Only the first frame of each rotation is asked for its matrix: a frame that was asked is part of a reference cycle,
    and stays in memory until garbage collection.
    """
    if frame.rotation not in video.turns:
        video.turns[frame.rotation] = _matrix_turns(frame)
    return video.turns[frame.rotation]


def _matrix_turns(frame: VideoFrame) -> int:
    found = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(found, Buffer):
        return 0
    # A step to the right in the stored frame is shown as a step (a, b) to the right and down, one down as (c, d).
    a, b, _, c, d, *_ = np.frombuffer(bytes(found), np.int32).tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return -round(math.degrees(math.atan2(b, a)) / 90) % 4 + (MIRRORED if mirrored else 0)


def _resized(frame: VideoFrame, reformatter: VideoReformatter, short_side: int, aspect: float) -> Pixels:
    height, width = frame_size(frame.height, max(round(frame.width * aspect), 1), short_side)
    # Planar output takes half the time, and chroma is interpolated for every pixel; with packed output swscale does
    # that only if the width is odd. One thread: by default swscale starts one per core for every window.
    resized = reformatter.reformat(frame, width, height, "gbrp", interpolation=Interpolation.BILINEAR, threads=1)
    return np.asarray(resized.to_ndarray(), dtype=np.uint8)


def frame_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return the height and width of a frame that is resized to a short side."""
    scale = short_side / min(width, height)
    return round(height * scale), round(width * scale)


def upright_centre(video_THWC: Pixels, crop: int | None, turns: int) -> Pixels:
    """Crop the centre of frames, unless `crop` is None, and make them upright.

    They are rotated by `turns` quarter turns counterclockwise; if `turns` is `MIRRORED` or more, left and right are
    swapped before.
    """
    if crop is not None:
        top, left = ((size - crop) // 2 for size in video_THWC.shape[1:3])
        video_THWC = video_THWC[:, top : top + crop, left : left + crop]
    if turns >= MIRRORED:
        video_THWC = video_THWC[:, :, ::-1]
    return np.asarray(np.rot90(video_THWC, k=turns, axes=(1, 2)), dtype=np.uint8)
