"""Export an activity classifier, as `rxclip export-classifier` does, and find the classifier of a folder or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.export.check_windows import check_windows
from revalexo_clip.export.classifier import ExportedClassifier, build_classifier
from revalexo_clip.export.classifier_card import classifier_card
from revalexo_clip.export.classifier_description import ClassifierDescription
from revalexo_clip.export.description import DESCRIPTION
from revalexo_clip.export.loading import load_classifier
from revalexo_clip.export.onnx import CheckWindows, require_onnx
from revalexo_clip.export.writing import metrics_of, origin_of, write_exported
from revalexo_clip.reports.values import children
from revalexo_clip.runs.classifier_checkpoint import (
    ClassifierCheckpoint,
    is_classifier,
    load_classifier_checkpoint,
)
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.runs.options import optional_path

_LONG = ("classes", "confusion")
"""Tables of each set of windows that `config.json` does not repeat."""


@dataclass(frozen=True)
class ClassifierExport:
    """Result of an export."""

    files: tuple[Path, ...]
    """Files that were written."""
    description: ClassifierDescription
    """Content of `config.json`."""
    parameters: int
    """Number of parameters."""


def export_classifier(
    ckpt: str | Path | None = None,
    *,
    onnx: bool = False,
    out: str | Path | None = None,
    experiment_file: str | Path | None = None,
) -> ClassifierExport:
    """Write the activity classifier of a finetuning checkpoint to a folder.

    - `ckpt`: a checkpoint or a run folder; None for the newest finetuning run that has one.
    - `onnx`: also write `classifier.onnx`, after onnxruntime has given the same outputs as torch.
    - `out`: output folder; the default is `export/classifier` in the run folder.
    - `experiment_file`: file that defines components that the checkpoint uses.

    Raises `ConfigError` if an argument is wrong, or the classifier uses video; `DataError` if a file cannot be read or
    written.
    """
    if onnx:
        require_onnx("--onnx")
    checkpoint = _read_checkpoint(optional_path(ckpt), experiment_file)
    classifier = classifier_of(checkpoint)
    folder = checked_folder(folder_of(checkpoint.path) / "export" / "classifier" if out is None else Path(out))
    checked = _check_windows(checkpoint, classifier.description) if onnx else None
    files, description = write_exported(folder, classifier, classifier.description, classifier_card, checked)
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return ClassifierExport(files, description, parameters)


def find_classifier(where: str | Path, experiment_file: str | Path | None = None) -> ExportedClassifier:
    """Load the classifier of an exported folder, or that of a finetuning run or checkpoint.

    Raises `ConfigError` or `DataError`, which name the file, if there is none or it uses video.
    """
    where = Path(where)
    if (where / DESCRIPTION).is_file():
        return load_classifier(where, experiment_file)
    return classifier_of(_read_checkpoint(where, experiment_file))


def _read_checkpoint(where: Path | None, experiment_file: str | Path | None) -> ClassifierCheckpoint:
    file = optional_path(experiment_file)
    if file is not None:
        import_experiment_file(file)
    return load_classifier_checkpoint(find_checkpoint(where, suits=is_classifier), file)


def classifier_of(checkpoint: ClassifierCheckpoint) -> ExportedClassifier:
    """Return the classifier of a checkpoint, in eval mode. Raises `ConfigError` if it uses video."""
    described = checkpoint.description
    experiment = described.experiment
    if described.imu is None or described.imu_spec is None or described.video is not None:
        raise ConfigError(
            f"{checkpoint.path} classifies windows of {'IMU and video' if described.imu else 'video'}; only "
            "classifiers of IMU alone can be exported (modality=imu; see distillation for one that learns from video)"
        )
    model = checkpoint.build_model()
    classifier = build_classifier(
        ClassifierDescription(
            encoder=described.imu,
            embed_dim=described.embed_dim,
            head=experiment.head,
            imu=described.imu_spec,
            labels=described.activities,
            trained_labels=described.trained_activities,
            horizons=described.horizons,
            files=experiment.data.file_format(),
            origin=origin_of(checkpoint, described.has_seen, _without_tables(metrics_of(checkpoint.path))),
        )
    )
    assert model.imu is not None
    classifier.encoder, classifier.head = model.imu, model.heads[0]
    return classifier.eval()


def _without_tables(metrics: JsonObject | None) -> JsonObject | None:
    """Return results without confusion matrices and results of each activity, which are long."""
    if metrics is None:
        return None
    horizons: list[JsonValue] = [
        {name: _shorter(value) for name, value in found.items()} for found in children(metrics, "horizons")
    ]
    return {**metrics, "horizons": horizons}


def _shorter(found: JsonValue) -> JsonValue:
    return {key: value for key, value in found.items() if key not in _LONG} if isinstance(found, dict) else found


def _check_windows(checkpoint: ClassifierCheckpoint, description: ClassifierDescription) -> CheckWindows:
    experiment = checkpoint.description.experiment
    return check_windows(
        lambda: experiment.data.labelled("val", experiment.seed), description.imu, None, description.inputs
    )
