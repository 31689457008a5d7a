"""`rxclip evaluate`: retrieval over a whole evaluation set, from nothing but a checkpoint and the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from pydantic import ValidationError

from revalexo_clip.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.component import JsonObject, describe
from revalexo_clip.data import WindowDataset
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.experiment_file import apply_overrides, import_experiment_file
from revalexo_clip.files import atomically, sha256_of
from revalexo_clip.retrieval import partner_ranks, score
from revalexo_clip.run_folder import find_checkpoint, folder_of
from revalexo_clip.training.data import evaluation_loader
from revalexo_clip.training.devices import devices_available
from revalexo_clip.training.embedding import EmbeddingModule, Gallery
from revalexo_clip.types import Split

OnProgress = Callable[[int, int], None]
"""Called with the batches that are done, and with all there are."""

_ADJUSTABLE = ("data", "batch_size", "micro_batch", "trainer")
"""Fields of an experiment that say what is evaluated and how; the others say what the checkpoint is."""
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
    on_progress: OnProgress = lambda done, total: None,
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
    gallery = _embed(checkpoint, dataset, experiment, on_progress)
    metrics = _measure(gallery, dataset) | {
        "checkpoint": str(checkpoint.path),
        "sha256": sha256_of(checkpoint.path),
        "epoch": checkpoint.epoch,
        "split": split,
        "seen": {
            use: [subject for subject in seen if subject in dataset.clip_subjects]
            for use, seen in checkpoint.description.subjects.items()
        },
    }
    path = folder_of(checkpoint.path) / "evaluation" / "metrics.json"
    with atomically(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return Evaluation(metrics, path)


def _edited(experiment: PretrainExperiment, overrides: Sequence[str]) -> PretrainExperiment:
    """The checkpoint's experiment with another root, other subjects or the like; never another model."""
    if not overrides:
        return experiment
    try:
        edited = PretrainExperiment.model_validate(apply_overrides(experiment.model_dump(mode="json"), overrides))
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    for field in type(experiment).model_fields:
        if field not in _ADJUSTABLE and getattr(edited, field) != getattr(experiment, field):
            raise ConfigError(
                f"--set {field}: a checkpoint's {field} is what it was trained with; an evaluation can set "
                f"{', '.join(_ADJUSTABLE)}"
            )
    return edited


def _check_same_input(checkpoint: Checkpoint, dataset: WindowDataset) -> None:
    described = checkpoint.description
    for modality, trained, given in (
        ("IMU", vars(described.imu_spec), vars(dataset.imu_spec)),
        ("video", vars(described.video_spec), vars(dataset.video_spec)),
    ):
        for name, value in trained.items():
            if name not in _MEASURED and given[name] != value:
                raise DataError(
                    f"these data are not what {checkpoint.path} was trained on: "
                    f"{modality} {name}: {_difference(value, given[name])}"
                )


def _difference(trained: object, given: object) -> str:
    """How two values of a field differ: lists by what only one of them has, or by the first place where they part."""
    if not isinstance(trained, tuple) or not isinstance(given, tuple):
        return f"{trained} then, {given} here"
    missing, new = (sorted(map(str, set(one) - set(other))) for one, other in ((trained, given), (given, trained)))
    if missing or new:
        told = (("missing here", missing), ("only here", new))
        return "; ".join(f"{', '.join(names)} {what}" for what, names in told if names)
    place = next((i for i, (one, other) in enumerate(zip(trained, given, strict=False)) if one != other), 0)
    return f"another order, number {place + 1} was {trained[place]} and is {given[place]} here"


def _embed(
    checkpoint: Checkpoint, dataset: WindowDataset, experiment: PretrainExperiment, on_progress: OnProgress
) -> Gallery:
    module = EmbeddingModule(checkpoint.build_model())
    loader = evaluation_loader(
        dataset, batch_size=experiment.micro_batch or experiment.batch_size, workers=experiment.data.workers
    )
    with devices_available():
        trainer = pl.Trainer(
            accelerator=experiment.trainer.accelerator,
            devices=1,
            callbacks=[_Progress(on_progress, len(loader))],
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    trainer.validate(module, dataloaders=loader, verbose=False)
    gallery = module.gallery
    assert gallery is not None
    for modality, embedding_ND in (("IMU", gallery.imu_ND), ("video", gallery.video_ND)):
        if not embedding_ND.isfinite().all():
            raise DataError(f"{checkpoint.path}: its {modality} embeddings are not finite; did its training diverge?")
    return gallery


class _Progress(Callback):
    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self.on_progress = on_progress
        self.done = 0
        self.total = total

    def on_validation_batch_end(self, *_: object, **__: object) -> None:
        """One batch more."""
        self.done += 1
        self.on_progress(self.done, self.total)


def _measure(gallery: Gallery, dataset: WindowDataset) -> JsonObject:
    subjects = [dataset.clip_subjects[clip] for clip in gallery.clip_N.tolist()]
    rows = {subject: [row for row, own in enumerate(subjects) if own == subject] for subject in sorted(set(subjects))}
    ranks = partner_ranks(gallery.imu_ND, gallery.video_ND)
    return {
        "windows": len(subjects),
        "clips": len(dataset.clip_names),
        "retrieval": score(ranks).as_metrics(),
        "subjects": {subject: {"windows": len(own), **score(ranks, own).as_metrics()} for subject, own in rows.items()},
    }
