"""`rxclip export-encoder`: one tower of a checkpoint, as a folder that others can use without the rest.

Writing an encoder's folder: weights, description, card and, on request, the same for other runtimes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import JsonValue
from safetensors.torch import save
from torch import Tensor, nn

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically, sha256_of, write_json
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.core.version import __version__
from revalexo_clip.export import (
    CARD,
    DESCRIPTION,
    ONNX,
    WEIGHTS,
    EncoderDescription,
    Origin,
    PretrainedEncoder,
    build_encoder,
)
from revalexo_clip.export.model_card import model_card
from revalexo_clip.export.onnx import CheckWindows, require_onnx, write_onnx
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTMNet
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint, folder_of


class Written(NamedTuple):
    """What was written."""

    files: tuple[Path, ...]
    description: EncoderDescription


def checked_folder(folder: Path) -> Path:
    """A folder to write to, there or not. Raises `ConfigError` where it is a file."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: --out names a folder, and this is a file")
    return folder


def write_folder(folder: Path, encoder: PretrainedEncoder, onnx: CheckWindows | None = None) -> Written:
    """Write what `load_encoder` reads and, with windows to check it on, `encoder.onnx`."""
    description = encoder.description
    # Without its description a folder is no encoder: gone first and written last, it never goes with other weights.
    (folder / DESCRIPTION).unlink(missing_ok=True)
    (folder / ONNX).unlink(missing_ok=True)
    if onnx is not None:
        description = description.model_copy(update={"onnx": write_onnx(folder / ONNX, encoder, onnx)})
    with atomically(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(own_tensors(encoder), metadata={"format": "pt"}))
    with atomically(folder / CARD) as temporary:
        temporary.write_text(model_card(description), encoding="utf-8")
    write_json(folder / DESCRIPTION, description.model_dump(mode="json"))
    names = (WEIGHTS, DESCRIPTION, CARD, *(() if onnx is None else (ONNX,)))
    return Written(tuple(folder / name for name in names), description)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Each tensor with memory of its own, which safetensors insists on where an encoder uses one twice."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}


log = logging.getLogger("revalexo_clip")

Format = Literal["safetensors", "onnx", "revalexo"]


REVALEXO_FILE = "encoder.pt"


CHECKED_WINDOWS = 8
"""How many windows an ONNX file is compared with torch on."""


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
    if format == "onnx":
        require_onnx()
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(find_checkpoint(ckpt), experiment_file)
    run = folder_of(checkpoint.path)
    description = _describe(checkpoint, modality, _metrics_of(run, checkpoint.path))
    encoder = _take_tower(checkpoint, description)
    folder = checked_folder(out or run / "export" / modality)
    if format == "revalexo":
        written = _write_revalexo(folder, encoder)
    else:
        written = write_folder(folder, encoder, _check_windows(checkpoint, modality) if format == "onnx" else None)
    tower = encoder.encoder if format == "revalexo" else encoder  # without the projection head, or with it
    return Export(written.files, written.description, sum(parameter.numel() for parameter in tower.parameters()))


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
            data=type(experiment.data).__name__,
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


_NOT_CARRIED = ("checkpoint", "sha256", "probe", "activities")
"""What of the metrics an encoder does not take along: paths mean nothing elsewhere, and tables would be most of it."""


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
    return {name: value for name, value in metrics.items() if name not in _NOT_CARRIED}


def _check_windows(checkpoint: Checkpoint, modality: Modality) -> CheckWindows:
    """Windows of the validation subjects, spread over all there are; drawn ones where the dataset is not at hand."""
    described = checkpoint.description
    try:
        dataset = described.experiment.data.build("val", described.experiment.seed)
        imu = replace(dataset.imu_spec, mean=described.imu_spec.mean, std=described.imu_spec.std)
        if (imu, dataset.video_spec) != (described.imu_spec, described.video_spec):
            raise DataError("its windows are not those that the encoder was trained on")
        places = torch.linspace(0, len(dataset) - 1, min(CHECKED_WINDOWS, len(dataset))).long().tolist()
        samples = [dataset[0, place] for place in places]
    except DataError as error:
        log.warning("drawn windows stand in for the dataset's: %s", error)
        window = _drawn_imu(described.imu_spec) if modality == "imu" else _drawn_video(described.video_spec)
        return CheckWindows(window, f"{len(window)} drawn windows, for lack of the dataset")
    window = torch.stack([sample.imu_LC if modality == "imu" else sample.video_THWC for sample in samples])
    return CheckWindows(window, f"{counted(len(window), 'window')} of the validation subjects")


def _drawn_imu(spec: ImuSpec) -> Tensor:
    """Standard-normal windows; in the channels' own scale, where that was measured."""
    noise_BLC = torch.randn(
        CHECKED_WINDOWS, spec.samples, len(spec.channels), generator=torch.Generator().manual_seed(0)
    )
    if spec.mean is None or spec.std is None:
        return noise_BLC
    return noise_BLC * torch.tensor(spec.std) + torch.tensor(spec.mean)


def _drawn_video(spec: VideoSpec) -> Tensor:
    size = (CHECKED_WINDOWS, spec.frames, spec.crop, spec.crop, 3)
    return torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _write_revalexo(folder: Path, encoder: PretrainedEncoder) -> Written:
    """The state dict that RevalExo's downstream training loads: its names are those of our DeepConvLSTM."""
    description = encoder.description
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
        torch.save(own_tensors(encoder.encoder), file)
    return Written((path,), description)
