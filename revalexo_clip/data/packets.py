"""Packets of a video, read without decoding: presentation times of all frames, and what to decode for some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.windows import Floats, burst_frames

VideoPacket: TypeAlias = "Packet[VideoStream]"

TOLERANCE = 0.1
"""Largest allowed difference between a requested time and a presentation time [s]. If 1.5 mean frame intervals are
longer, they are used instead."""

DELAY = 4
"""Frames by which a codec that reorders them may delay the first one."""

FOREVER = 1e9
"""Later than the end of any video [s]."""

MAX_PIXELS = 2**26
"""Size of the largest frame that is decoded [px], twice that of 8K video. A corrupt header can claim any size."""

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name of the MP4 and MOV formats."""

LISTING = frozenset({".mp4", ".m4v", ".mov"})
"""Suffixes of MP4 and MOV files."""

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "webm_dash_manifest"})
"""FFmpeg's names of formats that only list other files."""


def opened_video(path: Path) -> InputContainer:
    """Open a video file without decoding anything. Other files that it refers to are never read."""
    container = None
    if path.suffix.lower() in LISTING:
        container = _opened(path, codec_whitelist="none")  # skip FFmpeg's probing of frames, which is slow
        if not _tells_all(container):
            container.close()
            container = None
    container = container or _opened(path)
    if container.format.name in PLAYLISTS:
        raise DataError(f"{path}: is not a video but a list of other files ({container.format.name})")
    if not container.streams.video:
        raise DataError(f"{path}: has no video stream")
    return container


def _opened(path: Path, **options: str) -> InputContainer:
    options["protocol_whitelist"] = "file"
    # A relative path such as a:b/0000.mp4 would be read as one of a protocol.
    return av.open(str(path.absolute()), options=options, metadata_errors="replace")


def _tells_all(container: InputContainer) -> bool:
    """Return whether the container lists all frames, as MP4 and MOV files do unless they are fragmented."""
    return container.format.name == MP4 and bool(container.streams.video) and best_stream(container).frames > 0


def best_stream(container: InputContainer) -> VideoStream:
    """Return the video stream that players show: not an attached picture, such as cover art."""
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) else container.streams.video[0]


class Video:
    """An open video; converts between its time units and seconds in the clip.

    The clip starts with the first frame, unless the container says that the video starts later than the file does.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.path = path
        self.container = container
        self.stream = best_stream(container)
        codec: VideoCodecContext | None = self.stream.codec_context
        if codec is None or self.stream.time_base is None:
            raise DataError(f"{path}: cannot be decoded as video: its codec is unknown")
        self.pixel_aspect = float(self.stream.sample_aspect_ratio or 1) or 1.0
        """Width of a pixel, divided by its height."""
        self.turns: dict[int, int] = {}
        """What makes frames of a rotation [degrees] upright, as far as it is known; see `upright_centre`."""
        codec.thread_count = 1  # loader workers already run in parallel; decoder threads only add CPU time
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        self.unit = float(self.stream.time_base)
        self.origin = _origin(container, self.stream, self.unit)
        rate = self.stream.average_rate
        self.tolerance = max(TOLERANCE, 1.5 / float(rate)) if rate else TOLERANCE

    def seconds(self, pts: int) -> float:
        """Convert a presentation time in the stream's units to [s] in the clip."""
        return (pts - self.origin) * self.unit

    def pts(self, seconds: float) -> int:
        """Convert [s] in the clip to a presentation time in the stream's units."""
        return self.origin + int(seconds / self.unit)


def _origin(container: InputContainer, stream: VideoStream, unit: float) -> int:
    """Return the presentation time at which the clip starts, in the stream's units."""
    first = stream.start_time or 0
    # MP4 and Matroska count from the start of the file; other formats, such as MPEG-TS, from any number.
    counts_from_zero = container.format.name == MP4 or container.format.name.startswith("matroska")
    start = 0.0 if counts_from_zero else (container.start_time or 0) / av.time_base
    late = first * unit - start
    # Codecs that reorder frames delay the first one by a few, which is not lateness.
    allowed = max(TOLERANCE, DELAY / float(stream.average_rate)) if stream.average_rate else TOLERANCE
    return first if late <= allowed else first - round(late / unit)


