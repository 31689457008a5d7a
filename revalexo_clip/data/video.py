"""Video: the frames nearest to given moments, found by presentation time.

Packets are read first, which costs next to nothing and tells when every frame is shown; only then is decoded what is
needed: from the last keyframe before a wanted frame to that frame, and of what lies in between only frames that others
may refer to. The pixels are those of a full decode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.packets import (
    FOREVER,
    Video,
    VideoPacket,
    from_keyframe,
    nearest_pts,
    opened_video,
    packets_from_keyframe,
    packets_until,
    runs_to_decode,
    shown_pts,
)
from revalexo_clip.data.windows import Floats

Pixels = npt.NDArray[np.uint8]


def read_frames(path: Path, time_T: Floats, short_side: int, crop: int | None) -> Pixels:
    """[T, crop, crop, 3] uint8 RGB: for each ascending time [s from the first frame], the frame nearest to it.

    Frames are resized to `short_side`, cropped in the centre, and turned upright as the file's rotation says. Where
    `crop` is None they stay whole, [T, H, W, 3], the shorter of H and W being `short_side`. Raises `DataError` for what
    is not a video, for damage to a frame or to what was decoded for it, and for a time that has no frame near it.
    """
    try:
        return _read(path, time_T, short_side, crop, seek=True)
    except (av.error.FFmpegError, DataError):
        # Containers that seek badly or not at all end here as damage does; decoding from the start tells them apart.
        pass
    try:
        return _read(path, time_T, short_side, crop, seek=False)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


def _read(path: Path, time_T: Floats, short_side: int, crop: int | None, *, seek: bool) -> Pixels:
    with opened_video(path) as container:
        video = Video(path, container)
        packets = packets_from_keyframe(video, time_T) if seek else packets_until(video, time_T[-1])
        pts_T = nearest_pts(video, packets, time_T)
        reformatter = VideoReformatter()
        shown = {
            frame.pts: _pixels(frame, reformatter, short_side, crop)
            for run in (runs_to_decode(packets, set(pts_T)) if seek else [packets])
            for frame in _decoded(video, run, set(pts_T).intersection(packet.pts for packet in run))
        }
    return np.stack([shown[pts] for pts in pts_T])


class Shown(NamedTuple):
    """One frame of a video."""

    time: float
    """When it is shown [s from the first frame]."""
    rgb_HWC: Pixels
    """Resized, as it is stored: `turns` quarter turns against the clock put it upright."""
    turns: int
    size: tuple[int, int]
    """Height and width as it is stored in the file [px]."""
    tolerance: float
    """How far from it the moments may be that it stands for [s]."""


def every_frame(path: Path, short_side: int) -> Iterator[Shown]:
    """All frames that `read_frames` can be asked for, in the order in which they are shown.

    They are resized to `short_side` where theirs is longer. Raises `DataError` for any damage.
    """
    reformatter = VideoReformatter()
    try:
        with opened_video(path) as container:
            video = Video(path, container)
            packets = from_keyframe(packets_until(video, FOREVER))
            for frame in _decoded(video, packets, set(shown_pts(packets))):
                size = frame.height, frame.width
                rgb_HWC = _resized(frame, reformatter, min(short_side, *size))
                turns = round(frame.rotation / 90)
                assert frame.pts is not None
                yield Shown(video.seconds(frame.pts), rgb_HWC, turns, size, video.tolerance)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


@dataclass(frozen=True)
class Survey:
    """What is shown when, found by decoding all of a video."""

    time_P: Floats
    """Ascending presentation times [s from the first frame]."""
    tolerance: float
    """How far a frame may be from the moment that it stands for [s]."""
    damage: str | None
    """Why decoding came to an end before the last frame; None where all frames are whole."""


def survey(path: Path) -> Survey:
    """Decode every frame that `read_frames` can be asked for. Raises `DataError` where there is none to decode."""
    try:
        with opened_video(path) as container:
            video = Video(path, container)
            packets = from_keyframe(packets_until(video, FOREVER))
            shown = sorted(shown_pts(packets))
            damage = _first_damage(video, packets, set(shown))
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error
    return Survey(np.array([video.seconds(pts) for pts in shown]), video.tolerance, damage)


def _first_damage(video: Video, packets: list[VideoPacket], wanted: set[int]) -> str | None:
    try:
        for _ in _decoded(video, packets, wanted):
            pass
    except DataError as error:
        return str(error).removeprefix(f"{video.path}: ")
    except av.error.FFmpegError as error:
        return f"cannot be decoded as video: {error.strerror}"
    return None


def _decoded(video: Video, packets: list[VideoPacket], wanted: set[int]) -> Iterator[VideoFrame]:
    """The frames whose presentation times are wanted, each once. The first packet is a keyframe."""
    codec = video.stream.codec_context
    codec.flush_buffers()  # after a run before this one it takes nothing more, until it is told to start again
    missing = set(wanted)
    last = video.origin - 1
    for packet in [*packets, None]:  # None: out with what the decoder still holds
        codec.skip_frame = "DEFAULT" if packet is None or packet.pts in wanted else "NONREF"
        for frame in codec.decode(packet):
            if frame.is_corrupt:  # the decoder patches damage up, marks the frame, and carries it on to later ones
                raise DataError(f"{video.path}: a frame is damaged, after the one at {video.seconds(last):.3f} s")
            if frame.pts is None or frame.pts <= last:
                raise DataError(f"{video.path}: presentation times do not ascend after {video.seconds(last):.3f} s")
            last = frame.pts
            if frame.pts in missing:
                missing.remove(frame.pts)
                yield frame
        if not missing:
            return
    raise DataError(f"{video.path}: the frame at {video.seconds(min(missing)):.3f} s cannot be decoded")


def _pixels(frame: VideoFrame, reformatter: VideoReformatter, short_side: int, crop: int | None) -> Pixels:
    """[crop, crop, 3], or [H, W, 3] if `crop` is None, uint8 RGB.

    swscale's bilinear filter widens when it shrinks, so it does not alias.
    """
    rgb_HWC = _resized(frame, reformatter, short_side)
    upright_HWC: Pixels = upright_centre(rgb_HWC[None], crop, round(frame.rotation / 90))[0]
    return upright_HWC


def _resized(frame: VideoFrame, reformatter: VideoReformatter, short_side: int) -> Pixels:
    height, width = frame_size(frame.height, frame.width, short_side)
    # As planes it takes half the time, and chroma is interpolated for every pixel: into packed pixels swscale does so
    # only where the width is odd.
    # One thread: the default starts as many as there are cores for every window.
    resized = reformatter.reformat(frame, width, height, "gbrp", interpolation=Interpolation.BILINEAR, threads=1)
    return np.asarray(resized.to_ndarray(), dtype=np.uint8)


def frame_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width of a frame that is resized to a short side."""
    scale = short_side / min(width, height)
    return round(height * scale), round(width * scale)


def upright_centre(video_THWC: Pixels, crop: int | None, turns: int) -> Pixels:
    """The centre of frames, or all of them where `crop` is None, after that many quarter turns against the clock."""
    if crop is not None:
        top, left = ((size - crop) // 2 for size in video_THWC.shape[1:3])
        video_THWC = video_THWC[:, top : top + crop, left : left + crop]
    return np.asarray(np.rot90(video_THWC, k=turns, axes=(1, 2)), dtype=np.uint8)
