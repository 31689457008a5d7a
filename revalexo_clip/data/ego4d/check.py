"""Checking takes with IMU tables and narrations, for `rxclip check-data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.clocks import MAX_GAP
from revalexo_clip.data.ego4d.aligned import AlignedLayout, is_aligned
from revalexo_clip.data.ego4d.layout import CHANNELS, Ego4DLayout, is_ego4d
from revalexo_clip.data.ego4d.store import Kept, Store
from revalexo_clip.data.ego4d.take import Layout, Take
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.check.signals import check_signals
from revalexo_clip.data.video import survey

RATE = 200.0
"""Rate at which signals are checked [Hz]."""


def is_takes(root: Path) -> bool:
    """Return whether a folder has Ego4D's layout, or folders of takes as `AlignedVideo` reads them."""
    return is_ego4d(root) or is_aligned(root)


def check_takes(root: Path, on_progress: OnProgress | None = None) -> Findings:
    """Read every IMU table and decode every video once, and return all problems.

    Faults that are left out of windows are warnings: training does not stop. Takes without IMU are no problem.
    """
    report = on_progress or no_progress
    try:
        layout: Layout = Ego4DLayout(root) if is_ego4d(root) else AlignedLayout(root, CHANNELS)
    except DataError as error:
        file, _, message = str(error).partition(": ")
        return Findings((Problem("recording_table", Path(file), message),), 0, 0.0, (), ())
    problems: list[Problem] = []
    seconds = 0.0
    for number, take in enumerate(layout.takes):
        report(number, len(layout.takes))
        clip = f"{take.subject}/{take.name}"
        try:
            kept = Store(layout, RATE, MAX_GAP).read(take)
        except DataError as error:
            problems.append(Problem("unusable_take", take.imu, str(error).removeprefix(f"{take.imu}: "), clip))
        else:
            seconds += sum(kept.count_P) / RATE
            problems += [Problem(kind, take.imu, message, clip) for kind, message in _table_findings(kept)]
        problems += [Problem(kind, path, message, clip) for kind, path, message in _video_findings(take)]
    report(len(layout.takes), len(layout.takes))
    subjects = tuple(sorted({take.subject for take in layout.takes}))
    filmed = {take.subject for take in layout.takes if take.footage}
    without = tuple(subject for subject in subjects if subject not in filmed)
    problems.sort(key=lambda problem: problem.order)
    return Findings(tuple(problems), len(layout.takes), seconds, subjects, without, counted="take")


def _table_findings(kept: Kept) -> Iterator[tuple[str, str]]:
    """Yield what is left out of a table, and what is wrong with its signals."""
    yield from kept.faults.findings()
    yield from check_signals(kept.array(), list(CHANNELS), RATE)


def _video_findings(take: Take) -> Iterator[tuple[str, Path, str]]:
    """Yield kind, file and description of what is wrong with the videos of a take."""
    if not take.footage:
        yield "unusable_take", take.imu, "there is no video of this take"
    for footage in take.footage:
        if not footage.video.is_file():
            yield "unusable_take", footage.video, "the video is missing"
            continue
        try:
            damage = survey(footage.video).damage
        except DataError as error:
            yield "not_a_video", footage.video, str(error).removeprefix(f"{footage.video}: ")
        else:
            if damage is not None:
                yield "damaged_video", footage.video, damage
