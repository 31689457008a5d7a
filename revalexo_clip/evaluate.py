"""`rxclip evaluate`: retrieval over a whole evaluation set, from nothing but a checkpoint and the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from pydantic import ValidationError

from revalexo_clip.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.component import JsonObject, describe
from revalexo_clip.data import WindowDataset
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.experiment_file import apply_overrides, import_experiment_file
from revalexo_clip.retrieval import retrieve, retrieve_by_subject
from revalexo_clip.run_folder import find_checkpoint, folder_of
from revalexo_clip.training.data import evaluation_loader
from revalexo_clip.training.devices import devices_available
from revalexo_clip.training.embedding import EmbeddingModule, Gallery
from revalexo_clip.types import Split

_MEASURED = ("mean", "std")
"""What a spec holds of the training data, and of no other."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and where it was written."""

    metrics: JsonObject
    path: Path
    """`metrics.json`."""


def evaluate(
    ckpt: Path | None = None,
    *,
    data_root: Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: Path | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on its test subjects, or, where it names none, on its validation subjects.

    `ckpt` is a checkpoint, a run folder, or None for the newest run. Raises `ConfigError` or `DataError`.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(find_checkpoint(ckpt), experiment_file)
    root = [] if data_root is None else [f"data.root={data_root}"]
    experiment = _edited(checkpoint.description.experiment, [*root, *overrides])
    split: Split = "test" if experiment.data.subjects("test") else "val"
    dataset = experiment.data.build(split, experiment.seed)
    _check_same_input(checkpoint, dataset)
    gallery = _embed(checkpoint, dataset, experiment)
    metrics = _measure(gallery, dataset) | {
        "checkpoint": str(checkpoint.path),
        "epoch": checkpoint.epoch,
        "split": split,
        "seen": {
            use: [subject for subject in seen if subject in dataset.clip_subjects]
            for use, seen in checkpoint.description.subjects.items()
        },
    }
    folder = folder_of(checkpoint.path) / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.json"
    path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return Evaluation(metrics, path)


def _edited(experiment: PretrainExperiment, overrides: Sequence[str]) -> PretrainExperiment:
    """The checkpoint's experiment with another root, other subjects or the like; never another model."""
    if not overrides:
        return experiment
    try:
        edited = PretrainExperiment.model_validate(apply_overrides(experiment.model_dump(mode="json"), overrides))
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    for field in ("imu", "video", "embed_dim", "loss"):
        if getattr(edited, field) != getattr(experiment, field):
            raise ConfigError(f"--set {field}: a checkpoint's {field} is what it was trained with")
    return edited


def _check_same_input(checkpoint: Checkpoint, dataset: WindowDataset) -> None:
    for trained, given in (
        (checkpoint.description.imu_spec, dataset.imu_spec),
        (checkpoint.description.video_spec, dataset.video_spec),
    ):
        for name, value in vars(trained).items():
            if name not in _MEASURED and getattr(given, name) != value:
                raise DataError(
                    f"{checkpoint.path} was trained with {type(trained).__name__} {name} = {value}, "
                    f"but these data have {getattr(given, name)}"
                )


def _embed(checkpoint: Checkpoint, dataset: WindowDataset, experiment: PretrainExperiment) -> Gallery:
    module = EmbeddingModule(checkpoint.build_model())
    loader = evaluation_loader(
        dataset, batch_size=experiment.micro_batch or experiment.batch_size, workers=experiment.data.workers
    )
    with devices_available():
        trainer = pl.Trainer(
            accelerator=experiment.trainer.accelerator,
            devices=1,
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    trainer.validate(module, dataloaders=loader, verbose=False)
    assert module.gallery is not None
    return module.gallery


def _measure(gallery: Gallery, dataset: WindowDataset) -> JsonObject:
    subjects = [dataset.clip_subjects[clip] for clip in gallery.clip_N.tolist()]
    imu_ND, video_ND = gallery.imu_ND, gallery.video_ND
    return {
        "windows": len(subjects),
        "clips": len(dataset.clip_names),
        "retrieval": retrieve(imu_ND, video_ND).as_metrics(),
        "subjects": {
            subject: {"windows": subjects.count(subject), **figures.as_metrics()}
            for subject, figures in retrieve_by_subject(imu_ND, video_ND, subjects).items()
        },
    }
