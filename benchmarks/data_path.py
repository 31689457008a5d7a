"""Cost of a training sample: made as in published systems, made from raw files, made from a pack.

    make bench-data

In CPU milliseconds of one thread, with all augmentations of the published list. Results are medians over rounds in
which the three take turns, so that other programs affect all of them alike. Plain and raw samples are of the same
windows.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.plain_pipeline import PlainPipeline
from benchmarks.recordings import make_recordings, size_of
from revalexo_clip.augment import Augmentation
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.training.drawn_batches import FetchAndDraw, TrainingBatch, TrainingSample, collate_training
from revalexo_clip.training.loaders import training_loader

ROOT = Path("data/benchmark")
ROUNDS, SAMPLES, PACKED_SAMPLES, BATCH = 5, 8, 48, 8
out = Console(width=100)


def main() -> None:
    """Print all results."""
    torch.set_num_threads(1)
    logging.getLogger("revalexo_clip").setLevel(logging.ERROR)
    out.print("making recordings: 640 x 480, 30 fps, H.264, 12 s", style="dim")
    make_recordings(ROOT)
    packed = pack(ROOT)
    clips, source = size_of(ROOT)
    out.print(
        f"{clips} clips of {source / clips / 1e6:.1f} MB (mp4 and CSV); packed {packed.size / clips / 1e6:.1f} MB each"
    )
    for name in ("x3d_xs", "mvit_base"):
        measure(name)


def measure(name: str) -> None:
    """Measure one published configuration."""
    raw, fast = (experiment(name, setting) for setting in ("off", "auto"))
    datasets = [each.data.build("train", each.seed) for each in (raw, fast)]
    spec = datasets[0].video_spec
    augmentation = raw.build_augmentation(datasets[0].imu_spec, spec)
    assert isinstance(augmentation, Augmentation)
    ways: dict[str, tuple[Callable[[int], object], int]] = {
        "plain": (plain(datasets[0]), SAMPLES),
        "raw files": (ours(datasets[0], augmentation, SAMPLES), SAMPLES),
        "packed": (ours(datasets[1], augmentation, PACKED_SAMPLES), PACKED_SAMPLES),
    }
    costs: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS + 1):
        for way, (make, samples) in ways.items():
            cost = cpu_ms(partial(make, turn * samples), samples)
            if turn:  # the first round fills caches
                costs[way].append(cost)
    table = Table(title=f"{name}: {spec.frames} x {spec.crop}^2", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "CPU ms a sample", "of plain"):
        table.add_column(column, justify="left" if not column else "right")
    base = statistics.median(costs["plain"])
    for way, values in costs.items():
        middle = statistics.median(values)
        table.add_row(way, f"{middle:.1f}  ({min(values):.1f} to {max(values):.1f})", f"1/{base / middle:.1f}")
    out.print(table)
    stages(datasets[1], augmentation)
    workers(fast, datasets[1], augmentation)


def experiment(name: str, setting: str) -> PretrainExperiment:
    """Load a published experiment for the recordings of the benchmark."""
    fields = (f"root={ROOT}", "train_subjects=01", "val_subjects=02", "windows_per_clip=200", f"pack={setting}")
    return load_experiment(f"experiments/{name}.py", [f"data.{field}" for field in fields])


def plain(dataset: WindowDataset) -> Callable[[int], object]:
    """Make batches as published systems do."""
    assert isinstance(dataset, ClipWindows)
    pipeline = PlainPipeline(dataset.video_spec.frames, dataset.video_spec.crop, dataset.imu_spec.channels)

    index, placed, order = dataset.index, dataset.windows, shuffled(dataset)

    def make(first: int) -> None:
        chosen = [order[place % len(order)] for place in range(first, first + SAMPLES)]
        clips = [int(placed.clip_N[window]) for window in chosen]
        starts = [float(placed.start_N[window]) for window in chosen]
        windows = [(index.video(clip), index.imu(clip), start) for clip, start in zip(clips, starts, strict=True)]
        pipeline.batch(windows, np.random.default_rng(first))

    return make


def ours(dataset: WindowDataset, augmentation: Augmentation, samples: int) -> Callable[[int], object]:
    """Make samples as the loader does, and collate and augment them in batches."""
    fetch = FetchAndDraw(dataset, augmentation, seed=0)
    order = shuffled(dataset)
    video: torch.Tensor | None = None

    def make(first: int) -> None:
        nonlocal video
        for start in range(first, first + samples, BATCH):
            keys = [(0, order[place % len(order)]) for place in range(start, start + BATCH)]
            batch = collate_training([fetch[key] for key in keys])
            assert isinstance(batch, TrainingBatch)
            windows = batch.windows
            inputs = windows.imu_BLC, windows.video_BTHWC, windows.motion_BMYX3
            video = augmentation.apply(*inputs, batch.draws, video).video_B3THW

    return make


def shuffled(dataset: WindowDataset) -> list[int]:
    """Return the order of windows, the same for all ways of making samples."""
    order: list[int] = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return order


def cpu_ms(work: Callable[[], object], samples: int) -> float:
    """Return the CPU time of one sample [ms]."""
    begun = time.process_time()
    work()
    return 1000 * (time.process_time() - begun) / samples


def stages(dataset: WindowDataset, augmentation: Augmentation) -> None:
    """Print how the time of packed samples divides."""
    assert isinstance(dataset, ClipWindows)
    spec, source, rng = dataset.video_spec, dataset.source, np.random.default_rng(0)
    starts = [(index % len(dataset.index), rng.uniform(0, 10)) for index in range(PACKED_SAMPLES)]
    times = [(clip, start + np.linspace(0, spec.window, spec.frames)) for clip, start in starts]
    fetch = FetchAndDraw(dataset, augmentation, seed=0)
    samples = [sample for index in range(BATCH) if isinstance(sample := fetch[0, index], TrainingSample)]
    batch = collate_training(list(samples))
    assert isinstance(batch, TrainingBatch)
    inputs = batch.windows.imu_BLC, batch.windows.video_BTHWC, batch.windows.motion_BMYX3
    video = augmentation.apply(*inputs, batch.draws).video_B3THW
    windows = [(window.imu_LC.numpy(), window.video_THWC.numpy()) for window in (dataset[0, n] for n in range(BATCH))]
    work: dict[str, tuple[Callable[[], object], int]] = {
        "IMU": (
            lambda: [source.imu(clip, slice(round(60 * s), round(60 * s) + 120)) for clip, s in starts],
            len(starts),
        ),
        "frames: read, decode, resize": (
            lambda: [source.frames(clip, time_T, spec.short_side, None) for clip, time_T in times],
            len(times),
        ),
        "draws, resampling": (lambda: [augmentation.sample(rng, *whole) for whole in windows], BATCH),
        "collate": (lambda: collate_training(list(samples)), BATCH),
        "apply": (
            lambda: augmentation.apply(*inputs, batch.draws, video),
            BATCH,
        ),
    }
    costs = {
        stage: statistics.median(cpu_ms(run, count) for _ in range(ROUNDS)) for stage, (run, count) in work.items()
    }
    total = sum(costs.values())
    out.print("packed: " + ", ".join(f"{stage} {100 * cost / total:.0f}%" for stage, cost in costs.items()))


def workers(experiment: PretrainExperiment, dataset: WindowDataset, augmentation: Augmentation) -> None:
    """Print the throughput of the loader and the memory of a worker."""
    said = []
    for count in (0, 1, 2):
        sampler = EpochSampler(len(dataset), BATCH, experiment.seed)
        batches: Iterator[object] = iter(training_loader(dataset, augmentation, sampler, BATCH, count))
        for _ in range(2 * max(count, 1)):
            next(batches)
        begun, taken = time.perf_counter(), 24
        for _ in range(taken):
            next(batches)
        rate = taken * BATCH / (time.perf_counter() - begun)
        held = [private_mb(child.pid) for child in multiprocessing.active_children() if child.pid]
        memory = f", {statistics.mean(held):.0f} MB private to each" if count else ""
        said.append(f"{count} workers {rate:.0f} samples/s{memory}")
        del batches
    out.print("loader: " + "; ".join(said) + f" ({len(os.sched_getaffinity(0))} cores)")


def private_mb(pid: int) -> float:
    """Return the memory that a process does not share with others [MB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


if __name__ == "__main__":
    main()
