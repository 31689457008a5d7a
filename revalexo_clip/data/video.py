"""Video: the frames nearest to given moments, found by presentation time.

Packets are read first, which costs next to nothing and tells when every frame is shown; only then is decoded what is
needed. Frames that are neither wanted nor referred to by others are never decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from revalexo_clip.data.windows import Floats, nearest_frames
from revalexo_clip.errors import DataError

Pixels = npt.NDArray[np.uint8]

TOLERANCE = 0.1
"""A frame stands for a moment at most this far from it [s], or 1.5 mean frame intervals where those are longer."""

FOREVER = 1e9
"""Later than the end of any video [s]."""

MAX_PIXELS = 2**26
"""The largest frame that is decoded [px], twice that of 8K video; a damaged header can claim any size."""

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "webm_dash_manifest"})
"""Names of formats that hold no video of their own."""


def read_frames(path: Path, time_T: Floats, short_side: int, crop: int | None) -> Pixels:
    """[T, crop, crop, 3] uint8 RGB: for each ascending time [s from the first frame], the frame nearest to it.

    Frames are resized to `short_side`, cropped in the centre, and turned upright as the file's rotation says. Where
    `crop` is None they stay whole, [T, H, W, 3], the shorter of H and W being `short_side`. Raises `DataError` for what
    is not a video, for damage between the keyframe before the window and the window's end, and for a time that has no
    frame near it.
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
    with _opened(path) as container:
        video = _Video(path, container)
        packets = _packets_from_keyframe(video, time_T) if seek else _packets(video, time_T[-1])
        pts_T = _nearest(video, packets, time_T)
        reformatter = VideoReformatter()
        shown = {
            frame.pts: _pixels(frame, reformatter, short_side, crop) for frame in _decoded(video, packets, set(pts_T))
        }
    return np.stack([shown[pts] for pts in pts_T])


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
        with _opened(path) as container:
            video = _Video(path, container)
            packets = _from_keyframe(_packets(video, FOREVER))
            shown = sorted(_shown(packets))
            damage = _first_damage(video, packets, set(shown))
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error
    return Survey(np.array([video.seconds(pts) for pts in shown]), video.tolerance, damage)


def _first_damage(video: _Video, packets: list[Packet[VideoStream]], wanted: set[int]) -> str | None:
    try:
        for _ in _decoded(video, packets, wanted):
            pass
    except DataError as error:
        return str(error).removeprefix(f"{video.path}: ")
    except av.error.FFmpegError as error:
        return f"cannot be decoded as video: {error.strerror}"
    return None


def _opened(path: Path) -> InputContainer:
    """The container, of which nothing is decoded yet. It reads this file and no other, whatever the file says."""
    container = av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    if container.format.name in PLAYLISTS:
        raise DataError(f"{path}: is no video but a list of other files ({container.format.name})")
    if not container.streams.video:
        raise DataError(f"{path}: holds no video")
    return container


class _Video:
    """An open video, and its own time units against seconds from its first frame."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.path = path
        self.container = container
        self.stream = container.streams.video[0]
        codec: VideoCodecContext | None = self.stream.codec_context
        if codec is None or self.stream.time_base is None:
            raise DataError(f"{path}: cannot be decoded as video: its codec is not known")
        codec.thread_count = 1  # loader workers are the threads; more of them cost CPU time
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        self.unit = float(self.stream.time_base)
        self.origin = self.stream.start_time or 0
        rate = self.stream.average_rate
        self.tolerance = max(TOLERANCE, 1.5 / float(rate)) if rate else TOLERANCE

    def seconds(self, pts: int) -> float:
        return (pts - self.origin) * self.unit

    def pts(self, seconds: float) -> int:
        return self.origin + int(seconds / self.unit)


def _packets_from_keyframe(video: _Video, time_T: Floats) -> list[Packet[VideoStream]]:
    """The packets from a keyframe at or before the first time to beyond the last time."""
    video.container.seek(video.pts(time_T[0]), stream=video.stream)
    packets = _packets(video, time_T[-1])
    first = packets[0].pts
    if first is None or not packets[0].is_keyframe or video.seconds(first) > time_T[0]:
        raise DataError(f"{video.path}: seeking does not lead to a keyframe before {time_T[0]:.3f} s")
    return _from_keyframe(packets)


def _from_keyframe(packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
    """Without what is shown before the keyframe but stored after it: it refers to frames that were not read."""
    first = packets[0].pts
    return [packet for packet in packets if packet.pts is not None and first is not None and packet.pts >= first]


def _packets(video: _Video, until: float) -> list[Packet[VideoStream]]:
    """The packets from where the container stands to beyond `until` [s]."""
    beyond = video.pts(until + video.tolerance)
    packets = []
    for packet in video.container.demux(video.stream):
        if packet.size == 0:  # the mark of the end
            break
        if packet.pts is None:
            raise DataError(f"{video.path}: its frames carry no presentation times")
        packets.append(packet)
        if packet.dts is not None and packet.dts > beyond:
            break
    if not packets:
        raise DataError(f"{video.path}: holds no video frames")
    return packets


def _nearest(video: _Video, packets: list[Packet[VideoStream]], time_T: Floats) -> list[int]:
    """The presentation time, in the stream's units, of the frame nearest to each moment."""
    shown = _shown(packets)
    if not shown:
        raise DataError(f"{video.path}: shows no frame before {time_T[-1]:.3f} s")
    time_P = np.array([video.seconds(pts) for pts in shown])
    nearest_T = nearest_frames(time_P, time_T)
    distance_T = np.abs(time_P[nearest_T] - time_T)
    worst = int(distance_T.argmax())
    if distance_T[worst] > video.tolerance:
        end = time_P.max()
        where = "where the video ends" if end < time_T[worst] else "after it"
        raise DataError(
            f"{video.path}: has no frame near {time_T[worst]:.3f} s: the nearest is at "
            f"{time_P[nearest_T[worst]]:.3f} s, {where}"
        )
    return [shown[place] for place in nearest_T]


def _shown(packets: list[Packet[VideoStream]]) -> list[int]:
    return [packet.pts for packet in packets if packet.pts is not None and not packet.is_discard]


def _decoded(video: _Video, packets: list[Packet[VideoStream]], wanted: set[int]) -> Iterator[VideoFrame]:
    """The frames whose presentation times are wanted, each once."""
    codec = video.stream.codec_context
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
    scale = short_side / min(frame.width, frame.height)
    width, height = round(frame.width * scale), round(frame.height * scale)
    resized = reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR)
    rgb_HWC = resized.to_ndarray()
    if crop is not None:
        left, top = (width - crop) // 2, (height - crop) // 2
        rgb_HWC = rgb_HWC[top : top + crop, left : left + crop]
    return np.asarray(np.rot90(rgb_HWC, k=round(frame.rotation / 90)), dtype=np.uint8)
