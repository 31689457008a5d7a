"""Generating the files of one clip: the CSV file of the IMUs and the mp4 file of the camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from revalexo_clip.core.files import atomically
from revalexo_clip.data.synthetic.body import draw_legs
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion, move
from revalexo_clip.data.synthetic.script import CLIP_SECONDS, Segment, plan_clip
from revalexo_clip.data.synthetic.sensors import CHANNELS, IMU_RATE, record
from revalexo_clip.data.synthetic.style import draw_style, vary_style
from revalexo_clip.data.synthetic.world import View, World, draw_place

VIDEO_RATE = 30
VIDEO_WIDTH, VIDEO_HEIGHT = 160, 120
PLACES = 4
"""Number of places, shared by all subjects. If each clip had its own place, its appearance would identify the clip, and
an encoder would memorise clips instead of learning motion."""
_STYLE, _PLAN, _DAY, _MOTION, _SENSORS, _WORLD, _PLACE = range(7)


def _generator(purpose: int, *key: int) -> np.random.Generator:
    # Each purpose has its own random stream, so that a change of the images does not change the motion.
    return np.random.default_rng([purpose, *key])


def clip_plan(seed: int, subject: int, clip: int, seconds: float = CLIP_SECONDS) -> tuple[Segment, ...]:
    """Return the activities of a clip. Subjects start at different themes, and go through all of them."""
    return plan_clip(_generator(_PLAN, seed, subject, clip), clip + 5 * subject, seconds)


def clip_motion(seed: int, subject: int, clip: int, seconds: float = CLIP_SECONDS) -> Motion:
    """Simulate the motion of a clip, in the subject's style with day-to-day variation."""
    style = vary_style(_generator(_DAY, seed, subject, clip), draw_style(_generator(_STYLE, seed, subject)))
    return move(_generator(_MOTION, seed, subject, clip), style, clip_plan(seed, subject, clip, seconds))


def clip_imu(seed: int, subject: int, clip: int, motion: Motion, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate an IMU recording, [60 * seconds, 42]."""
    return record(_generator(_SENSORS, seed, subject, clip), motion, seconds)


def clip_frames(
    seed: int, subject: int, clip: int, motion: Motion, seconds: float = CLIP_SECONDS
) -> Iterator[NDArray[np.uint8]]:
    """Render the camera frames of a clip, [120, 160, 3] each, at `VIDEO_RATE`."""
    day = _generator(_WORLD, seed, subject, clip)
    place = int(day.integers(PLACES))
    surroundings = draw_place(_generator(_PLACE, seed, place), indoors=place % 2 == 0)
    world = World(surroundings, motion.course.terrain, exposure=day.uniform(0.92, 1.08))
    view = View(world)
    start = int(np.searchsorted(motion.times, -1e-9))
    for frame in range(round(seconds * VIDEO_RATE)):
        index = start + frame * (MOTION_RATE // VIDEO_RATE)
        picture = view.render(motion.camera.position[index], motion.camera.rotation[index])
        draw_legs(picture, motion, index, world)
        yield np.clip(picture, 0.0, 255.0).astype(np.uint8)


def write_clip(seed: int, subject: int, clip: int, video: Path, imu: Path) -> None:
    """Write both files of a clip. A file that exists is complete, and is kept."""
    motion = clip_motion(seed, subject, clip)
    if not imu.exists():
        with atomically(imu) as path:
            _write_csv(path, clip_imu(seed, subject, clip, motion))
    if not video.exists():
        with atomically(video) as path:
            _write_mp4(path, clip_frames(seed, subject, clip, motion))


def write_recording(
    seed: int, subject: int, recording: int, files: Sequence[tuple[Path, Path]], overlap: float
) -> None:
    """Simulate one recording and write it as clips of `CLIP_SECONDS` that share `overlap` [s] with the one before.

    `files` are the video and the IMU file of each clip, in order of time. Files that are there already stay. Clips
    share IMU rows to the last digit, and show the same frames, each compressed in its own file.
    """
    if all(file.exists() for pair in files for file in pair):
        return
    step = CLIP_SECONDS - overlap
    seconds = recording_seconds(len(files), overlap)
    motion = clip_motion(seed, subject, recording, seconds)
    imu_LC = clip_imu(seed, subject, recording, motion, seconds)
    frames = list(clip_frames(seed, subject, recording, motion, seconds))
    for number, (video, imu) in enumerate(files):
        row, frame = round(number * step * IMU_RATE), round(number * step * VIDEO_RATE)
        if not imu.exists():
            with atomically(imu) as path:
                _write_csv(path, imu_LC[row : row + round(CLIP_SECONDS * IMU_RATE)])
        if not video.exists():
            with atomically(video) as path:
                _write_mp4(path, iter(frames[frame : frame + round(CLIP_SECONDS * VIDEO_RATE)]))


def recording_seconds(clips: int, overlap: float) -> float:
    """Length of a recording that is cut into so many clips [s]."""
    return clips * (CLIP_SECONDS - overlap) + overlap


def _write_csv(path: Path, imu_LC: Float) -> None:
    row = ",".join(["%.4f"] * len(CHANNELS)) + "\n"
    text = (row * len(imu_LC)) % tuple(imu_LC.ravel().tolist())
    path.write_text(",".join(CHANNELS) + "\n" + text, encoding="utf-8", newline="\n")


def _write_mp4(path: Path, frames: Iterator[NDArray[np.uint8]]) -> None:
    # One thread, so that the bytes do not depend on the number of cores; no filters, for fast decoding.
    options = {"preset": "ultrafast", "crf": "25", "tune": "fastdecode", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as container:
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
