"""Whether a dataset of a million clips, and a batch of 131,072 pairs, fit: start-up, draws of batches, loss, loader.

    make bench-scale
    python -m benchmarks.scale index      # one part: index, loss or loader

`index`: a made index of a million clips of 12 s, without files: time and memory of everything between reading the
dataset's description and the first batch. `loss`: peak memory of one process's share of InfoNCE, forward and backward.
`loader`: windows per second of the packed benchmark recordings by number of workers, with augmentation draws. CPU time
is that of all processes together, so that other programs matter less.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from benchmarks.recordings import make_recordings
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.platform import peak_memory
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data import GroupedBatches, UniformBatches, VisitBatches
from revalexo_clip.data.batches import BatchComposition, EpochSampler
from revalexo_clip.data.dataset import LabelledClips
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.survey import Span, Survey
from revalexo_clip.data.revalexo.timing import Files, timed
from revalexo_clip.data.source import InMemory
from revalexo_clip.data.windows import Segments, segment_length, training_windows
from revalexo_clip.losses import InfoNCE, Overlap
from revalexo_clip.training.loaders import training_loader

CLIPS, SECONDS, WINDOW, PER_CLIP, SUBJECTS = 1_000_000, 12.0, 2.0, 10, 1000
BATCH, RANK, RANKS = 4096, 3, 8
PAIRS, DIM = 131_072, 512
LOADED, TAKEN = 64, 32
ROOT = Path("data/benchmark")
Result = TypeVar("Result")
out = Console(width=100)


def main(parts: list[str]) -> None:
    """Print the results of some parts; of all without a name."""
    out.print(f"torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores", style="dim")
    for name, part in {"index": index, "loss": loss, "loader": loader}.items():
        if not parts or name in parts:
            part()


class Steps:
    """A table of what steps cost."""

    def __init__(self, title: str) -> None:
        self.table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("", "CPU s", "memory that stays [MB]"):
            self.table.add_column(column, justify="left" if not column else "right")
        self.seconds = self.megabytes = 0.0

    def run(self, name: str, work: Callable[[], Result], *, counts: bool = True) -> Result:
        """Run one step and add its row; only those that count are part of the sum."""
        begun, before = time.process_time(), resident()
        result = work()
        seconds, megabytes = time.process_time() - begun, (resident() - before) / 1e6
        self.table.add_row(name, f"{seconds:.2f}", f"{megabytes:,.0f}")
        if counts:
            self.seconds, self.megabytes = self.seconds + seconds, self.megabytes + megabytes
        return result

    def print(self) -> None:
        """Print the table and the sum."""
        self.table.add_row("sum", f"{self.seconds:.2f}", f"{self.megabytes:,.0f}")
        out.print(self.table)


def index() -> None:
    """Print the cost of the start of a run with a million clips."""
    steps = Steps(f"{CLIPS:,} clips, {CLIPS * PER_CLIP:,} windows; batches of {BATCH}, rank {RANK} of {RANKS}")
    before = resident()
    made = steps.run("index", made_index)
    files = Files(
        stamp=lambda clip: (1, 2),
        sensors=lambda clip: ((), np.empty((0, 0), np.float32)),
        imu=lambda clip: [Span(0.0, SECONDS + 0.02)],
        first=lambda clip: 0.0,
        video=lambda clip: Span(0.0, SECONDS + 0.02),
    )
    with tempfile.TemporaryDirectory() as folder:
        survey = Survey(Path(folder))
    settings = {"rate": 60.0, "min_duration": SECONDS}
    placed, _ = steps.run("times and recordings", partial(timed, made, files, survey, **settings))
    del made
    dataset = steps.run("windows", lambda: windows_of(placed))
    compositions: dict[str, BatchComposition] = {
        "UniformBatches": UniformBatches(),
        "VisitBatches": VisitBatches(),
        "GroupedBatches, by clip": GroupedBatches(),
        "GroupedBatches, by subject": GroupedBatches(by="subject"),
        "GroupedBatches, parts of 6 s": GroupedBatches(seconds=6.0, windows=4),
    }
    for name, composition in compositions.items():
        steps.run(f"{name}: an epoch's batches", partial(first_key, dataset, composition), counts=False)
    steps.print()
    peak = peak_memory() or 0
    out.print(f"peak of all steps: {(peak - before) / 1e9:.2f} GB above the {before / 1e9:.2f} GB of imports")


def made_index() -> ClipIndex:
    """Make the index of clips with three activities each, whose recordings are declared."""
    subject_N = [f"Subject{clip * SUBJECTS // CLIPS:04d}" for clip in range(CLIPS)]
    names = [f"{subject}/{clip:07d}" for clip, subject in enumerate(subject_N)]
    edge_3 = np.linspace(0, SECONDS, 4)
    segments = Segments(
        3 * np.arange(CLIPS + 1), np.tile(edge_3[:-1], CLIPS), np.tile(edge_3[1:], CLIPS), np.tile(np.arange(3), CLIPS)
    )
    times = replace(ClipTimes.separate(np.full(CLIPS, SECONDS)), declared_N=np.ones(CLIPS, dtype=bool))
    return ClipIndex(
        root=Path("made"),
        subjects=tuple(subject_N),
        names=tuple(names),
        video_N=np.array([f"videos/{name}.mp4" for name in names]),
        imu_N=np.array([f"imu/{name}.csv" for name in names]),
        duration_N=np.full(CLIPS, SECONDS),
        times=times,
        activity=segments,
        transition=segments,
        activities=("standing", "walking", "sitting"),
        num_too_short=0,
        video_stamp_N2=np.ones((CLIPS, 2), dtype=np.int64),
        imu_stamp_N2=np.ones((CLIPS, 2), dtype=np.int64),
    )


def windows_of(index: ClipIndex) -> LabelledClips:
    """Place training windows, as `RevalExo` does."""
    begin_N, end_N = index.times.begin_N, index.times.end_N
    return LabelledClips(
        index,
        training_windows(begin_N, end_N, WINDOW, PER_CLIP),
        InMemory([np.zeros((1, 6), np.float32)], ""),
        imu_spec=ImuSpec(("acc_Pelvis_x",) * 6, ("m/s^2",) * 6, 60.0, WINDOW),
        horizons=(0.0,),
        seed=0,
        segment_N=segment_length(end_N - begin_N, WINDOW, PER_CLIP),
    )


def first_key(dataset: LabelledClips, composition: BatchComposition) -> tuple[int, int]:
    """Return the first window of an epoch, for which the batches of the epoch are drawn."""
    compose = composition.composer(dataset, BATCH)
    return next(iter(EpochSampler(len(dataset), BATCH, 0, rank=RANK, world=RANKS, compose=compose)))


def loss() -> None:
    """Print time and memory of the shares of a loss, each measured in a process of its own."""
    title = f"InfoNCE of {PAIRS:,} pairs, D = {DIM}, float32: the share of one process, forward and backward"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in (
        "processes",
        "rows of each",
        "embeddings and gradients [GiB]",
        "peak above embeddings [GiB]",
        "CPU s",
    ):
        table.add_column(column, justify="right")
    for processes in (64,):  # the share of fewer takes as much memory, and longer
        command = [sys.executable, "-m", "benchmarks.scale", "share", str(processes)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        table.add_row(str(processes), f"{PAIRS // processes:,}", *found.split())
    out.print(table)


def share(processes: int) -> str:
    """Measure the share of one of some processes in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    imu_ND, video_ND = (normalize(torch.randn(PAIRS, DIM), dim=1).requires_grad_() for _ in range(2))
    overlap = Overlap(torch.arange(PAIRS) // 10, 10 * torch.rand(PAIRS, dtype=torch.float64), WINDOW)
    computed = InfoNCE().build()
    before, begun = peak_memory() or 0, time.process_time()
    torch.autograd.backward(computed.share(imu_ND, video_ND, overlap, slice(0, PAIRS // processes)))
    seconds = time.process_time() - begun
    embeddings = 2 * 2 * imu_ND.nbytes / 2**30
    return f"{embeddings:.2f} {((peak_memory() or 0) - before) / 2**30:.2f} {seconds:.0f}"


def loader() -> None:
    """Print windows per second by number of workers."""
    make_recordings(ROOT)
    packs = {side: Path(f"{ROOT}-packed-{side}") for side in (256, 182)}
    for side, path in packs.items():
        pack(ROOT, path, short_side=side)
    table = Table(title="packed windows of the loader", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "workers", "windows/s", "windows per CPU s", "CPU ms in the training process"):
        table.add_column(column, justify="left" if not column else "right")
    for name, side in (("x3d_xs", 256), ("x3d_xs", 182), ("motion", 256)):
        fields = [f"data.root={ROOT}", "data.train_subjects=01", "data.val_subjects=02", "data.windows_per_clip=2000"]
        experiment = load_experiment(f"experiments/{name}.py", [*fields, f"data.pack={packs[side]}"])
        assert isinstance(experiment, PretrainExperiment)
        packed = f", frames packed at {side} px" if name == "x3d_xs" else ""
        for workers in (0, 1, 2, 4):
            table.add_row(f"{name}{packed}", str(workers), *loaded(experiment, workers))
    out.print(table)


def loaded(experiment: PretrainExperiment, workers: int) -> tuple[str, str, str]:
    """Load batches; return windows per second, per CPU second of all processes, and CPU ms of this one a window."""
    dataset = experiment.data.build("train", 0)
    augmentation = experiment.build_augmentation(dataset.imu_spec, dataset.video_spec)
    loading = training_loader(dataset, augmentation, EpochSampler(len(dataset), LOADED, 0), LOADED, workers)
    batches = iter(loading)
    for _ in range(2 * workers + 2):
        next(batches)
    before, all_before, begun = time.process_time(), cpu_seconds(), time.perf_counter()
    for _ in range(TAKEN):
        next(batches)
    wall, everything, own = time.perf_counter() - begun, cpu_seconds() - all_before, time.process_time() - before
    count = TAKEN * LOADED
    return f"{count / wall:,.0f}", f"{count / everything:,.0f}", f"{1000 * own / count:.3f}"


def cpu_seconds() -> float:
    """Return the CPU time of this process and its loader workers [s]."""
    found = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def resident() -> int:
    """Return the memory of this process that is in use [bytes]."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    if sys.argv[1:2] == ["share"]:
        print(share(int(sys.argv[2])))
    else:
        main(sys.argv[1:])
