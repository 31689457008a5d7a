"""Cost of training besides the encoders: the loss of large batches, a second process, waiting for data.

    make bench-training

The loss is that of N pairs with D = 512, forward and backward in float32, compared with a plain form: one matrix of N x
N logits, two cross-entropies. Each size runs in a process of its own; memory is its peak above the memory in use when
the embeddings were made.
"""

from __future__ import annotations

import csv
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from revalexo_clip.core.platform import peak_memory
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.losses import InfoNCE, Overlap, SigLIP

DEMO = Path("data/demo")
SIZES = (64, 512, 4096, 32768)
PLAIN_UP_TO = 4096
"""Largest size of the plain form. Larger ones need 16 GiB and more (32,768 pairs), which many machines do not have."""
DIM = 512
WINDOW = 2.0
out = Console(width=100)


def main() -> None:
    """Print all results."""
    out.print(f"torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores", style="dim")
    losses()
    processes()
    waiting()


def losses() -> None:
    """Print time and memory by number of pairs."""
    table = Table(box=box.SIMPLE, title="The loss of N pairs, forward and backward")
    table.add_column("")
    for size in SIZES:
        table.add_column(f"N = {size:,}", justify="right")
    for form in ("plain InfoNCE", "InfoNCE", "SigLIP"):
        sizes = [size for size in SIZES if form != "plain InfoNCE" or size <= PLAIN_UP_TO]
        table.add_row(form, *(measured_apart(form, size) for size in sizes))
    out.print(table)


def measured_apart(form: str, size: int) -> str:
    """Measure time and memory of one loss in a new process."""
    command = [sys.executable, "-m", "benchmarks.training", form, str(size)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def measure(form: str, size: int) -> str:
    """Measure time and memory of one loss in this process."""
    imu_ND, video_ND = (normalize(torch.randn(size, DIM), dim=1).requires_grad_() for _ in range(2))
    # Ten windows per clip, as in an epoch of the published recipe: some of them overlap.
    overlap = Overlap(torch.arange(size) // 10, 10 * torch.rand(size, dtype=torch.float64), WINDOW)
    ours = {"InfoNCE": InfoNCE().build(), "SigLIP": SigLIP().build()}

    def step() -> None:
        loss = ours[form](imu_ND, video_ND, overlap) if form in ours else plain(imu_ND, video_ND, overlap)
        torch.autograd.backward(loss)

    before, times = peak_memory() or 0, []
    for _ in range(1 if size > 10_000 else 5):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return f"{1000 * statistics.median(times):,.1f} ms, {((peak_memory() or 0) - before) / 2**20:,.0f} MiB"


def plain(imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> Tensor:
    """Compute InfoNCE in both directions at a temperature of 0.1."""
    logits_NN = (imu_ND @ video_ND.T / 0.1).masked_fill(overlap.rows(slice(None)), float("-inf"))
    target_N = torch.arange(len(imu_ND))
    return (cross_entropy(logits_NN, target_N) + cross_entropy(logits_NN.T, target_N)) / 2


def processes() -> None:
    """Compare one process with two on the same contrastive batches and the same cores."""
    synthesize(DEMO, subjects=10, clips=10, seed=0)
    rates = {}
    for devices in (1, 2):
        log = pretrain("experiments/demo.py", "--devices", str(devices), "--set", "trainer.max_epochs=1") / "log.txt"
        found = re.findall(r"(\d+) samples/s", log.read_text(encoding="utf-8"))
        rates[devices] = int(found[-1])
    out.print(
        f"demo experiment, batches of 16 on CPU: {rates[1]} samples/s by one process, {rates[2]} by two that share the "
        f"same cores: {rates[2] / rates[1]:.2f} times as many"
    )


def waiting() -> None:
    """Measure the share of time spent waiting for data: published X3D-XS configuration, the demo's recordings."""
    synthesize(DEMO, subjects=10, clips=10, seed=0)
    subjects = ",".join(f"{number:02}" for number in range(1, 9))
    overrides = (
        *(f"data.root={DEMO}", f"data.train_subjects={subjects}", "data.val_subjects=09", "video.weights=none"),
        *("trainer.max_epochs=1", "data.workers=1", "micro_batch=16"),
    )
    run = pretrain("experiments/x3d_xs.py", *(word for override in overrides for word in ("--set", override)))
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        shares = [float(row["train/waiting"]) for row in csv.DictReader(file) if row.get("train/waiting")]
    out.print(
        f"x3d_xs on the demo's recordings, one epoch, one loader worker: {shares[-1]:.1%} of the time waiting for data"
    )


def pretrain(*arguments: str) -> Path:
    """Run `rxclip pretrain`, and return the run folder."""
    command = [sys.executable, "-m", "revalexo_clip", "pretrain", *arguments]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr  # noqa: S603
    found = re.search(r"^done +(\S+)$", said, flags=re.MULTILINE)
    assert found
    return Path(found[1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1], int(sys.argv[2])))
    else:
        main()
