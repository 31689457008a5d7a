"""The lag of sensors anywhere on the body, by a trained pair of encoders.

IMU windows are compared with the video windows of the same recording at each of many lags. If the encoders know the
movement, the mean similarity has a peak at the lag. A lag that all recordings of the training had in common is part of
what the encoders have learned, and is not found.

Shapes: G = starts of windows of a recording, evenly spaced; S = lags; B = blocks; D = dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data import RevalExo, WindowDataset
from revalexo_clip.data.dataset import arrived, collate
from revalexo_clip.evaluation.held_out import check_same_input, edited
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint
from revalexo_clip.sync.recordings import Clip, Recording, frame_time
from revalexo_clip.sync.result import Curve, Estimate, Sync, peak_between
from revalexo_clip.sync.series import Floats, Ints
from revalexo_clip.training.loaders import evaluation_batch_size

STEP = 0.1
"""Time between the starts of windows, by which they are shifted [s]."""
SIGNIFICANT = 0.02
AGREEING = 0.95
"""Share of resampled recordings whose peak must be within a quarter of a window of the best."""
_REPEATS = 400


class Aligned(NamedTuple):
    """How similar IMU and video windows of a recording are, by lag."""

    lag_S: Floats
    similarity_S: Floats
    """Mean cosine similarity, without what all windows of the recording have in common."""
    lag: Estimate
    p: float
    """Share of the lags farther than a window from the best, on a circle, with at least its similarity."""
    agreeing: float


def align(imu_GD: Floats, video_GD: Floats, *, window: float, most_lag: float, step: float = STEP) -> Aligned | None:
    """Find the lag of a recording whose windows start `step` apart; rows of NaN are starts without a window.

    Returns None if too few windows are left at the longest lag. All times are in seconds.
    """
    imu_GD, video_GD = (vectors_GD - np.nanmean(vectors_GD, axis=0) for vectors_GD in (imu_GD, video_GD))
    count = len(imu_GD)
    reach = int(min(round(most_lag / step), count // 2 - 1))
    if reach < 2:
        return None
    steps: Ints = np.arange(-reach, reach + 1, dtype=np.int64)
    block_G = np.arange(count) * step // max(window, count * step / 100)
    blocks = int(block_G[-1]) + 1
    total_SB, number_SB = np.zeros((len(steps), blocks)), np.zeros((len(steps), blocks))
    for place, shift in enumerate(steps.tolist()):
        video_G = np.arange(max(shift, 0), count + min(shift, 0))
        similarity_G = (imu_GD[video_G - shift] * video_GD[video_G]).sum(axis=1)
        known_G = np.isfinite(similarity_G)
        index_G = block_G[video_G[known_G]].astype(np.int64)
        total_SB[place] = np.bincount(index_G, similarity_G[known_G], minlength=blocks)
        number_SB[place] = np.bincount(index_G, minlength=blocks)
    lag_S: Floats = steps.astype(np.float64) * step
    similarity_S = total_SB.sum(axis=1) / np.maximum(number_SB.sum(axis=1), 1)
    best = peak_between(lag_S, similarity_S)
    draws = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), size=_REPEATS)
    drawn_RS = (draws @ total_SB.T) / np.maximum(draws @ number_SB.T, 1)
    peak_R = np.array([peak_between(lag_S, drawn_S) for drawn_S in drawn_RS])
    near_R = np.abs(peak_R - best) <= window / 4
    low, high = np.quantile(peak_R[near_R], (0.025, 0.975)) if near_R.any() else (best, best)
    within = max(best - float(low), float(high) - best, step / 4)
    p = _p_value(imu_GD, video_GD, best, float(similarity_S.max()), window=window, step=step)
    return Aligned(lag_S, similarity_S, Estimate(best, within), p, float(near_R.mean()))


def _p_value(imu_GD: Floats, video_GD: Floats, lag: float, reached: float, *, window: float, step: float) -> float:
    count, apart = len(imu_GD), round(window / step)
    imu_GD, video_GD = np.nan_to_num(imu_GD), np.nan_to_num(video_GD)
    crossed_FD = np.fft.rfft(imu_GD, axis=0).conj() * np.fft.rfft(video_GD, axis=0)
    circle_G = np.fft.irfft(crossed_FD.sum(axis=1), n=count) / count
    away_G = np.abs((np.arange(count) - round(lag / step) + count // 2) % count - count // 2)
    other_G = circle_G[away_G >= apart]
    return (1 + int((other_G >= reached).sum())) / (1 + len(other_G))


def lags_from_encoders(  # noqa: PLR0917
    root: Path,
    recordings: Sequence[Recording],
    ckpt: Path,
    experiment_file: Path | None,
    most_lag: float,
    on_progress: OnProgress,
) -> list[Sync]:
    """Return the lag of each recording by the encoders of a checkpoint.

    Raises `ConfigError` if the checkpoint is not one of IMU and video, `DataError` if the data do not have its format.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(find_checkpoint(ckpt), experiment_file)
    experiment = edited(checkpoint.description.experiment, [f"data.root={root}"])
    if checkpoint.description.video_spec is None or not isinstance(experiment.data, RevalExo):
        raise ConfigError(f"{checkpoint.path}: it was not trained on IMU and video of a dataset in RevalExo's layout")
    subjects = tuple(dict.fromkeys(clip.name.partition("/")[0] for one in recordings for clip in one.clips))
    data = experiment.data.evaluating(subjects)
    assert isinstance(data, RevalExo)
    least = min(data.min_duration, 2 * data.window)
    data = data.model_copy(update={"eval_stride": STEP, "min_duration": least})
    windows = data.build("test", experiment.seed)
    check_same_input(checkpoint, windows)
    size = evaluation_batch_size(experiment.batch_size, experiment.micro_batch)
    imu_ND, video_ND = _embed(checkpoint.build_model(), windows, size, on_progress)
    known = {clip.name: clip for recording in recordings for clip in recording.clips}
    clip_N, start_N = windows.windows.clip_N, windows.windows.start_N
    time_N = start_N + np.asarray(windows.clip_offsets)[clip_N]
    number_N = np.asarray(windows.clip_recordings)[clip_N]
    found = []
    for number in dict.fromkeys(number_N.tolist()):
        own_N = number_N == number
        clips = list(dict.fromkeys(windows.clip_names[clip].partition("#")[0] for clip in clip_N[own_N].tolist()))
        place_N = np.rint((time_N[own_N] - time_N[own_N].min()) / STEP).astype(np.int64)
        found.append(
            _result(
                {name: known[name] for name in clips},
                _on_grid(imu_ND[own_N], place_N),
                _on_grid(video_ND[own_N], place_N),
                window=data.window,
                most_lag=most_lag,
            )
        )
    return found


