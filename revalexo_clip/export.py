"""`rxclip export-encoder`: one tower of a checkpoint, as a folder that others can use without the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
from pydantic import JsonValue
from safetensors.torch import save
from torch import Tensor, nn

from revalexo_clip import __version__
from revalexo_clip.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.component import JsonObject
from revalexo_clip.encoders.deep_conv_lstm import DeepConvLSTMNet
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment_file import import_experiment_file
from revalexo_clip.exported import (
    CARD,
    DESCRIPTION,
    WEIGHTS,
    EncoderDescription,
    Origin,
    PretrainedEncoder,
    build_encoder,
)
from revalexo_clip.files import atomically, sha256_of
from revalexo_clip.model_card import model_card
from revalexo_clip.run_folder import find_checkpoint, folder_of
from revalexo_clip.types import Modality

Format = Literal["safetensors", "revalexo"]
REVALEXO_FILE = "encoder.pt"


@dataclass(frozen=True)
class Export:
    """What was written."""

    files: tuple[Path, ...]
    description: EncoderDescription
    parameters: int


def export_encoder(
    modality: Modality,
    ckpt: Path | None = None,
    *,
    format: Format = "safetensors",  # noqa: A002 (the command line's own word)
    out: Path | None = None,
    experiment_file: Path | None = None,
) -> Export:
    """Write one encoder of a checkpoint to `out`, or to `export/<modality>` in the checkpoint's run folder.

    `ckpt` is a checkpoint, a run folder, or None for the newest run. Raises `ConfigError` or `DataError`.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(find_checkpoint(ckpt), experiment_file)
    run = folder_of(checkpoint.path)
    description = _describe(checkpoint, modality, _metrics_of(run, checkpoint.path))
    encoder = _take_tower(checkpoint, description)
    folder = out or run / "export" / modality
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: --out names a folder, and this is a file")
    write = _write_revalexo if format == "revalexo" else _write_folder
    files = write(folder, description, encoder)
    written = encoder.encoder if format == "revalexo" else encoder  # without the projection head, or with it
    return Export(files, description, sum(parameter.numel() for parameter in written.parameters()))


def _describe(checkpoint: Checkpoint, modality: Modality, metrics: JsonObject | None) -> EncoderDescription:
    described = checkpoint.description
    experiment = described.experiment
    imu = modality == "imu"
    return EncoderDescription(
        modality=modality,
        encoder=experiment.imu if imu else experiment.video,
        embed_dim=experiment.embed_dim,
        imu=described.imu_spec if imu else None,
        video=None if imu else described.video_spec,
        origin=Origin(
            experiment=experiment.name,
            checkpoint=checkpoint.path.name,
            epoch=checkpoint.epoch,
            step=checkpoint.step,
            subjects=described.subjects,
            versions={
                "trained_with": described.version,
                "exported_with": __version__,
                "torch": metadata.version("torch"),
            },
            metrics=metrics,
        ),
    )


def _take_tower(checkpoint: Checkpoint, description: EncoderDescription) -> PretrainedEncoder:
    model = checkpoint.build_model()
    encoder = build_encoder(description)
    imu = description.modality == "imu"
    encoder.encoder = model.imu if imu else model.video
    encoder.head = model.imu_head if imu else model.video_head
    return encoder.eval()


def _metrics_of(run: Path, checkpoint: Path) -> JsonObject | None:
    """What `rxclip evaluate` last measured, if it was this very checkpoint that it measured.

    A path would not tell: `best.ckpt` is another file after each epoch that was better.
    """
    path = run / "evaluation" / "metrics.json"
    if not path.is_file():
        return None
    try:
        metrics: JsonValue = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); run `rxclip evaluate` again, or delete it") from error
    if not isinstance(metrics, dict) or metrics.get("sha256") != sha256_of(checkpoint):
        return None
    return {name: value for name, value in metrics.items() if name not in ("checkpoint", "sha256")}


def _write_folder(folder: Path, description: EncoderDescription, encoder: PretrainedEncoder) -> tuple[Path, ...]:
    # Without its description a folder is no encoder: gone first and written last, it never goes with other weights.
    (folder / DESCRIPTION).unlink(missing_ok=True)
    with atomically(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(_weights(encoder), metadata={"format": "pt"}))
    with atomically(folder / CARD) as temporary:
        temporary.write_text(model_card(description), encoding="utf-8")
    with atomically(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return tuple(folder / name for name in (WEIGHTS, DESCRIPTION, CARD))


def _write_revalexo(folder: Path, description: EncoderDescription, encoder: PretrainedEncoder) -> tuple[Path, ...]:
    """The state dict that RevalExo's downstream training loads: its names are those of our DeepConvLSTM."""
    if not isinstance(encoder.encoder, DeepConvLSTMNet):
        raise ConfigError(
            f"--format revalexo holds a DeepConvLSTM, and the {description.modality} encoder of this checkpoint is of "
            f"type {type(description.encoder).__name__}"
        )
    if description.imu is not None and description.imu.mean is not None:
        raise ConfigError(
            "--format revalexo has no place for the mean and deviation that this encoder standardises its channels "
            "with; pretrain with standardize=false for it, or export as safetensors"
        )
    path = folder / REVALEXO_FILE
    # Through an open file: given a path, torch writes the temporary name into the file.
    with atomically(path) as temporary, temporary.open("wb") as file:
        torch.save(_weights(encoder.encoder), file)
    return (path,)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Each tensor with memory of its own, which safetensors insists on where an encoder uses one twice."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}
