"""What measuring costs once windows are embedded: made ones, as many as the whole of RevalExo has.

python -m benchmarks.evaluation
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from revalexo_clip.measures.bootstrap import ClipBootstrap
from revalexo_clip.measures.galleries import measure_retrieval, rank_galleries
from revalexo_clip.measures.geometry import geometry
from revalexo_clip.measures.knowledge import probe_windows
from revalexo_clip.measures.windows import EvaluatedWindows

Result = TypeVar("Result")

WINDOWS = 50_000
SUBJECTS = 13
PER_CLIP = 21
"""Windows every 0.5 s of a clip of 12 s."""
DIM = 256
HANDMADE = 42 * 16
ACTIVITIES = 9
HORIZONS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)


def made_windows() -> EvaluatedWindows:
    """Embeddings whose partners are near, and features that know something of activities."""
    rng = torch.Generator().manual_seed(0)
    imu_ND = unit(torch.randn(WINDOWS, DIM, generator=rng))
    clip_N = torch.arange(WINDOWS) // PER_CLIP
    clips = int(clip_N[-1]) + 1
    label_NK = torch.randint(ACTIVITIES, (WINDOWS, 1), generator=rng).repeat(1, len(HORIZONS))
    return EvaluatedWindows(
        imu_ND=imu_ND,
        video_ND=unit(imu_ND + 0.1 * torch.randn(WINDOWS, DIM, generator=rng)),
        features={
            name: dependent(label_NK[:, 0], size, rng)
            for name, size in (("imu", DIM), ("imu_untrained", DIM), ("handmade", HANDMADE), ("video", DIM))
        },
        label_NK=label_NK,
        transition_NK=torch.rand(label_NK.shape, generator=rng) < 0.2,
        clip_N=clip_N,
        start_N=0.5 * (torch.arange(WINDOWS) % PER_CLIP).double(),
        clip_subjects=tuple(f"Subject{clip * SUBJECTS // clips:02d}" for clip in range(clips)),
        clip_names=tuple(map(str, range(clips))),
        activities=tuple(f"activity {number}" for number in range(ACTIVITIES)),
        horizons=HORIZONS,
    )


def unit(x_ND: Tensor) -> Tensor:
    """Unit vectors."""
    return torch.nn.functional.normalize(x_ND, dim=1)


def dependent(label_N: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """[N, size] features that depend on each other, as those of encoders do."""
    strength_E = torch.logspace(0, -2, size)
    turn_EF: Tensor = torch.linalg.qr(torch.randn(size, size, generator=rng)).Q
    x_NE = torch.randn(len(label_N), size, generator=rng) + torch.randn(ACTIVITIES, size, generator=rng)[label_N]
    return torch.matmul(x_NE * strength_E, turn_EF)


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Do the work and print how long it took, by the clock and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:12}{time.perf_counter() - wall:7.1f} s, {time.process_time() - processor:7.1f} s of processor time")
    return result


def main() -> None:
    """Measure everything that `rxclip evaluate` measures."""
    windows = made_windows()
    print(
        f"{WINDOWS} windows of {len(windows.clip_names)} clips, {SUBJECTS} subjects, {torch.get_num_threads()} threads"
    )
    bootstrap = ClipBootstrap(windows.clip_subjects)
    timed("retrieval", lambda: measure_retrieval(windows, rank_galleries(windows), bootstrap))
    timed("geometry", lambda: geometry(windows.imu_ND, windows.video_ND))
    timed("probe", lambda: probe_windows(windows, None, bootstrap))
    print(f"{'memory':12}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:7.2f} GiB at most")


if __name__ == "__main__":
    main()
