"""Cost of a training step of a video encoder: PyTorchVideo's own modules, and ours with the same weights.

    make bench-encoders

A step is a forward pass in training mode and the backward pass of the sum of squared features, to all weights, without
optimizer and data. Each of the two runs in a process of its own, on all cores. They take turns, step by step, so that
other programs affect both alike. Peak memory is the largest resident size of the process (VmHWM) after its first step,
above the resident size with the model and the batch in place but no step taken.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast import mvit as fast_mvit
from revalexo_clip.models.encoders.fast import x3d as fast_x3d
from revalexo_clip.models.encoders.pretrained_weights import builder
from revalexo_clip.models.encoders.x3d import remove_classifier

ROUNDS = 7
THREADS = len(os.sched_getaffinity(0))
out = Console(width=100)


class Case(NamedTuple):
    """An encoder and its batch."""

    family: str
    model: str
    batch: int
    frames: int
    crop: int


CASES = {
    "X3D-XS": Case("x3d", "x3d_xs", 8, 4, 182),
    "X3D-M": Case("x3d", "x3d_m", 2, 16, 224),
    "MViT-B 16x4": Case("vision_transformers", "mvit_base_16x4", 2, 16, 224),
}


class Step(NamedTuple):
    """Cost of one training step: wall clock and CPU time [s], and the peak memory above the idle process [MB]."""

    wall: float
    cpu: float
    memory: float


def main() -> None:
    """Print a table of all cases."""
    out.print(f"{THREADS} cores, torch {torch.__version__}; medians of {ROUNDS} steps each, which take turns")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "", "step [s]", "CPU [s]", "peak memory [MB]", "of PyTorchVideo's: time", "memory"):
        table.add_column(column, justify="left" if not column else "right")
    for name, case in CASES.items():
        plain, ours = measure(case)
        batch = f"{case.batch} x {case.frames} x {case.crop}^2"
        table.add_row(name, "PyTorchVideo", *shown(plain))
        ratios = (f"{mine / other:.2f}" for mine, other in ((ours.wall, plain.wall), (ours.memory, plain.memory)))
        table.add_row(batch, "ours", *shown(ours), *ratios)
    out.print(table)


def shown(step: Step) -> tuple[str, str, str]:
    """Return the cells of a row."""
    return f"{step.wall:.2f}", f"{step.cpu:.2f}", f"{step.memory:.0f}"


def measure(case: Case) -> tuple[Step, Step]:
    """Return the medians of PyTorchVideo's steps and of ours, with the peak memory of the first step of each."""
    context = multiprocessing.get_context("spawn")
    taken: list[list[Step]] = [[], []]
    ends, processes = [], []
    for ours in (False, True):
        here, there = context.Pipe()
        processes.append(context.Process(target=take_steps, args=(case, ours, there)))
        processes[-1].start()
        ends.append(here)
    for _ in range(ROUNDS + 1):
        for end, steps in zip(ends, taken, strict=True):
            end.send(True)
            steps.append(end.recv())
    for end, process in zip(ends, processes, strict=True):
        end.send(False)
        process.join()
    return median(taken[0]), median(taken[1])


def median(steps: list[Step]) -> Step:
    """Return median times without the first step (a warm-up), and the peak memory of the first step."""
    wall, cpu = (statistics.median(times) for times in list(zip(*steps[1:], strict=True))[:2])
    return Step(wall, cpu, steps[0].memory)


def take_steps(case: Case, ours: bool, end: Connection) -> None:
    """Take a step in a process of its own whenever the other end requests one, and send its cost."""
    warnings.simplefilter("ignore")  # PyTorchVideo uses deprecated names of torch
    torch.set_num_threads(THREADS)
    model, video_B3THW = build(case, ours=ours), torch.randn(case.batch, 3, case.frames, case.crop, case.crop)
    idle = resident("VmRSS")
    while end.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        step(model, video_B3THW)
        end.send(Step(time.perf_counter() - wall, time.process_time() - cpu, resident("VmHWM") - idle))


def build(case: Case, *, ours: bool) -> nn.Module:
    """Build PyTorchVideo's model without its classifier, in its own form or in ours, with new weights."""
    torch.manual_seed(0)
    if case.family == "x3d":
        model = builder(case.family, case.model)()
        remove_classifier(model)
        speed_up = fast_x3d.speed_up
    else:
        model = builder(case.family, case.model)(spatial_size=case.crop, temporal_size=case.frames)
        model.head = model.get_submodule("head.sequence_pool")
        speed_up = fast_mvit.speed_up
    if ours:
        speed_up(model)
    return model.train()


def step(model: nn.Module, video_B3THW: Tensor) -> None:
    """Run forward and backward."""
    model.zero_grad(set_to_none=True)
    model(video_B3THW).square().sum().backward()


def resident(field: str) -> float:
    """Return a memory figure of this process [MB]."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1000


if __name__ == "__main__":
    main()
