"""Export one encoder of a checkpoint, as `rxclip export-encoder` does.

The folder holds the weights, a description and a model card and, on request, the same encoder as ONNX; or it holds a
state dict for RevalExo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import atomically, checked_folder
from revalexo_clip.core.types import Modality
from revalexo_clip.export.check_windows import check_windows
from revalexo_clip.export.description import EncoderDescription
from revalexo_clip.export.encoder import PretrainedEncoder, build_encoder
from revalexo_clip.export.model_card import model_card
from revalexo_clip.export.model_card_results import PROBE, probe_summary
from revalexo_clip.export.onnx import CheckWindows, require_onnx
from revalexo_clip.export.own_files import REVALEXO_FILE, refuse_files_of_others
from revalexo_clip.export.writing import Written, metrics_of, origin_of, own_tensors, write_exported
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM, DeepConvLSTMNet
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import is_classifier
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.runs.options import optional_path

Format = Literal["safetensors", "onnx", "revalexo"]

_NOT_EXPORTED = ("probe", "activities")
"""Long tables of results, which `config.json` does not repeat."""


@dataclass(frozen=True)
class Export:
    """Result of an export."""

    files: tuple[Path, ...]
    """Files that were written."""
    description: EncoderDescription
    """Content of `config.json`."""
    parameters: int
    """Number of parameters."""


def write_folder(
    folder: Path, encoder: PretrainedEncoder, onnx: CheckWindows | None = None
) -> Written[EncoderDescription]:
    """Write a folder for `load_encoder`, see `write_exported`."""
    return write_exported(folder, encoder, encoder.description, model_card, onnx)


def export_encoder(
    modality: Modality,
    ckpt: str | Path | None = None,
    *,
    format: Format = "safetensors",  # noqa: A002 (the command line's own word)
    out: str | Path | None = None,
    experiment_file: str | Path | None = None,
) -> Export:
    """Write one encoder of a pretraining checkpoint to a folder.

    - `modality`: encoder to export, `imu` or `video`.
    - `ckpt`: a checkpoint or a run folder; None for the newest pretraining run that has one.
    - `format`: `safetensors` for `load_encoder`; `onnx` for the same with `encoder.onnx`; `revalexo` for a state dict
      that RevalExo loads.
    - `out`: output folder; the default is `export/<modality>` in the run folder.
    - `experiment_file`: file that defines components that the checkpoint uses.

    Raises `ConfigError` if an argument is wrong or the format cannot express the encoder; `DataError` if a file cannot
    be read or written.
    """
    for name, value, choices in (("modality", modality, get_args(Modality)), ("format", format, get_args(Format))):
        if value not in choices:
            raise ConfigError(f"{name}: '{value}' is not one of {', '.join(choices)}")
    if format == "onnx":
        require_onnx()
    file = None if experiment_file is None else Path(experiment_file)
    if file is not None:
        import_experiment_file(file)
    path = find_checkpoint(optional_path(ckpt), suits=lambda found: not is_classifier(found))
    checkpoint = load_checkpoint(path, file)
    if modality == "video" and checkpoint.description.experiment.video is None:
        raise ConfigError(f"{checkpoint.path} was pretrained on IMU alone and has no video encoder; use --modality imu")
    run = folder_of(checkpoint.path)
    encoder = _take_tower(checkpoint, modality, _metrics_of(checkpoint.path, modality))
    description = encoder.description
    folder = checked_folder(run / "export" / modality if out is None else Path(out))
    if format == "revalexo":
        written = _write_revalexo(folder, encoder)
    else:
        written = write_folder(
            folder, encoder, _check_windows(checkpoint, description.inputs) if format == "onnx" else None
        )
    tower = encoder.encoder if format == "revalexo" else encoder  # RevalExo has no projection head
    return Export(written.files, written.description, sum(parameter.numel() for parameter in tower.parameters()))


def _describe(
    checkpoint: Checkpoint, modality: Modality, metrics: JsonObject | None, token_times: tuple[float, ...] | None
) -> EncoderDescription:
    described = checkpoint.description
    experiment = described.experiment
    imu = modality == "imu"
    encoder = experiment.imu if imu else experiment.video
    assert encoder is not None, "see `export_encoder`"
    return EncoderDescription(
        modality=modality,
        encoder=encoder,
        embed_dim=experiment.embed_dim,
        imu=described.imu_spec if imu else None,
        video=None if imu else described.video_spec,
        headless=modality in experiment.headless,
        alone=experiment.video is None,
        tokens=experiment.tokens,
        token_times=token_times,
        files=experiment.data.file_format() if imu else None,
        origin=origin_of(checkpoint, described.subjects, metrics),
    )


def _take_tower(checkpoint: Checkpoint, modality: Modality, metrics: JsonObject | None) -> PretrainedEncoder:
    model = checkpoint.build_model()
    imu = modality == "imu"
    tokens = model.imu_tokens if imu else model.video_tokens
    encoder = build_encoder(_describe(checkpoint, modality, metrics, None if tokens is None else tokens.time_S))
    tower, head = (model.imu, model.imu_head) if imu else (model.video, model.video_head)
    assert tower is not None, "see `export_encoder`"
    assert head is not None, "see `export_encoder`"
    encoder.encoder, encoder.head = tower, head
    encoder.token_head = tokens
    return encoder.eval()


def _metrics_of(checkpoint: Path, modality: Modality) -> JsonObject | None:
    """Return the results of the checkpoint without long tables, and those of the linear probe in short."""
    metrics = metrics_of(checkpoint)
    if metrics is None:
        return None
    probe = probe_summary(metrics.get("probe"), modality)
    return {name: value for name, value in metrics.items() if name not in _NOT_EXPORTED} | {PROBE: probe}


def _check_windows(checkpoint: Checkpoint, inputs: tuple[str, ...]) -> CheckWindows:
    described = checkpoint.description
    return check_windows(lambda: described.experiment.windows("val"), described.imu_spec, described.video_spec, inputs)


def _write_revalexo(folder: Path, encoder: PretrainedEncoder) -> Written[EncoderDescription]:
    """Write the state dict that RevalExo's downstream training loads. Its names are those of our DeepConvLSTM."""
    description = encoder.description
    if not isinstance(encoder.encoder, DeepConvLSTMNet):
        raise ConfigError(
            f"--format revalexo requires a DeepConvLSTM; the {description.modality} encoder of this checkpoint is of "
            f"type {type(description.encoder).__name__}"
        )
    if description.imu is not None and description.imu.mean is not None:
        raise ConfigError(
            "--format revalexo cannot hold the mean and deviation with which this encoder standardises its channels; "
            "pretrain with standardize=false, or export as safetensors"
        )
    if isinstance(description.encoder, DeepConvLSTM):
        _refuse_sizes_of_others(description.encoder, description.embed_dim)
    path = folder / REVALEXO_FILE
    refuse_files_of_others(folder, (REVALEXO_FILE,))
    # An open file, because torch would write the temporary name of a path into the file.
    with atomically(path) as temporary, temporary.open("wb") as file:
        torch.save(own_tensors(encoder.encoder), file)
    return Written((path,), description)


def _refuse_sizes_of_others(encoder: DeepConvLSTM, embed_dim: int) -> None:
    """Raise `ConfigError` if RevalExo's own encoder cannot have these sizes."""
    if encoder.projector and encoder.hidden == embed_dim:
        raise ConfigError(
            f"--format revalexo cannot express this encoder: its embedding size, {embed_dim}, equals the size of its "
            "LSTM. RevalExo's encoder then has no feature_projector, would skip ours without a message and give other "
            "features; pretrain with imu.projector=false or another embed_dim, or export as safetensors"
        )
    if len(set(encoder.kernels)) > 1:
        raise ConfigError(
            "--format revalexo cannot express this encoder: its convolutions have kernels "
            f"{', '.join(map(str, encoder.kernels))}, and those of RevalExo's encoder have one length; export as "
            "safetensors"
        )
