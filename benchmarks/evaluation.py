"""Cost of computing all metrics from embedded windows: simulated ones, more than all of RevalExo has.

    make bench-evaluation

Times are wall clock and CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from revalexo_clip.core.platform import peak_memory
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import probe_windows

Result = TypeVar("Result")

WINDOWS = 50_000
SUBJECTS = 10
PER_CLIP = 21
"""Windows every 0.5 s of a clip of 12 s."""
TICKS = 10
"""Moments per second at which an activity may change."""
CLIP = 12 * TICKS
"""Length of a clip [ticks]."""
CHANGE = 0.025
"""Probability of a change per tick: one every 4 s."""
DIM = 512
HANDCRAFTED = 42 * 16
ACTIVITIES = 9
HORIZONS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)


def made_windows() -> EvaluatedWindows:
    """Make embeddings with similar partners, and features that depend on activities, subjects and clips."""
    rng = torch.Generator().manual_seed(0)
    clip_N = torch.arange(WINDOWS) // PER_CLIP
    clips = int(clip_N[-1]) + 1
    subject_J = torch.arange(clips) * SUBJECTS // clips
    label_NK, transition_NK = made_labels(clip_N, rng)
    imu_ND = unit(torch.randn(clips, DIM, generator=rng)[clip_N] + torch.randn(WINDOWS, DIM, generator=rng))
    return EvaluatedWindows(
        imu_ND=imu_ND,
        video_ND=unit(imu_ND + 0.1 * torch.randn(WINDOWS, DIM, generator=rng)),
        features={
            name: made_features(label_NK[:, 0], subject_J[clip_N], clip_N, size, rng)
            for name, size in (("imu", DIM), ("imu_untrained", DIM), ("handcrafted", HANDCRAFTED), ("video", DIM))
        },
        label_NK=label_NK,
        transition_NK=transition_NK,
        clip_N=clip_N,
        start_N=0.5 * (torch.arange(WINDOWS) % PER_CLIP).double(),
        recording_N=clip_N,
        time_N=0.5 * (torch.arange(WINDOWS) % PER_CLIP).double(),
        clip_subjects=tuple(f"Subject{subject:02d}" for subject in subject_J.tolist()),
        clip_names=tuple(map(str, range(clips))),
        activities=tuple(f"activity {number}" for number in range(ACTIVITIES)),
        horizons=HORIZONS,
    )


def made_labels(clip_N: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw activities [N, K], which follow each other with unequal frequency, and if one has just begun."""
    clips = int(clip_N[-1]) + 1
    frequency_A = 0.75 ** torch.arange(ACTIVITIES)
    drawn_JT = torch.multinomial(frequency_A, clips * CLIP, replacement=True, generator=rng).view(clips, CLIP)
    begins_JT = torch.rand(clips, CLIP, generator=rng) < CHANGE
    begins_JT[:, 0] = True
    since_JT = (torch.arange(CLIP) * begins_JT).cummax(dim=1).values
    activity_JT = drawn_JT.gather(1, since_JT)
    end_N = 2 * TICKS - 1 + TICKS // 2 * (torch.arange(WINDOWS) % PER_CLIP)
    asked_NK = end_N[:, None] + (TICKS * torch.tensor(HORIZONS)).round().long()
    tick_NK = asked_NK.clamp(max=CLIP - 1)
    label_NK = torch.where(asked_NK < CLIP, activity_JT[clip_N[:, None], tick_NK], UNLABELLED)
    return label_NK, (tick_NK - since_JT[clip_N[:, None], tick_NK] < TICKS) & (label_NK != UNLABELLED)


def made_features(label_N: Tensor, subject_N: Tensor, clip_N: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Make features [N, size] that are correlated, like those of encoders.

    Every subject does an activity differently, so that unseen subjects are harder than unseen windows.
    """

    def drawn(count: int) -> Tensor:
        return torch.randn(count, size, generator=rng)

    x_NE = drawn(WINDOWS) + 0.5 * (drawn(SUBJECTS)[subject_N] + drawn(int(clip_N[-1]) + 1)[clip_N])
    x_NE += 0.2 * drawn(ACTIVITIES)[label_N] + 0.2 * drawn(SUBJECTS * ACTIVITIES)[subject_N * ACTIVITIES + label_N]
    turn_EF: Tensor = torch.linalg.qr(drawn(size)).Q
    return torch.matmul(x_NE * torch.logspace(0, -2, size), turn_EF)


def unit(x_ND: Tensor) -> Tensor:
    """Normalise to unit vectors."""
    return torch.nn.functional.normalize(x_ND, dim=1)


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Do the work and print the wall clock time and the CPU time."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:12}{time.perf_counter() - wall:7.1f} s, {time.process_time() - processor:7.1f} s of processor time")
    return result


def main() -> None:
    """Compute everything that `rxclip evaluate` computes."""
    windows = made_windows()
    print(
        f"{WINDOWS} windows of {len(windows.clip_names)} clips, {SUBJECTS} subjects, {torch.get_num_threads()} threads"
    )
    bootstrap = TimeBootstrap(units_of(windows))
    timed("retrieval", lambda: measure_retrieval(windows, rank_galleries(windows), bootstrap))
    timed("geometry", lambda: geometry(windows.imu_ND, windows.video_ND))
    timed("probe", lambda: probe_windows(windows, None, bootstrap))
    print(f"{'memory':12}{(peak_memory() or 0) / 2**30:7.2f} GiB at most")


if __name__ == "__main__":
    main()
