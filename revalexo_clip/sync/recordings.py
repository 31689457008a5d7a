"""The recordings of a dataset in RevalExo's layout: their clips, gyroscopes, and the rotation of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import av
import numpy as np

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import AXES, whole_triads
from revalexo_clip.data.imu import header_of
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.motion import Motion, measure_video
from revalexo_clip.data.packets import Video, every_packet, opened_video, shown_pts
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.clocked import Clock, offsets_of
from revalexo_clip.data.revalexo.index import read_subjects
from revalexo_clip.data.revalexo.motion.build import find_motion, make_motion
from revalexo_clip.data.revalexo.survey import Survey, sensors_of_file, stamp_of
from revalexo_clip.data.sensor_names import on_the_head
from revalexo_clip.data.video import grey_frames, video_span
from revalexo_clip.motion import MotionTrack
from revalexo_clip.sync.rotation import Rotations
from revalexo_clip.sync.series import Floats, Gyroscope, PictureRotation, concatenated, picture_rotation

_FEW = 8
"""So many videos are measured at once; of more, the motion is kept in a file, as for training."""
_SETTINGS = Motion()


@dataclass(frozen=True)
class Clip:
    """A clip with a video, and where it lies in its recording."""

    name: str
    video: Path
    imu: Path
    offset: float
    """Start in the recording [s]."""
    duration: float
    """End of its annotations [s]; infinite without any."""

    @property
    def middle(self) -> float:
        """The middle of the clip [s in the recording]. Raises `DataError` if it is that of the video, which is bad."""
        return self.offset + (video_span(self.video)[1] if np.isinf(self.duration) else self.duration) / 2


@dataclass(frozen=True)
class Recording:
    """Clips that are pieces of one recording, by their offsets."""

    clips: tuple[Clip, ...]

    @property
    def name(self) -> str:
        """The name of its first clip."""
        return self.clips[0].name

    @property
    def middles(self) -> dict[str, float]:
        """The middle of each clip [s in the recording]."""
        return {clip.name: clip.middle for clip in self.clips}


def read_recordings(root: Path, clock: Clock, *, search: bool = True) -> tuple[list[Recording], Clock]:
    """Return the recordings with video of a dataset, and the clock with the offsets that its JSON files declare.

    Clips are pieces of one recording if the JSON files say so, or, with `search`, if they share rows; the search reads
    every IMU file once. Raises `DataError`.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such dataset folder")
    index = read_subjects(root, layout.subject_files(root))
    with_video = np.flatnonzero(index.video_N != "")
    if not len(with_video):
        raise DataError(f"{root}: no clip has a video")
    index = index.take(with_video, 0)
    clock = replace(clock, offsets=offsets_of(index, 0.0))
    recording_N, offset_N = index.times.recording_N, index.times.offset_N
    if search:
        recording_N, offset_N = _placed(index, clock)
    clips = [
        (int(recording_N[clip]), Clip(name, index.video(clip), index.imu(clip), float(offset_N[clip]), float(last)))
        for clip, (name, last) in enumerate(zip(index.names, index.duration_N, strict=True))
    ]
    clips.sort(key=lambda found: (found[0], found[1].offset))
    groups = [Recording(tuple(clip for _, clip in own)) for _, own in groupby(clips, key=lambda found: found[0])]
    return sorted(groups, key=lambda recording: recording.name), clock


def _placed(index: ClipIndex, clock: Clock) -> tuple[np.ndarray, Floats]:
    """Return the recording and the offset of each clip, declared or found by shared rows."""
    times, open_M = index.times, np.flatnonzero(~index.times.declared_N)
    recording_N, offset_N = times.recording_N.copy(), times.offset_N.copy()
    if len(open_M) < 2:
        return recording_N, offset_N
    asked, survey = index.take(open_M, 0), Survey(index.root)
    found = survey.placement(
        asked,
        clock.rate,
        [stamp_of(asked.imu(clip)) for clip in range(len(asked))],
        lambda clip: sensors_of_file(asked.imu(clip)),
        times=lambda clip: clock.row_times(asked.imu(clip)),
        settings=" ".join(dict.fromkeys(clock.settings(asked.imu(clip)) for clip in range(len(asked)))),
    )
    survey.save()
    recording_N[open_M] = found.recording_N + int(recording_N.max()) + 1
    offset_N[open_M] = found.offset_N
    return recording_N, offset_N


def frame_times(path: Path) -> Floats:
    """Return the ascending times of all frames of a video [s in the clip]. Raises `DataError` if it is not a video."""
    try:
        with opened_video(path) as container:
            video = Video(path, container)
            found = np.array([video.seconds(pts) for pts in sorted(shown_pts(every_packet(video)))])
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be decoded as video: {error.strerror}") from error
    if not len(found):
        raise DataError(f"{path}: has no frames")
    return found