def packets_from_keyframe(video: Video, time_T: Floats) -> list[VideoPacket]:
    """Read the packets from a keyframe at or before the first time to beyond the last time."""
    target = video.pts(time_T[0])
    for _ in range(2):
        video.container.seek(target, stream=video.stream)
        packets = packets_until(video, time_T[-1])
        first = packets[0]
        if first.pts is not None and first.is_keyframe and video.seconds(first.pts) <= time_T[0]:
            return from_keyframe(packets)
        # Seeking uses decoding order, so the presentation time of the keyframe found may be after the first time.
        target = min(target, target if first.dts is None else first.dts) - 1
    raise DataError(f"{video.path}: seeking does not find a keyframe before {time_T[0]:.3f} s")


def from_keyframe(packets: list[VideoPacket]) -> list[VideoPacket]:
    """Drop packets that are shown before the keyframe but stored after it: they need frames that were not read."""
    first = packets[0].pts
    return [packet for packet in packets if packet.pts is not None and first is not None and packet.pts >= first]


def runs_to_decode(packets: list[VideoPacket], wanted: set[int]) -> list[list[VideoPacket]]:
    """Return the runs of packets to decode, each from a keyframe to a wanted frame.

    The first packet must be a keyframe with the earliest presentation time. Packets between runs are not decoded.
    """
    keyframes: list[tuple[int, int]] = []
    runs: list[slice] = []
    for place, packet in enumerate(packets):
        assert packet.pts is not None
        if packet.is_keyframe:
            keyframes.append((place, packet.pts))
        if packet.pts in wanted:
            # Frames that are shown before a keyframe but stored after it may depend on frames stored before it.
            first = max(key for key, shown in keyframes if shown <= packet.pts)
            if runs and first <= runs[-1].stop:
                first = min(first, runs.pop().start)
            runs.append(slice(first, place + 1))
    return [from_keyframe(packets[run]) for run in runs]


def packets_until(video: Video, until: float) -> list[VideoPacket]:
    """Read the packets from the container's current position to beyond `until` [s]."""
    return list(_read(video, until))


def every_packet(video: Video) -> Iterator[VideoPacket]:
    """Yield the packets of a newly opened video that can be decoded, one at a time: a whole file may not fit."""
    first: int | None = None
    for packet in _read(video, FOREVER):
        assert packet.pts is not None
        first = packet.pts if first is None else first
        if packet.pts >= first:  # see `from_keyframe`
            yield packet


def _read(video: Video, until: float) -> Iterator[VideoPacket]:
    beyond, found = video.pts(until + video.tolerance), False
    for packet in video.container.demux(video.stream):
        if packet.size == 0:  # the end of the stream
            break
        if packet.pts is None:
            raise DataError(f"{video.path}: its frames have no presentation times")
        found = True
        yield packet
        if packet.dts is not None and packet.dts > beyond:
            break
    if not found:
        raise DataError(f"{video.path}: has no video frames")


def presentation_times(path: Path) -> tuple[Floats, float]:
    """Return the ascending times of all frames that can be shown [s in the clip], and the tolerance of `Video`.

    Only packets are read. Raises `DataError` if the file is not a video.
    """
    try:
        with opened_video(path) as container:
            video = Video(path, container)
            return np.array(sorted(map(video.seconds, shown_pts(every_packet(video))))), video.tolerance
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error


def nearest_pts(video: Video, packets: list[VideoPacket], time_T: Floats, burst: int) -> list[int]:
    """Return the presentation times, in the stream's units, of `burst` frames near each time, see `burst_frames`."""
    shown = shown_pts(packets)
    if not shown:
        raise DataError(f"{video.path}: has no frame before {time_T[-1]:.3f} s")
    time_P = np.array([video.seconds(pts) for pts in shown])
    try:
        return [shown[place] for place in burst_frames(time_P, time_T, burst, video.tolerance)]
    except DataError as error:
        raise DataError(f"{video.path}: {error}") from error


def shown_pts(packets: Iterable[VideoPacket]) -> list[int]:
    """Return the presentation times, in decoding order, of the packets that are not marked to be discarded."""
    return [packet.pts for packet in packets if packet.pts is not None and not packet.is_discard]
