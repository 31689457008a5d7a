"""Real runs of `rxclip pretrain`, each as a process: killed and resumed, and waiting for data."""

from __future__ import annotations

import csv
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.cases import BATCHES, EXPERIMENTS, QUICK
from benchmarks.gpu.report import Section
from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.synthetic import synthesize

LIMITS = {"resumed": 0.02, "CPU": 0.1}
"""Largest median difference of the loss of a step, relative to that of the other run. On a CPU, a resumed run is equal;
on a GPU, some kernels add in an order that changes from run to run."""
PATIENCE = 1800.0
"""Longest time that a run may take [s]."""


class Process:
    """A pretraining in a folder of its own, on a device."""

    def __init__(self, folder: Path, experiment: str, data: Path, device: str, settings: Sequence[str]) -> None:
        self.folder = folder
        self.experiment = str(EXPERIMENTS / f"{experiment}.py")
        accelerator = "gpu" if device == "cuda" else "cpu"
        overrides = [f"data.root={data}", f"trainer.accelerator={accelerator}", "trainer.devices=1", *settings]
        self.overrides = [word for override in overrides for word in ("--set", override)]
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start it; what it prints is in `printed.txt`."""
        command = [sys.executable, "-m", "revalexo_clip", "pretrain", self.experiment, *options, *self.overrides]
        source = str(EXPERIMENTS.parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
        with (self.folder / "printed.txt").open("ab") as printed:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=printed, stderr=printed)  # noqa: S603

    def finish(self, *options: str) -> None:
        """Run it to its end. Raises `RuntimeError` if it fails."""
        if self.start(*options).wait(PATIENCE) != 0:
            raise RuntimeError(f"{self.experiment} failed:\n{self.printed()[-3000:]}")

    def kill_after(self, steps: int) -> None:
        """Start it, and kill it by SIGKILL after a number of logged steps. Raises `RuntimeError` if it ends before."""
        process, begun = self.start(), time.monotonic()
        while len(self.losses()) < steps:
            if process.poll() is not None:
                raise RuntimeError(f"{self.experiment} ended before it was killed:\n{self.printed()[-3000:]}")
            if time.monotonic() - begun > PATIENCE:
                process.kill()
                raise RuntimeError(f"{self.experiment} took no {steps} steps within {PATIENCE:.0f} s")
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def printed(self) -> str:
        """Return what it printed."""
        return (self.folder / "printed.txt").read_text(encoding="utf-8", errors="replace")

    def logged(self, metric: str) -> list[float]:
        """Return the logged values of a metric."""
        path = self.folder / "runs" / "latest" / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [float(row[metric]) for row in csv.DictReader(file) if row.get(metric)]

    def losses(self) -> list[float]:
        """Return the loss of each step."""
        return self.logged("train/loss_step")


def every_step() -> tuple[str, ...]:
    """Return the setting that logs the loss of every step."""
    return ("trainer.log_every=1",) if "log_every" in TrainerConfig.model_fields else ()


def make_data(folder: Path, quick: bool) -> Path:
    """Write and pack recordings of synthetic subjects: 01 to 04 train, 05 validates."""
    data = folder / "data"
    synthesize(data, subjects=3 if quick else 5, clips=2 if quick else 12)
    pack(data)
    return data


def split(quick: bool) -> tuple[str, ...]:
    """Return the settings of the split of `make_data`."""
    train, val = ("01,02", "03") if quick else ("01,02,03,04", "05")
    return (f"data.train_subjects={train}", f"data.val_subjects={val}")


def resumed_section(folder: Path, data: Path, device: str, quick: bool) -> Section:
    """Pretrain the demo, uninterrupted, killed and resumed, and on the CPU; compare the losses of all steps."""
    section = Section(
        "Pretraining of the demo, killed and resumed",
        "experiments/demo.py on synthetic subjects, in processes; one is killed by SIGKILL in the middle. Differences "
        f"of the loss of a step are relative; medians may be at most {LIMITS['resumed']:g} for the resumed run and "
        f"{LIMITS['CPU']:g} for the CPU.",
        ["run", "steps", "first loss", "last loss", "median difference", "largest difference"],
    )
    settings = [*split(quick), "data.test_subjects=", "trainer.checkpoint_minutes=0", *every_step()]
    settings += ["batch_size=16", "batches.windows=4", "trainer.max_epochs=2"] if quick else ["trainer.max_epochs=3"]
    whole = Process(folder / "whole", "demo", data, device, settings)
    whole.finish()
    section.rows.append(_row(f"uninterrupted, {device}", whole.losses(), None))
    killed = Process(folder / "killed", "demo", data, device, settings)
    killed.kill_after(len(whole.losses()) // 2)
    killed.finish("--resume")
    _compare(section, f"killed and resumed, {device}", killed, whole, LIMITS["resumed"])
    if device != "cpu":
        on_cpu = Process(folder / "cpu", "demo", data, "cpu", settings)
        on_cpu.finish()
        _compare(section, "uninterrupted, CPU in float32", on_cpu, whole, LIMITS["CPU"])
    return section


def _compare(section: Section, name: str, run: Process, whole: Process, limit: float) -> None:
    losses, expected = run.losses(), whole.losses()
    section.rows.append(_row(name, losses, expected))
    if len(losses) != len(expected):
        section.failures.append(f"{name}: {len(losses)} steps instead of {len(expected)}")
    elif statistics.median(differences(losses, expected)) > limit:
        section.failures.append(f"{name}: the losses differ by more than {limit:g}")


def _row(name: str, losses: list[float], expected: list[float] | None) -> list[str]:
    cells = [name, str(len(losses)), f"{losses[0]:.4f}", f"{losses[-1]:.4f}"]
    if expected is None:
        return [*cells, "-", "-"]
    found = differences(losses, expected)
    return [*cells, f"{statistics.median(found):.1e}", f"{max(found):.1e}"]


def differences(losses: Sequence[float], expected: Sequence[float]) -> list[float]:
    """Return the relative differences of the steps that both have."""
    return [abs(one - other) / max(abs(other), 1e-12) for one, other in zip(losses, expected, strict=False)]


def waiting_section(folder: Path, data: Path, device: str, quick: bool) -> Section:
    """Pretrain each experiment from a pack, and report its speed and its share of waiting for data."""
    workers = 1 if quick else max(min((os.cpu_count() or 1) - 1, 16), 1)
    section = Section(
        "Whole runs",
        f"rxclip pretrain from a pack, {workers} loader workers, second of two epochs: windows per second including "
        "augmentation and logging, and the share of the time in which the next batch was not ready.",
        ["experiment", "batch", "windows/s", "waiting for data"],
    )
    for name, (full, tiny) in BATCHES.items():
        batch = min(tiny if quick else full, 64)
        settings = [*split(quick), "trainer.max_epochs=2", f"data.workers={workers}", f"batch_size={batch}"]
        settings += [f"data.windows_per_clip={8 if quick else 32}", *(QUICK[name] if quick else ())]
        settings += ["video.weights=none"] if name != "motion" else []
        settings += [f"batches.windows={8 if quick else 4}"] if name == "motion" else []
        settings += [f"micro_batch={batch}"] if name == "mvit_base" else []
        run = Process(folder / f"run-{name}", name, data, device, settings)
        run.finish()
        rates = re.findall(r"([\d,]+) samples/s", run.printed())
        shares = run.logged("train/waiting")
        section.rows.append([name, str(batch), rates[-1] if rates else "-", f"{shares[-1]:.1%}" if shares else "-"])
    return section
