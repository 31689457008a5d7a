"""`rxclip pretrain`: from an experiment to a run folder with checkpoints."""

from __future__ import annotations

import json
import logging
import resource
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console
from torch import nn

from revalexo_clip import __version__
from revalexo_clip.checkpoint import KEY, AtomicCheckpointIO, Description
from revalexo_clip.console import counting
from revalexo_clip.data import WindowDataset
from revalexo_clip.errors import ConfigError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.model import DualEncoder
from revalexo_clip.report import counted
from revalexo_clip.run_folder import end_log, environment, forget_run_folder, kept_log, new_run_folder, start_log
from revalexo_clip.training.agreement import connected
from revalexo_clip.training.checkpoints import KeepBest, KeepLast
from revalexo_clip.training.collapse import NoticeCollapse
from revalexo_clip.training.compiling import compile_encoders
from revalexo_clip.training.data import PairsDataModule
from revalexo_clip.training.devices import share_cores
from revalexo_clip.training.draws import TrainingBatch
from revalexo_clip.training.module import ContrastiveModule
from revalexo_clip.training.progress import TrainingProgress
from revalexo_clip.training.trainer import averaging, build_trainer, early_stopping
from revalexo_clip.training.waiting import MeasureWaiting

log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class DryRun:
    """What a run would be, found by building it and taking one step."""

    parameters: dict[str, int]
    """Trainable parameters of each part."""
    shapes: dict[str, tuple[int, ...]]
    """Shapes of one process's batch."""
    train: str
    """How much there is to train on."""
    val: str
    """How much there is to validate on."""
    excluded: tuple[str, ...]
    """`subject/pair id` of the clips that were left out because they are bad."""
    steps_per_epoch: int
    epochs: int
    loss: float
    """Training loss of the one step."""
    peak_memory: int
    """Most memory the process has held [bytes]: the device's where there is a GPU, else the machine's."""

    def facts(self) -> dict[str, str]:
        """The rest of the summary, as text."""
        return {
            "train": self.train,
            "val": self.val,
            **({"left out": " ".join(self.excluded)} if self.excluded else {}),
            "steps": f"{self.steps_per_epoch} x {self.epochs} epochs",
            "loss of one batch": f"{self.loss:.3f}",
            "peak memory": f"{self.peak_memory / 2**30:.2f} GiB",
        }


@dataclass(frozen=True)
class _Parts:
    """Everything that training needs, built."""

    experiment: PretrainExperiment
    train: WindowDataset
    val: WindowDataset
    model: DualEncoder
    module: ContrastiveModule
    data: PairsDataModule

    @property
    def steps_per_epoch(self) -> int:
        return self.data.steps_per_epoch


def pretrain(experiment: PretrainExperiment, source: Path | None = None, console: Console | None = None) -> Path:
    """Train, and return the run folder. `source` is the experiment's file, kept with the run.

    Raises `ConfigError` or `DataError` before anything is written where the experiment cannot run.
    """
    with kept_log() as said:
        if experiment.data.unprepared():
            _build(experiment)  # long work is not begun for what cannot run
            _prepare(experiment, console or Console(stderr=True))
        parts = _build(experiment)
    folder = new_run_folder(experiment.name)
    try:
        trainer = build_trainer(
            experiment.trainer,
            [
                *averaging(experiment.trainer),
                KeepBest(folder / "checkpoints"),
                KeepLast(folder / "checkpoints"),
                NoticeCollapse(),
                MeasureWaiting(),
                TrainingProgress(console or Console(stderr=True), experiment.batch_size),
                *early_stopping(experiment.trainer),
            ],
            loggers=[
                CSVLogger(folder, name="", version=""),
                TensorBoardLogger(folder, name="", version="", sub_dir="tensorboard"),
            ],
            checkpoint_io=AtomicCheckpointIO(),
        )
        if trainer.is_global_zero:
            start_log(folder, said)
            _record(folder, parts, source)
            _announce(parts, folder)
        with connected():
            trainer.fit(parts.module, datamodule=parts.data)
    finally:
        end_log()
        forget_run_folder()
    return folder


def _prepare(experiment: PretrainExperiment, console: Console) -> None:
    leader = build_trainer(experiment.trainer, [], loggers=[]).is_global_zero
    with counting("packing", console) as on_progress:
        experiment.data.prepare(on_progress, leader=leader)


def dry_run(experiment: PretrainExperiment) -> DryRun:
    """Build everything, train on one batch, validate on one, write nothing."""
    parts = _build(experiment)
    shapes: dict[str, tuple[int, ...]] = {}
    trainer = build_trainer(
        experiment.trainer, [*averaging(experiment.trainer), _KeepShapes(shapes)], loggers=[], batches=1
    )
    with connected():
        trainer.fit(parts.module, datamodule=parts.data)
    return DryRun(
        parameters={
            "imu encoder": _count(parts.model.imu),
            "video encoder": _count(parts.model.video),
            "projection heads": _count(parts.model.imu_head) + _count(parts.model.video_head),
            "loss": _count(parts.module.loss),
        },
        shapes=shapes,
        train=_size(parts.train),
        val=_size(parts.val),
        excluded=(*parts.train.excluded, *parts.val.excluded),
        steps_per_epoch=parts.steps_per_epoch,
        epochs=experiment.trainer.max_epochs,
        loss=float(trainer.callback_metrics["train/loss"]),
        peak_memory=_peak_memory(),
    )


