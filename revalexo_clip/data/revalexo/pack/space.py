"""Whether what is to be packed fits on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.packets import best_stream, opened_video
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.entries import VIDEO, Entries, Pixels
from revalexo_clip.data.video import every_frame

SAMPLED = 3
"""Videos and frames of each that are encoded to estimate the size of a pack."""
MARGIN = 1.1
"""The part of a shard that lies on the disk twice, while the shard is written, is not counted here."""
_MICRO = 1_000_000


class NoSpaceError(WriteError):
    """What is to be packed does not fit on the disk."""


def check_space(
    path: Path, videos: Sequence[tuple[Path, int]], imu_bytes: int, pixels: Pixels, entries: Entries
) -> None:
    """Raise `NoSpaceError` if a pack would not fit on its disk.

    `videos` are those to be packed, with their sizes [bytes]; `imu_bytes` is the size of the IMU files, whose samples
    are smaller. `entries` are those that the pack has, from which the sizes of frames are estimated if it has any.
    """
    video_bytes = sum(size for _, size in videos)
    needed = MARGIN * (video_bytes * _growth(videos, pixels, entries) + imu_bytes)
    folder = next(folder for folder in (path, *path.parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpaceError(
            f"{path}: cannot be written: packing {len(videos)} videos of {video_bytes / 1e9:.2f} GB takes about "
            f"{needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free there; free some space, or choose another place "
            "(--out, data.pack) or a smaller --short-side or --quality"
        )


def _growth(videos: Sequence[tuple[Path, int]], pixels: Pixels, entries: Entries) -> float:
    """Return how many bytes the frames of a video take for each byte of the video."""
    same_E = (entries.ints("kind") == VIDEO) & (entries.ints("frames") > 0)
    same_E &= (entries.ints("short_side") == pixels.short_side) & (entries.ints("quality") == pixels.quality)
    if same_E.any():
        # Frames are nearly all of a shard; those of all shards with such frames are compared with their videos.
        used_S = np.unique(entries.shard_E[same_E])
        source = int(
            entries.ints("source_size")[(entries.ints("kind") == VIDEO) & np.isin(entries.shard_E, used_S)].sum()
        )
        return float(entries.shards.size_S[used_S].sum()) / max(source, 1)
    step = max(len(videos) // SAMPLED, 1)
    found = [_sampled(path, size, pixels) for path, size in videos[::step][:SAMPLED]]
    return float(np.mean([one for one in found if one is not None] or [0.0]))


def _sampled(path: Path, size: int, pixels: Pixels) -> float | None:
    """Return the estimated growth of one video; None if it cannot be read."""
    try:
        lengths = [
            len(jpeg.encode(shown.rgb_HWC, pixels.quality))
            for shown in islice(every_frame(path, pixels.short_side), SAMPLED)
        ]
        with opened_video(path) as container:
            stream = best_stream(container)
            duration, rate = (container.duration or 0) / _MICRO, float(stream.average_rate or 0)
            frames = stream.frames or round(duration * rate)
    except (DataError, av.error.FFmpegError):
        return None
    return float(np.mean(lengths)) * frames / max(size, 1) if lengths else None
