"""The plan of an import as lines of text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from revalexo_clip.core.text import counted
from revalexo_clip.data.revalexo.layout import IMU_RATE
from revalexo_clip.data.sensor_names import on_the_head
from revalexo_clip.devices.base import DeviceRecording, ImuStream
from revalexo_clip.devices.dataset import TIME
from revalexo_clip.devices.plan import ClipPlan, ImportPlan
from revalexo_clip.devices.spans import sensors_of

_USUAL_CLIP = 10.0
"""Shorter clips are only checked with `check-data --min-duration` [s]."""
_SHOWN = 3
"""Clips that are listed before and after the dots."""


def plan_lines(plan: ImportPlan) -> list[str]:
    """Return what a recording has, what is written, and what to look at, as lines to print."""
    return [*_streams(plan.recording), *_written(plan), *(f"  note       {note}" for note in _notes(plan))]


def next_steps(plan: ImportPlan) -> list[str]:
    """Return the commands that check what an import has written, ready to be copied."""
    sensors = sensors_of(plan.recording)
    root, first = str(plan.dataset.root), f"{plan.dataset.subject}/{plan.clips[0].name}"
    rate = [] if plan.rate == IMU_RATE else ["--imu-rate", f"{plan.rate:g}"]
    channels = dict.fromkeys(f"{name.partition('_')[0]}_*" for one in sensors for name in one.channels)
    shortest = min(clip.end - clip.start for clip in plan.clips)
    short = ["--min-duration", f"{math.floor(shortest):g}"] if shortest < _USUAL_CLIP else []
    steps = [["check-data", root, "--channels", ",".join(channels), "--time", TIME, *rate, *short]]
    if plan.recording.video is not None:
        if any(on_the_head(name) for one in sensors for name in one.channels if name.startswith("gyro_")):
            steps.append(["check-sync", root, *rate, "--out", "sync.html"])
        steps.append(["view", root, first, *rate])
    return [shlex.join(["rxclip", *words]) for words in steps]


def _streams(recording: DeviceRecording) -> Iterator[str]:
    video = recording.video
    files = video.files if video else (recording.source,)
    named = files[0].name if len(files) == 1 else f"{files[0].name} to {files[-1].name}, {len(files)} chapters"
    if recording.source.is_file() and recording.source not in files:
        named = f"{recording.source.name}, video {named}"
    yield f"{recording.device}, {named}"
    if video is not None:
        yield (
            f"  video      {video.width} x {video.height} px, {video.rate:.2f} fps, "
            f"{counted(len(video.time_T), 'frame')}, 0.000 to {video.end:.3f} s"
        )
    for stream in recording.imu:
        yield f"  IMU        {stream.segment}: {_signals(stream)}, {stream.rate:.2f} Hz, {_extent(stream)}"
        if stream.axes:
            x, y, z = stream.axes.split(", ")
            yield f"             axes: x {x}, y {y}, z {z}"
    labels = recording.labels.labels
    if labels:
        names = sorted({one.label for one in labels})
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        kinds = counted(len(names), "activity", "activities")
        yield f"  labels     {counted(len(labels), 'segment')} of {kinds}: {shown}"


def _signals(stream: ImuStream) -> str:
    """Return kinds and units of the channels, `acc [m/s^2], gyro [rad/s]`."""
    kinds = {channel.partition("_")[0]: unit for channel, unit in zip(stream.channels, stream.units, strict=True)}
    return ", ".join(f"{kind} [{unit}]" for kind, unit in kinds.items())


def _extent(stream: ImuStream) -> str:
    return f"{counted(len(stream.time_N), 'sample')}, {stream.time_N[0]:.3f} to {stream.time_N[-1]:.3f} s"


def _written(plan: ImportPlan) -> Iterator[str]:
    spans = ", ".join(f"{begin:.3f} to {end:.3f} s" for begin, end in plan.spans)
    yield f"  in common  {spans}"
    subject = plan.dataset.subject
    new = "" if plan.dataset.has_mapping or plan.dataset.path.exists() else " (new dataset)"
    yield (
        f"  writes     {counted(len(plan.clips), 'clip')} of recording {plan.name} into {plan.dataset.root}{new}, "
        f"IMU at {plan.rate:g} Hz"
    )
    clips = plan.clips
    shown = clips if len(clips) <= 2 * _SHOWN + 1 else (*clips[:_SHOWN], None, *clips[-_SHOWN:])
    for clip in shown:
        yield f"             {_clip(subject, clip)}" if clip else f"             ... {len(clips) - 2 * _SHOWN} more"


def _clip(subject: str, clip: ClipPlan) -> str:
    frames = f", {counted(clip.frames[1] - clip.frames[0], 'frame')}" if clip.frames else ", no video"
    return f"{subject}/{clip.name}: {clip.start:.3f} to {clip.end:.3f} s, {counted(clip.rows, 'IMU row')}{frames}"


def _notes(plan: ImportPlan) -> Iterator[str]:
    recording = plan.recording
    yield from recording.notes
    yield from recording.video.notes if recording.video else ()
    for stream in recording.imu:
        yield from stream.notes
    yield from plan.notes
