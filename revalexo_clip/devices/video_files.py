"""Video files of a recording: times of their frames, and clips cut from them without decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream as AvVideo

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.packets import VideoPacket, best_stream, opened_video
from revalexo_clip.devices.base import Floats, VideoStream

CODECS = frozenset({"h264", "hevc", "libdav1d", "av1", "vp9", "mpeg4", "mjpeg"})
"""Codecs that are put into MP4 files as they are, by their names in PyAV."""
_FIRST_PACKETS = 64
"""Among so many packets is the first frame that is shown."""


class Opened(NamedTuple):
    """An open file, and its video."""

    path: Path
    container: InputContainer
    stream: AvVideo
    unit: Fraction
    """Unit of presentation times [s]."""


def open_video(path: Path) -> Opened:
    """Open a video file to read its packets. Raises `DataError` if it is none, or cannot be put into an MP4 file."""
    try:
        container = opened_video(path)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be read as a video: {error.strerror}; is the file complete?") from error
    stream = best_stream(container)
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    if stream.time_base is None or codec not in CODECS:
        container.close()
        raise DataError(f"{path}: its codec, {codec}, cannot be put into an MP4 file; convert the video to H.264 first")
    return Opened(path, container, stream, stream.time_base)


def frame_times(opened: Opened, packets: Iterator[VideoPacket] | Iterator[Packet[Stream]]) -> Floats:
    """Return the ascending times [s] of all frames from the first one. Raises `DataError` if frames are missing."""
    path, found, stored = opened.path, set[int](), 0
    try:
        for packet in packets:
            stored += packet.size > 0
            if packet.size and not packet.is_discard:
                if packet.pts is None:
                    raise DataError(f"{path}: its frames have no presentation times")
                found.add(packet.pts)
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be read to its end: {error.strerror}; is the file complete?") from error
    if not found:
        raise DataError(f"{path}: has no video frames")
    if stored < opened.stream.frames:
        raise DataError(
            f"{path}: has {stored} of the {opened.stream.frames} frames that its header lists; it is truncated"
        )
    pts_T = np.array(sorted(found), dtype=np.int64)
    time_T: Floats = (pts_T - pts_T[0]) * float(opened.unit)
    return time_T


def read_video(files: Sequence[Path]) -> VideoStream:
    """Read the frame times of files that follow one another. Raises `DataError`, naming the file."""
    times, sizes = [], []
    for path in files:
        opened = open_video(path)
        with opened.container:
            times.append(frame_times(opened, opened.container.demux(opened.stream)))
            sizes.append((opened.stream.width, opened.stream.height))
    return joined(files, times, sizes)


def joined(files: Sequence[Path], times: Sequence[Floats], sizes: Sequence[tuple[int, int]]) -> VideoStream:
    """Return the video of files that follow one another.

    Each begins a frame interval after the last frame of the one before. Raises `DataError` if they have pictures of
    several sizes.
    """
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{width} x {height} px" for width, height in sorted(set(sizes)))
        raise DataError(f"{files[0]}: its chapters have pictures of different sizes ({shown})")
    starts = accumulate((length_of(time_T) for time_T in times[:-1]), initial=0.0)
    time_T = np.concatenate([time_T + start for time_T, start in zip(times, starts, strict=True)])
    return VideoStream(tuple(files), time_T, *sizes[0], counts=tuple(map(len, times)))


def length_of(time_T: Floats) -> float:
    """Return the time from the first frame of a file to an interval after its last [s]."""
    return float(time_T[-1]) + (float(np.median(np.diff(time_T))) if len(time_T) > 1 else 0.0)


def cut_video(video: VideoStream, first: int, last: int, target: Path) -> None:
    """Write the frames `first` to `last` (exclusive) of a video to an MP4 file, if possible without decoding them.

    The first of them is at time zero, and all keep their distances. Sound, telemetry and places are left out. If the
    first frame is no keyframe, the frames since the keyframe before are stored too, before time zero, where an edit
    list hides them; frames after `last` may follow if others refer to them. Raises `DataError`, naming the file.
    """
    if video.write is not None:
        video.write(first, last, target)
        return
    starts = list(accumulate(video.counts, initial=0))
    with av.open(str(target.absolute()), "w", format="mp4") as output:
        stream: AvVideo | None = None
        for path, begin, end in zip(video.files, starts, starts[1:], strict=False):
            if end <= first or begin >= last:
                continue
            opened = open_video(path)
            with opened.container:
                if stream is None:
                    stream = output.add_stream_from_template(opened.stream)
                    stream.time_base = opened.unit
                    head = opened.stream.codec_context.extradata
                elif head != opened.stream.codec_context.extradata:
                    raise DataError(f"{path}: is encoded in another way than the chapter before and cannot follow it")
                own_T = video.time_T[begin:end]
                wanted = slice(max(first - begin, 0), min(last, end) - begin)
                shift = float(own_T[0] - video.time_T[first])
                try:
                    for packet in _cut(opened, own_T - own_T[0], wanted, shift):
                        packet.stream = stream
                        output.mux(packet)
                except av.error.FFmpegError as error:
                    raise DataError(f"{path}: cannot be cut: {error.strerror}") from error


def _cut(opened: Opened, time_T: Floats, wanted: slice, shift: float) -> Iterator[VideoPacket]:
    """Yield the packets of some frames of a file, and of those that they refer to, in decoding order.

    `time_T` are the times of all frames [s] from the first one; `shift` [s] is added to them.
    """
    origin = _first_shown(opened)
    pts_T = origin + np.round(time_T / float(opened.unit)).astype(np.int64)
    missing = set(pts_T[wanted].tolist())
    start = min(missing)
    moved = round(shift / float(opened.unit)) - origin
    keyframe = _seek(opened, start) if wanted.start else None
    for packet in opened.container.demux(opened.stream):
        if not packet.size or packet.pts is None:
            continue
        if keyframe is not None and packet.pts < keyframe:  # shown before the keyframe, and refers to frames before it
            continue
        missing.discard(packet.pts)
        packet.pts += moved
        packet.dts = None if packet.dts is None else packet.dts + moved
        yield packet
        if not missing:
            return
    raise DataError(f"{opened.path}: has no frame at {(min(missing) - origin) * opened.unit:.3f} s any more")


def _first_shown(opened: Opened) -> int:
    """Return the presentation time of the first frame that is shown, and rewind."""
    found = []
    for number, packet in enumerate(opened.container.demux(opened.stream)):
        if packet.size and packet.pts is not None and not packet.is_discard:
            found.append(packet.pts)
        if number > _FIRST_PACKETS:
            break
    _rewind(opened)
    return min(found)


def _seek(opened: Opened, start: int) -> int:
    """Go to the last keyframe that is found at or before a time; return its presentation time."""
    target = start
    for _ in range(3):
        opened.container.seek(target, stream=opened.stream)
        first = next((packet for packet in opened.container.demux(opened.stream) if packet.size), None)
        if first is None or first.pts is None:
            break
        opened.container.seek(target, stream=opened.stream)
        if first.pts <= start and first.is_keyframe:
            return first.pts
        # Seeking uses decoding order, so that a keyframe may be found that is shown after the time.
        target = min(target, first.pts if first.dts is None else first.dts) - 1
    _rewind(opened)
    return min(start, _first_shown(opened))


def _rewind(opened: Opened) -> None:
    opened.container.seek(-(2**40), stream=opened.stream)