@torch.no_grad()
def _embed(model: torch.nn.Module, windows: WindowDataset, size: int, on_progress: OnProgress) -> tuple[Floats, Floats]:
    """Return the vectors of IMU and video windows that retrieval compares, [N, D] each."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    found = []
    for first in range(0, len(windows), size):
        batch = arrived(collate([windows[0, row] for row in range(first, min(first + size, len(windows)))]))
        inputs = (batch.imu_BLC, batch.video_BTHWC, batch.motion_BMYX3)
        found.append([vectors.double().cpu().numpy() for vectors in model(*(one.to(device) for one in inputs))])
        on_progress(min(first + size, len(windows)), len(windows))
    imu_ND, video_ND = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return imu_ND, video_ND


def _on_grid(vectors_ND: Floats, place_N: np.ndarray) -> Floats:
    grid_GD = np.full((int(place_N.max()) + 1, vectors_ND.shape[1]), np.nan)
    grid_GD[place_N] = vectors_ND
    return grid_GD


def _result(clips: Mapping[str, Clip], imu_GD: Floats, video_GD: Floats, *, window: float, most_lag: float) -> Sync:
    first = next(iter(clips.values()))
    middles, frame = {name: clip.middle for name, clip in clips.items()}, frame_time(first.video)
    found = align(imu_GD, video_GD, window=window, most_lag=most_lag)
    if found is None:
        return Sync(first.name, middles, "encoders", frame, why="it has too few windows to shift them")
    facts: JsonObject = {"p": found.p, "agreement": found.agreeing, "similarity": float(found.similarity_S.max())}
    curve = Curve(found.lag_S, found.similarity_S, "similarity")
    sure = found.p <= SIGNIFICANT and found.agreeing >= AGREEING
    why = (
        ""
        if sure
        else f"windows of IMU and video are not clearly more similar at one lag than at others (p = {found.p:.3f}, "
        f"{100 * found.agreeing:.0f}% of resampled peaks agree): the recording is short or uniform, or the encoders do "
        "not know this movement"
    )
    return Sync(
        first.name,
        middles,
        "encoders",
        frame,
        found.lag if sure else None,
        why=why,
        at=first.middle,
        curve=curve,
        facts=facts,
    )