def frame_time(path: Path) -> float:
    """Return the usual time between two frames of a video [s]. Raises `DataError` if it is not a video."""
    step_P = np.diff(frame_times(path))
    return float(np.median(step_P)) if len(step_P) else 1 / 30


def choose_sensor(recordings: Sequence[Recording], wanted: str | None) -> str:
    """Return the sensor with a gyroscope that turns with the camera. Raises `ConfigError` if it is not clear which."""
    columns = header_of(recordings[0].clips[0].imu)
    known = list(whole_triads(columns, "gyro"))
    if wanted is not None:
        if wanted not in known:
            given = ", ".join(known) or "none"
            raise ConfigError(
                f"--sensor {wanted}: no columns gyro_{wanted}_x, _y and _z in {recordings[0].clips[0].imu}"
                f"{nearest(wanted, known)}; sensors with a gyroscope: {given}"
            )
        return wanted
    likely = [name for name in known if on_the_head(name)]
    if len(likely) == 1:
        return likely[0]
    if not known:
        raise ConfigError(
            f"{recordings[0].clips[0].imu}: has no gyroscope (columns gyro_<sensor>_x, _y, _z); compare with --ckpt or "
            "mark events with --event"
        )
    raise ConfigError(
        f"which sensor is on the camera or the head? Name it with --sensor: {', '.join(likely or known)}. If none is, "
        "compare with a trained pair of encoders (--ckpt), or mark events (--event)"
    )


def gyroscope_of(recording: Recording, sensor: str, clock: Clock) -> Gyroscope:
    """Read the gyroscope of a sensor [rad / s], by times in the recording. Raises `DataError`."""
    channels = tuple(f"gyro_{sensor}_{axis}" for axis in AXES)
    pieces: list[tuple[Floats, Floats]] = []
    for clip in recording.clips:
        for piece in clock.pieces(clip.imu, channels):
            time_n, rate_n3 = piece.time_n + clip.offset, piece.samples_nC.astype(np.float64)
            if not pieces:
                pieces.append((time_n, rate_n3))
                continue
            before_n, before_n3 = pieces[-1]
            new_n = time_n > before_n[-1]
            if not new_n.any():
                continue
            time_n, rate_n3 = time_n[new_n], rate_n3[new_n]
            if time_n[0] - before_n[-1] <= clock.max_gap:
                pieces[-1] = np.concatenate([before_n, time_n]), np.concatenate([before_n3, rate_n3])
            else:
                pieces.append((time_n, rate_n3))
    try:
        return Gyroscope(pieces)
    except ValueError as error:
        raise DataError(f"{recording.clips[0].imu}: {error}") from error


def rotations_of(recording: Recording, track_of: Callable[[Path], MotionTrack]) -> Rotations:
    """Return the rotation of the picture of a recording, by times in it. Raises `DataError`."""
    rows = _SETTINGS.rows
    parts: tuple[list[PictureRotation], ...] = ([], [], [])
    for clip in recording.clips:
        track = track_of(clip.video)
        track = MotionTrack(track.edge_E + clip.offset, track.value_PYX3)
        _, frame_HW = next(grey_frames(clip.video, _SETTINGS.width))
        aspect = frame_HW.shape[0] / frame_HW.shape[1]
        for found, part in zip(parts, (slice(None), slice(0, 1), slice(rows - 1, rows)), strict=True):
            found.append(picture_rotation(track, aspect, part))
    whole, upper, lower = map(concatenated, parts)
    return Rotations(whole, upper, lower, (rows - 1) / rows)


def tracks_of(root: Path, recordings: Sequence[Recording], on_progress: OnProgress) -> Callable[[Path], MotionTrack]:
    """Return a function that gives the measured motion of a video, and raises `DataError` if there is none.

    Motion that was measured for training is used. If there is none, that of many videos is measured as for training,
    and kept; that of few is measured here.
    """
    videos = [clip.video for recording in recordings for clip in recording.clips]
    relative = {video: video.relative_to(root).as_posix() for video in videos}
    tables = find_motion(root, _SETTINGS, set(relative.values()))
    if tables is None and len(videos) > _FEW:
        make_motion(root, _SETTINGS, on_progress)
        tables = find_motion(root, _SETTINGS, set(relative.values()))
    if tables is not None:
        kept = tables

        def stored(video: Path) -> MotionTrack:
            if problem := kept.problem(relative[video]):
                raise DataError(problem)
            edge_E = kept.edges(relative[video])
            return kept.track(relative[video], edge_E, 0, len(edge_E) - 1)

        return stored
    measured: dict[Path, MotionTrack | DataError] = {}
    for done, video in enumerate(videos):
        on_progress(done, len(videos))
        try:
            measured[video] = measure_video(video, _SETTINGS)
        except DataError as error:
            measured[video] = error
    on_progress(len(videos), len(videos))
    return lambda video: _given(measured, video)


def _given(measured: Mapping[Path, MotionTrack | DataError], video: Path) -> MotionTrack:
    found = measured[video]
    if isinstance(found, DataError):
        raise found
    return found
