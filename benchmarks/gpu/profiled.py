"""A profile of ten steady steps of a real training: where the time goes, and every wait of the host for the GPU."""

from __future__ import annotations

import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.cases import EXPERIMENTS, QUICK
from benchmarks.gpu.report import Section
from benchmarks.gpu.runs import split
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.training.metrics_file import MetricsFile
from revalexo_clip.training.trainer import build_trainer

WARM_UP, STEPS = 5, 10
TOP = 15
ROOT = Path(__file__).parents[2]


class ProfiledSteps(Callback):
    """Profiles the steps after a warm-up, and records where the host waits for the GPU in them."""

    def __init__(self, device: torch.device) -> None:
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self.profile = profile(activities=activities)
        self.device = device
        self.waits: Counter[str] = Counter()
        self.seconds = 0.0
        self._steps = 0
        self._watch = watched_host(self.waits, device)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Start after the warm-up."""
        if self._steps == WARM_UP:
            self.profile.start()
            self.seconds = -time.perf_counter()
            self._watch.__enter__()
        self._steps += 1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Stop after the last step."""
        if self._steps == WARM_UP + STEPS:
            self._watch.__exit__(None, None, None)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds += time.perf_counter()
            self.profile.stop()


@contextmanager
def watched_host(waits: Counter[str], device: torch.device) -> Iterator[None]:
    """Count, by place in the source, the calls for which the host waits for the GPU. There are none on a CPU."""
    if device.type != "cuda":
        yield
        return

    def count(message: Warning | str, *_: object, **__: object) -> None:
        if "called a synchronizing" in str(message):
            waits[place_of(traceback.extract_stack())] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def place_of(stack: traceback.StackSummary) -> str:
    """Return the innermost line of this project in a stack, and what was called there; else the innermost of all."""
    frames = [frame for frame in stack if frame.filename not in (__file__, warnings.__file__)]
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "revalexo_clip")]
    frame = own[-1] if own else frames[-1]
    path = Path(frame.filename)
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(*path.parts[-3:])
    return f"{name}:{frame.lineno}: {(frame.line or '').strip()[:70]}"


def profile_sections(folder: Path, data: Path, device: torch.device, quick: bool) -> list[Section]:
    """Profile the training of `x3d_xs` and of `motion`."""
    sections = []
    for name in ("x3d_xs", "motion"):
        found = _profiled(_experiment(name, data, device, quick), folder, device)
        sections += [_time_section(name, found), _waits_section(name, found)]
    return sections


def _experiment(name: str, data: Path, device: torch.device, quick: bool) -> PretrainExperiment:
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    settings = [f"data.root={data}", *split(quick), f"trainer.accelerator={accelerator}", "trainer.devices=1"]
    settings += ["data.windows_per_clip=32", "data.workers=1", *(QUICK[name] if quick else ())]
    settings += ["batch_size=8", "batches.windows=4"] if name == "motion" and quick else []
    settings += ["batch_size=48", "batches.windows=12"] if name == "motion" and not quick else []
    settings += ["video.weights=none", f"batch_size={4 if quick else 64}"] if name == "x3d_xs" else []
    return load_experiment(str(EXPERIMENTS / f"{name}.py"), settings)


def _profiled(experiment: PretrainExperiment, folder: Path, device: torch.device) -> ProfiledSteps:
    steps = ProfiledSteps(device)
    setup = build_setup(experiment)
    logger = MetricsFile(folder / f"{experiment.name}.csv")
    trainer = build_trainer(experiment.trainer, [steps], loggers=[logger], batches=WARM_UP + STEPS)
    trainer.limit_val_batches = 0
    trainer.fit(setup.module, datamodule=setup.data)
    return steps


def _time_section(name: str, found: ProfiledSteps) -> Section:
    on_gpu = found.device.type == "cuda"
    unit = "GPU" if on_gpu else "CPU"
    section = Section(
        f"Where the time of {name} goes",
        f"{STEPS} steps of a real training after {WARM_UP} others: {unit} time of each operation without those that it "
        "calls.",
        ["operation", "calls per step", f"{unit} time per step [ms]", "share"],
    )
    events = found.profile.key_averages()
    times = [  # kernels have rows of their own, whose time is that of the operations that launched them
        (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count, event.key)
        for event in events
        if str(event.device_type).endswith("CPU")
    ]
    total = sum(used for used, _, _ in times) or 1
    section.note += (
        f" A step takes {1000 * found.seconds / STEPS:.1f} ms, {total / STEPS / 1000:.1f} ms of {unit} time."
    )
    for used, count, key in sorted(times, reverse=True)[:TOP]:
        section.rows.append([key[:60], f"{count / STEPS:g}", f"{used / STEPS / 1000:.3f}", f"{used / total:.1%}"])
    return section


def _waits_section(name: str, found: ProfiledSteps) -> Section:
    on_gpu = found.device.type == "cuda"
    note = "Lines that wait for the GPU, by torch.cuda.set_sync_debug_mode." if on_gpu else "Not measured on a CPU."
    section = Section(f"Waits of the host in {name}", note, ["line", "waits per step"])
    section.rows = [[place, f"{count / STEPS:g}"] for place, count in found.waits.most_common()]
    return section
