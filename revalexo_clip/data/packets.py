"""The packets of a video, read without decoding any: when every frame is shown, and what must be decoded for some."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.windows import Floats, shown_frames

VideoPacket: TypeAlias = "Packet[VideoStream]"

TOLERANCE = 0.1
"""A frame stands for a moment at most this far from it [s], or 1.5 mean frame intervals where those are longer."""

FOREVER = 1e9
"""Later than the end of any video [s]."""

MAX_PIXELS = 2**26
"""The largest frame that is decoded [px], twice that of 8K video; a damaged header can claim any size."""

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""The name of a family of formats."""

LISTING = frozenset({".mp4", ".m4v", ".mov"})
"""How their files end."""

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "webm_dash_manifest"})
"""Names of formats that hold no video of their own."""


def opened_video(path: Path) -> InputContainer:
    """The container, of which nothing is decoded yet. It reads this file and no other, whatever the file says."""
    container = None
    if path.suffix.lower() in LISTING:
        container = _opened(path, codec_whitelist="none")  # decoding a few frames to learn more takes most of the time
        if not _tells_all(container):
            container.close()
            container = None
    container = container or _opened(path)
    if container.format.name in PLAYLISTS:
        raise DataError(f"{path}: is no video but a list of other files ({container.format.name})")
    if not container.streams.video:
        raise DataError(f"{path}: holds no video")
    return container


def _opened(path: Path, **options: str) -> InputContainer:
    options["protocol_whitelist"] = "file"
    return av.open(str(path), options=options, metadata_errors="replace")


def _tells_all(container: InputContainer) -> bool:
    """Whether the container lists frames, with their times and order, as MP4 and MOV do unless all is in fragments."""
    return container.format.name == MP4 and all(stream.frames for stream in container.streams.video[:1])


class Video:
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
        """Presentation time in the stream's units -> [s] from the first frame."""
        return (pts - self.origin) * self.unit

    def pts(self, seconds: float) -> int:
        """[s] from the first frame -> presentation time in the stream's units."""
        return self.origin + int(seconds / self.unit)


def packets_from_keyframe(video: Video, time_T: Floats) -> list[VideoPacket]:
    """The packets from a keyframe at or before the first time to beyond the last time."""
    target = video.pts(time_T[0])
    for _ in range(2):
        video.container.seek(target, stream=video.stream)
        packets = packets_until(video, time_T[-1])
        first = packets[0]
        if first.pts is not None and first.is_keyframe and video.seconds(first.pts) <= time_T[0]:
            return from_keyframe(packets)
        # Containers are searched by the order of decoding: a keyframe that is found may be shown after the first time.
        target = min(target, target if first.dts is None else first.dts) - 1
    raise DataError(f"{video.path}: seeking does not lead to a keyframe before {time_T[0]:.3f} s")


def from_keyframe(packets: list[VideoPacket]) -> list[VideoPacket]:
    """Without what is shown before the keyframe but stored after it: it refers to frames that were not read."""
    first = packets[0].pts
    return [packet for packet in packets if packet.pts is not None and first is not None and packet.pts >= first]


def runs_to_decode(packets: list[VideoPacket], wanted: set[int]) -> list[list[VideoPacket]]:
    """What has to be decoded: runs of packets, each from a keyframe to a wanted frame.

    The first packet is a keyframe that all others are shown after. Between two runs nothing is decoded.
    """
    keyframes: list[tuple[int, int]] = []
    runs: list[slice] = []
    for place, packet in enumerate(packets):
        assert packet.pts is not None
        if packet.is_keyframe:
            keyframes.append((place, packet.pts))
        if packet.pts in wanted:
            # What is shown before a keyframe but stored after it may refer to what is stored before it.
            first = max(key for key, shown in keyframes if shown <= packet.pts)
            if runs and first <= runs[-1].stop:
                first = min(first, runs.pop().start)
            runs.append(slice(first, place + 1))
    return [from_keyframe(packets[run]) for run in runs]


def packets_until(video: Video, until: float) -> list[VideoPacket]:
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


def nearest_pts(video: Video, packets: list[VideoPacket], time_T: Floats) -> list[int]:
    """The presentation time, in the stream's units, of the frame nearest to each moment."""
    shown = shown_pts(packets)
    if not shown:
        raise DataError(f"{video.path}: shows no frame before {time_T[-1]:.3f} s")
    time_P = np.array([video.seconds(pts) for pts in shown])
    try:
        return [shown[place] for place in shown_frames(time_P, time_T, video.tolerance)]
    except DataError as error:
        raise DataError(f"{video.path}: {error}") from error


def shown_pts(packets: list[VideoPacket]) -> list[int]:
    """Presentation times, in the order of decoding, of what the file does not say to discard."""
    return [packet.pts for packet in packets if packet.pts is not None and not packet.is_discard]