def _build(experiment: PretrainExperiment) -> _Parts:
    trainer = build_trainer(experiment.trainer, [], loggers=[])  # or the error that there are no such devices
    if isinstance(trainer.accelerator, CPUAccelerator):
        share_cores(trainer.world_size // trainer.num_nodes, experiment.data.workers)
    train, val = _windows(experiment, trainer.world_size)
    augmentation = experiment.build_augmentation(train.imu_spec, train.video_spec)
    imu_spec = train.imu_spec
    if experiment.standardize:
        mean, std = train.imu_statistics()
        imu_spec = replace(imu_spec, mean=mean, std=std)
    data = PairsDataModule(
        train,
        val,
        augmentation,
        batches=experiment.batches,
        batch_size=experiment.batch_size,
        micro_batch=experiment.micro_batch,
        seed=experiment.seed,
        workers=experiment.data.workers,
    )
    pl.seed_everything(experiment.seed, workers=True, verbose=False)
    model = experiment.build_model(imu_spec, train.video_spec)
    experiment.video.load_pretrained(model.video)
    if experiment.trainer.compile:
        compile_encoders(model)
    description = Description(
        version=__version__,
        experiment=experiment,
        imu_spec=imu_spec,
        video_spec=train.video_spec,
        activities=train.activities,
        subjects={"train": _subjects(train), "val": _subjects(val)},
        excluded={"train": tuple(train.excluded), "val": tuple(val.excluded)},
    )
    module = ContrastiveModule(
        experiment,
        model,
        experiment.loss.build(),
        augmentation,
        window=train.imu_spec.window,
        steps=data.steps_per_epoch * experiment.trainer.max_epochs,
        subjects=(train.clip_subjects, val.clip_subjects),
        described={KEY: description.model_dump_json()},
    )
    return _Parts(experiment, train, val, model, module, data)


def _windows(experiment: PretrainExperiment, processes: int) -> tuple[WindowDataset, WindowDataset]:
    """Training and validation windows, enough of them for all processes."""
    train = experiment.data.build("train", experiment.seed)
    val = experiment.data.build("val", experiment.seed)
    if len(train) < experiment.batch_size:
        raise ConfigError(
            f"batch_size: a batch of {experiment.batch_size} is larger than the training set, {len(train)} windows "
            f"of {len(train.clip_names)} clips; lower batch_size or raise data.windows_per_clip"
        )
    if experiment.batch_size < processes:  # which the experiment cannot know where it leaves `devices` open
        raise ConfigError(f"batch_size: {experiment.batch_size} pairs cannot be shared by {processes} devices")
    if len(val) < processes:
        raise ConfigError(
            f"data.val_subjects: {len(val)} validation windows cannot be shared by {processes} devices; lower "
            "trainer.devices or data.eval_stride"
        )
    if train.imu_spec != val.imu_spec:
        raise ConfigError("data: the training and validation recordings differ in their IMU channels")
    return train, val


def _subjects(dataset: WindowDataset) -> tuple[str, ...]:
    return tuple(sorted(set(dataset.clip_subjects)))


def _size(dataset: WindowDataset) -> str:
    short = f"; {dataset.left_out} clips too short" if dataset.left_out else ""
    bad = f"; {counted(len(dataset.excluded), 'bad clip')} left out" if dataset.excluded else ""
    clips = counted(len(dataset.clip_names), "clip")
    size = f"{counted(len(dataset), 'window')} of {clips}, subjects {' '.join(_subjects(dataset))}"
    return size + short + bad


def _record(folder: Path, parts: _Parts, source: Path | None) -> None:
    fingerprint = {"train": parts.train.fingerprint(), "val": parts.val.fingerprint()}
    found = json.dumps(environment() | {"data_fingerprint": fingerprint}, indent=2)
    (folder / "experiment.json").write_text(parts.experiment.to_json() + "\n", encoding="utf-8")
    (folder / "environment.json").write_text(found + "\n", encoding="utf-8")
    if source is not None:
        shutil.copyfile(source, folder / "experiment.py")


def _announce(parts: _Parts, folder: Path) -> None:
    log.info("train  %s", _size(parts.train))
    log.info("val    %s", _size(parts.val))
    log.info(
        "model  %s (%s) and %s (%s), D=%d",
        type(parts.experiment.imu).__name__,
        _parameters(parts.model.imu),
        type(parts.experiment.video).__name__,
        _parameters(parts.model.video),
        parts.experiment.embed_dim,
    )
    log.info(
        "run    %s: %s of %s, batch %d",
        folder,
        counted(parts.experiment.trainer.max_epochs, "epoch"),
        counted(parts.steps_per_epoch, "step"),
        parts.experiment.batch_size,
    )


class _KeepShapes(Callback):
    """Notes the shapes of the first batch."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: TrainingBatch, batch_idx: int
    ) -> None:
        windows = batch.windows
        self.shapes.update({"imu": tuple(windows.imu_BLC.shape), "video": tuple(windows.video_BTHWC.shape)})


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _parameters(module: nn.Module) -> str:
    everything, trained = sum(parameter.numel() for parameter in module.parameters()), _count(module)
    frozen = "" if trained == everything else f", {trained / 1e6:.1f} M of them trained"
    return f"{everything / 1e6:.1f} M parameters{frozen}"


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
