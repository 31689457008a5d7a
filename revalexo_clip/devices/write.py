"""Writing an imported recording into its dataset: all of it, or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, lock
from revalexo_clip.core.platform import flush_file, open_folder
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import parse
from revalexo_clip.data.clocks import Piece, on_grid
from revalexo_clip.data.revalexo.layout import DATA_PAIRS, LABEL_MAPPING, read_subject, relative_file
from revalexo_clip.devices.base import DeviceRecording, Floats, ImuStream
from revalexo_clip.devices.dataset import SOURCE, TIME, ClipSource, open_dataset
from revalexo_clip.devices.plan import ClipPlan, ImportPlan, has_gravity
from revalexo_clip.devices.spans import gaps_of
from revalexo_clip.devices.video_files import cut_video

_STAGING = ".import-"
"""Beginning of the name of the folder that files are written to first."""
_MOVES = "moves.json"
"""File in that folder: the clips' files, relative to the root; written before any of them is moved."""
_MARGIN = 1.0
"""Samples before and after a clip that its resampling filter may use [s]."""


def write_import(plan: ImportPlan, on_progress: OnProgress | None = None) -> None:
    """Write the clips of a plan into its dataset.

    Files are written beside the dataset's first and moved into it when all are complete, the subject's file last. If
    anything fails, the dataset is as it was. `on_progress(done, total)` counts clips. Raises `DataError`.
    """
    root, report = plan.dataset.root, on_progress or (lambda done, total: None)
    try:
        with _made_folders(root), _alone(root):
            staging = root / f"{_STAGING}{os.getpid()}"
            if open_dataset(root, plan.dataset.subject) != plan.dataset:
                raise DataError(f"{root}: has changed since the import was planned; nothing is written: try again")
            try:
                moves = _write_clips(plan, staging, report)
                *mapping, subject = _write_descriptions(plan, staging)
                clips = [target.relative_to(root).as_posix() for _, target in moves]
                flush_file(_json(staging / _MOVES, clips))
                # Activities come first: they make a new folder a dataset, which a killed import can be repeated into.
                _move([*mapping, *moves, subject])
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise WriteError(f"{error.filename or root}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _made_folders(root: Path) -> Iterator[None]:
    """Create the root; remove it again if the block fails."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep other imports out of the dataset."""
    descriptor = open_folder(root)
    if descriptor is None:
        yield
        return
    try:
        if lock(descriptor, wait=False):
            for leftover in root.glob(f"{_STAGING}*"):  # of processes that were killed
                _clear(leftover, root)
        yield
    except BlockingIOError as error:
        raise DataError(f"{root}: another import is writing into it; try again when it is done") from error
    finally:
        os.close(descriptor)


def _clear(leftover: Path, root: Path) -> None:
    """Remove the folder of an import that was killed, and the clips that it moved but that no subject's file names."""
    try:
        moved = json.loads((leftover / _MOVES).read_bytes())
    except (OSError, ValueError):  # killed before it moved anything
        moved = []
    for name in set(moved) - _named_files(root):
        if relative_file(".", name) is not None:
            (root / name).unlink(missing_ok=True)
    shutil.rmtree(leftover, ignore_errors=True)


def _named_files(root: Path) -> set[str]:
    """Return the files of all clips of a dataset, relative to its root."""
    found: set[str | None] = set()
    for path in (root / DATA_PAIRS).glob("*.json"):
        subject = read_subject(path)
        for pair in subject.pairs.values():
            found.add(relative_file(subject.imu_folder, pair.imu))
            if pair.video is not None:
                found.add(relative_file(subject.video_folder or ".", pair.video))
    return {name.replace(os.sep, "/") for name in found if name is not None}


Move = tuple[Path, Path]
"""A file in the staging folder, and where it belongs."""


def _write_clips(plan: ImportPlan, staging: Path, report: OnProgress) -> list[Move]:
    recording, dataset, moves = plan.recording, plan.dataset, list[Move]()
    for done, clip in enumerate(plan.clips):
        imu = Path(dataset.folder("imu_folder")) / f"{clip.name}.csv"
        (staging / imu).parent.mkdir(parents=True, exist_ok=True)
        _write_imu(recording, clip, plan.rate, staging / imu)
        moves.append((staging / imu, dataset.root / imu))
        if recording.video is not None and clip.frames is not None:
            video = Path(dataset.folder("video_folder")) / f"{clip.name}.mp4"
            (staging / video).parent.mkdir(parents=True, exist_ok=True)
            cut_video(recording.video, *clip.frames, staging / video)
            moves.append((staging / video, dataset.root / video))
        report(done + 1, len(plan.clips))
    return moves


def _write_imu(recording: DeviceRecording, clip: ClipPlan, rate: float, path: Path) -> None:
    time_M = np.arange(clip.rows) / rate
    columns = [rows_of(stream, clip.start, time_M, rate) for stream in recording.imu]
    table_MC = np.concatenate([time_M[:, None], *columns], axis=1)
    names = [TIME, *(name for stream in recording.imu for name in stream.channels)]
    row = ",".join(["%.6f"] * len(names)) + "\n"
    text = (row * len(table_MC)) % tuple(table_MC.ravel().tolist())
    path.write_text(",".join(names) + "\n" + text, encoding="utf-8", newline="\n")


def rows_of(stream: ImuStream, start: float, time_M: Floats, rate: float) -> Floats:
    """Resample a stream to the rows of a clip that begins at `start` [s], [M, C]; rows are 1 / `rate` apart.

    What the new rate cannot hold is filtered out. Streams that are no accelerometers or gyroscopes, such as a direction
    of gravity, are interpolated. Raises `DataError` if the stream is sampled too slowly.
    """
    own_N = stream.time_N - start
    near_N = (own_N > -_MARGIN) & (own_N < time_M[-1] + _MARGIN)
    near_N &= _same_piece(own_N, time_M)
    own_n, values_nC = own_N[near_N], stream.values_NC[near_N]
    if not any(parse(name) is not None for name in stream.channels) or len(own_n) < 2:
        return np.stack([np.interp(time_M, own_N, values_N) for values_N in stream.values_NC.T], axis=1)
    try:
        rows_mC, first = on_grid(Piece(values_nC.astype(np.float32), own_n), rate)
    except ValueError as error:
        raise DataError(f"{stream.channels[0]}: {error}") from error
    place_M = np.clip(np.arange(len(time_M)) - first, 0, len(rows_mC) - 1)
    return rows_mC[place_M].astype(np.float64)


def _same_piece(time_N: Floats, time_M: Floats) -> npt.NDArray[np.bool_]:
    """Whether each sample is in the piece between gaps that a clip lies in; a filter must not reach over a gap."""
    piece_N = np.zeros(len(time_N), dtype=np.int64)
    piece_N[gaps_of(time_N) + 1] = 1
    piece_N = np.cumsum(piece_N)
    middle = float(time_M[len(time_M) // 2])
    within = piece_N[min(max(int(np.searchsorted(time_N, middle)), 0), len(time_N) - 1)]
    return np.asarray(piece_N == within)


def _write_descriptions(plan: ImportPlan, staging: Path) -> list[Move]:
    """Write the list of activities and the subject's file into the staging folder; the latter is the last to move."""
    dataset, moves = plan.dataset, list[Move]()
    activities = dict.fromkeys((*dataset.activities, *(one.label for one in plan.recording.labels.labels)))
    if not dataset.has_mapping or len(activities) > len(dataset.activities):
        numbers = {activity: number for number, activity in enumerate(activities)}
        names = {str(number): activity for activity, number in numbers.items()}
        content = {"label_to_idx": numbers, "idx_to_label": names}
        moves.append((_json(staging / LABEL_MAPPING, content), dataset.root / LABEL_MAPPING))
    subject = {
        **dataset.content,
        **({"video_folder": dataset.folder("video_folder")} if plan.recording.video else {}),
        "imu_folder": dataset.folder("imu_folder"),
        "pairs": {**dataset.pairs, **{clip.name: _pair(plan, clip) for clip in plan.clips}},
    }
    moves.append((_json(staging / "data_pairs" / dataset.path.name, subject), dataset.path))
    return moves


def _pair(plan: ImportPlan, clip: ClipPlan) -> dict[str, object]:
    recording = plan.recording
    files = recording.video.files if recording.video else ()
    if recording.source.is_file() and recording.source not in files:
        files = (recording.source, *files)
    axes = {stream.segment: stream.axes for stream in recording.imu if stream.axes}
    source = ClipSource(
        device=recording.device,
        files=tuple(file.name for file in files),
        digest=plan.digest,
        rate=plan.rate,
        axes=axes,
        gravity=has_gravity(recording),
        span=(round(clip.start, 6), round(clip.end, 6)),
    )
    segments = [
        {"start": round(max(one.start - clip.start, 0.0), 3), "end": round(min(one.end, clip.end) - clip.start, 3)}
        | {"activity": one.label}
        for one in recording.labels.labels
        if one.end > clip.start and one.start < clip.end
    ]
    return {
        **({"video": f"{clip.name}.mp4"} if clip.frames is not None else {}),
        "imu": f"{clip.name}.csv",
        "recording": plan.name,
        "offset": round(max(clip.start, 0.0), 6),
        "activity_segments": segments,
        SOURCE: source.model_dump(mode="json"),
    }


def _json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _move(moves: list[Move]) -> None:
    """Move files to their places, in order; if that fails, put everything back as it was."""
    for source, _ in moves:
        flush_file(source)
    done: list[Path] = []
    folders: list[Path] = []
    before = {target: target.read_bytes() for _, target in moves if target.suffix == ".json" and target.exists()}
    try:
        for source, target in moves:
            folders += [folder for folder in reversed(target.parents) if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and target not in before:
                raise DataError(f"{target}: exists already; nothing is overwritten")
            source.replace(target)
            done.append(target)
    except BaseException:
        for target in reversed(done):
            if target in before:
                target.write_bytes(before[target])
            else:
                target.unlink(missing_ok=True)
        for folder in reversed(folders):
            if not any(folder.iterdir()):
                folder.rmdir()
        raise
