"""Simulated people who wear many IMUs: recordings as arrays, and as files for `ImuRecordings`.

Shapes: N = samples of all recordings, C = channels, R = recordings.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import atomically
from revalexo_clip.core.platform import cpu_count
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.synthetic.bodies.activities import ACTIVITIES
from revalexo_clip.data.synthetic.bodies.sensors import PLACES
from revalexo_clip.data.synthetic.bodies.session import Session, simulate_session

SESSION_MINUTES = 5.0
"""Longest session [minutes]. Sensors are put on anew for each, and the person's day differs."""


class Bodies(NamedTuple):
    """R labelled recordings, as the arrays that `ImuRecordings` reads from an .npz file.

    Recordings that follow one another in the same session are contiguous: `session` tells which.
    """

    data: NDArray[np.float32]
    """Samples [N, C]: m/s^2 (gravity included) and rad/s."""
    offsets: NDArray[np.int64]
    """[R + 1]: recording i is data[offsets[i]:offsets[i + 1]]."""
    label: NDArray[np.int64]
    """[R], indices into `activities`."""
    subject: NDArray[np.int64]
    """[R]."""
    activities: NDArray[np.str_]
    channels: NDArray[np.str_]
    fs: float
    session: NDArray[np.int64]
    """[R]: number of the session within the subject."""

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        with atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self._asdict())


def simulate_bodies(
    num_subjects: int,
    minutes: float,
    rate: float = 60.0,
    places: Sequence[str] = PLACES,
    seed: int = 0,
    *,
    activities: Sequence[str] = tuple(ACTIVITIES),
    processes: int = 1,
    on_progress: OnProgress = no_progress,
) -> Bodies:
    """Simulate `minutes` of each of `num_subjects` people who wear IMUs at `places`, sampled at `rate` [Hz].

    Each recording is one activity. With the same seed, more subjects begin with the same ones, and fewer places have
    the same signals. The motion does not depend on `rate`. `on_progress(done, total)` counts sessions. Raises
    `ConfigError` if a parameter is invalid.
    """
    _check(num_subjects, minutes, rate, seed, places=places, activities=activities)
    count = max(1, int(np.ceil(minutes / SESSION_MINUTES - 1e-9)))
    seconds = minutes * 60.0 / count
    keys = [(seed, subject, number) for subject in range(num_subjects) for number in range(count)]
    work = partial(simulate_session, seconds=seconds, rate=rate, places=tuple(places), activities=tuple(activities))
    if processes == 1 or len(keys) == 1:
        sessions = _collected(map(work, keys), len(keys), on_progress)
    else:
        # Use spawn, because a fork of a process that has started threads (torch, a progress bar) can hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(keys)), mp_context=context) as pool:
            sessions = _collected(pool.map(work, keys), len(keys), on_progress)
    return _joined(keys, sessions, rate, places)


def write_bodies(
    path: Path,
    num_subjects: int,
    minutes: float,
    rate: float = 60.0,
    places: Sequence[str] = PLACES,
    *,
    seed: int = 0,
    processes: int | None = None,
    on_progress: OnProgress = no_progress,
) -> Bodies:
    """Simulate people, see `simulate_bodies`, and write their recordings; returns them.

    They become one .npz file, or a folder of CSV files if `path` has no suffix, see `write_csv_files`. `processes`
    defaults to the number of cores. Raises `ConfigError` if the path exists or has another suffix.
    """
    if path.suffix not in (".npz", ""):
        raise ConfigError(f"{path}: choose a name that ends in .npz, or a folder for CSV files, without '.'")
    if path.exists():
        raise ConfigError(f"{path} exists already: choose another {'file' if path.suffix else 'folder'}, or delete it")
    bodies = simulate_bodies(
        num_subjects, minutes, rate, places, seed, processes=processes or cpu_count(), on_progress=on_progress
    )
    if path.suffix:
        bodies.save(path)
    else:
        write_csv_files(path, bodies)
    return bodies


def write_csv_files(folder: Path, bodies: Bodies) -> None:
    """Write recordings as a logger may: one CSV file for each session, and `recordings.csv` with their subjects.

    Columns are `time` [s], the channels [m/s^2 and rad/s] and `activity`.
    """
    folder.mkdir(parents=True)
    files: dict[str, int] = {}
    head = ",".join(["time", *bodies.channels, "activity"])
    for subject, session in dict.fromkeys(zip(bodies.subject.tolist(), bodies.session.tolist(), strict=True)):
        own = np.flatnonzero((bodies.subject == subject) & (bodies.session == session))
        first, end = int(bodies.offsets[own[0]]), int(bodies.offsets[own[-1] + 1])
        activity_n = np.repeat(bodies.activities[bodies.label[own]], np.diff(bodies.offsets[own[0] : own[-1] + 2]))
        lines = [
            ",".join([f"{number / bodies.fs:.4f}", *(f"{value:.4f}" for value in row_C), activity])
            for number, (row_C, activity) in enumerate(
                zip(bodies.data[first:end].tolist(), activity_n.tolist(), strict=True)
            )
        ]
        name = f"person{subject}-{session + 1}.csv"
        _write(folder / name, [head, *lines])
        files[name] = subject
    table = [f"{name},{subject},activity" for name, subject in files.items()]
    _write(folder / "recordings.csv", ["file,subject,label_column", *table])


def _write(path: Path, lines: Sequence[str]) -> None:
    with atomically(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _collected(sessions: Iterable[Session], total: int, report: OnProgress) -> list[Session]:
    found = []
    for session in sessions:
        found.append(session)
        report(len(found), total)
    return found


def _joined(
    keys: Sequence[tuple[int, int, int]], sessions: Sequence[Session], rate: float, places: Sequence[str]
) -> Bodies:
    names = sorted({part.activity for session in sessions for part in session.parts}, key=list(ACTIVITIES).index)
    offsets, label, subject, number, total = [0], [], [], [], 0
    for key, session in zip(keys, sessions, strict=True):
        for part in session.parts:
            offsets.append(total + min(round(part.end * rate), len(session.samples_LC)))
            label.append(names.index(part.activity))
            subject.append(key[1] + 1)
            number.append(key[2])
        total += len(session.samples_LC)
    return Bodies(
        data=np.concatenate([session.samples_LC for session in sessions], dtype=np.float32, casting="same_kind"),
        offsets=np.array(offsets, dtype=np.int64),
        label=np.array(label, dtype=np.int64),
        subject=np.array(subject, dtype=np.int64),
        activities=np.array(names),
        channels=np.array([f"{kind}_{place}_{axis}" for kind in ("acc", "gyro") for place in places for axis in "xyz"]),
        fs=rate,
        session=np.array(number, dtype=np.int64),
    )


def _check(
    num_subjects: int, minutes: float, rate: float, seed: int, *, places: Sequence[str], activities: Sequence[str]
) -> None:
    if num_subjects < 1 or seed < 0:
        raise ConfigError("num_subjects must be at least 1, and seed at least 0")
    if not 0.1 <= minutes < np.inf:
        raise ConfigError(f"minutes: {minutes:g} must be at least 0.1")
    if not 10.0 <= rate <= 1000.0:
        raise ConfigError(f"rate: {rate:g} Hz must be from 10 to 1000 Hz")
    for what, names, known in (("places", places, PLACES), ("activities", activities, tuple(ACTIVITIES))):
        unknown = [name for name in names if name not in known]
        if unknown or not names or len(set(names)) < len(names):
            wrong = ", ".join(unknown) if unknown else ", ".join(names) or "none"
            raise ConfigError(f"{what}: {wrong} must be different ones of {', '.join(known)}")
