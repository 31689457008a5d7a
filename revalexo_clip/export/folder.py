"""Export one encoder of a checkpoint, as `rxclip export-encoder` does.

The folder holds the weights, a description and a model card and, on request, the same encoder as ONNX; or it holds a
state dict for RevalExo.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from pydantic import JsonValue
from safetensors.torch import save
from torch import Tensor, nn

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically, checked_folder, sha256_of, write_json
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
from revalexo_clip.export.loading import weights_metadata
from revalexo_clip.export.model_card import model_card
from revalexo_clip.export.model_card_results import PROBE, probe_summary
from revalexo_clip.export.onnx import CheckWindows, require_onnx, write_onnx
from revalexo_clip.export.own_files import REVALEXO_FILE, move, refuse_files_of_others, staged
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM, DeepConvLSTMNet
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import is_classifier
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.runs.options import optional_path

log = logging.getLogger("revalexo_clip")

Format = Literal["safetensors", "onnx", "revalexo"]

CHECKED_WINDOWS = 8
"""Number of windows on which an ONNX file is compared with torch."""

_NOT_EXPORTED = ("checkpoint", "sha256", "probe", "activities")
"""Results that `config.json` does not repeat: paths have no meaning elsewhere, and tables are long."""


class Written(NamedTuple):
    """Files of an encoder folder, and the description in them."""

    files: tuple[Path, ...]
    description: EncoderDescription


@dataclass(frozen=True)
class Export:
    """Result of an export."""

    files: tuple[Path, ...]
    """Files that were written."""
    description: EncoderDescription
    """Content of `config.json`."""
    parameters: int
    """Number of parameters."""


def write_folder(folder: Path, encoder: PretrainedEncoder, onnx: CheckWindows | None = None) -> Written:
    """Write a folder for `load_encoder`, with `encoder.onnx` if there are windows to check it on.

    If that fails, an export that is already in the folder stays as it is. Raises `ConfigError` if the folder has files
    of somebody else under these names.
    """
    description = encoder.description
    names = (WEIGHTS, CARD, *(() if onnx is None else (ONNX,)), DESCRIPTION)
    refuse_files_of_others(folder, (WEIGHTS, CARD, ONNX, DESCRIPTION))
    with staged(folder) as stage:
        if onnx is not None:
            description = description.model_copy(update={"onnx": write_onnx(stage / ONNX, encoder, onnx)})
        with atomically(stage / WEIGHTS) as temporary:
            temporary.write_bytes(save(own_tensors(encoder), metadata=weights_metadata(description)))
        with atomically(stage / CARD) as temporary:
            temporary.write_text(model_card(description), encoding="utf-8")
        write_json(stage / DESCRIPTION, description.model_dump(mode="json"))
        # The description is deleted first and moved last, so that it never describes other weights.
        move(stage, folder, names, without=(DESCRIPTION, ONNX))
    written = (WEIGHTS, DESCRIPTION, CARD, *(() if onnx is None else (ONNX,)))
    return Written(tuple(folder / name for name in written), description)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Copy each tensor: safetensors refuses tensors that share memory."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}


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
    encoder = _take_tower(checkpoint, modality, _metrics_of(run, checkpoint.path, modality))
    description = encoder.description
    folder = checked_folder(run / "export" / modality if out is None else Path(out))
    if format == "revalexo":
        written = _write_revalexo(folder, encoder)
    else:
        written = write_folder(folder, encoder, _check_windows(checkpoint, description) if format == "onnx" else None)
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


def _metrics_of(run: Path, checkpoint: Path, modality: Modality) -> JsonObject | None:
    """Return the results of `rxclip evaluate` on the checkpoint's own test subjects; None if there are none.

    They are identified by the digest of the checkpoint: `best.ckpt` is replaced during training.
    """
    path = run / "evaluation" / "metrics.json"
    if not path.is_file():
        return None
    try:
        metrics: JsonValue = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is corrupt ({error}); run `rxclip evaluate` again, or delete it") from error
    if not isinstance(metrics, dict) or metrics.get("sha256") != sha256_of(checkpoint):
        return None
    probe = probe_summary(metrics.get("probe"), modality)
    return {name: value for name, value in metrics.items() if name not in _NOT_EXPORTED} | {PROBE: probe}


def _check_windows(checkpoint: Checkpoint, encoder: EncoderDescription) -> CheckWindows:
    """Return windows of the validation subjects, evenly spread; random ones if the dataset is not available."""
    described = checkpoint.description
    try:
        dataset = described.experiment.windows("val")
        imu = replace(dataset.imu_spec, mean=described.imu_spec.mean, std=described.imu_spec.std)
        if (imu, dataset.video_spec) != (described.imu_spec, described.video_spec):
            raise DataError("its windows do not have the format of the training")
        places = torch.linspace(0, len(dataset) - 1, min(CHECKED_WINDOWS, len(dataset))).long().tolist()
        samples = [dataset[0, place] for place in places]
    except DataError as error:
        log.warning("using random windows, because the dataset cannot be read: %s", error)
        video = {} if described.video_spec is None else _random_video(described.video_spec)
        drawn = {"imu": _random_imu(described.imu_spec), **video}
        inputs = {name: drawn[name] for name in encoder.inputs}
        return CheckWindows(inputs, f"{CHECKED_WINDOWS} random windows, because the dataset was not available")
    fields = {"imu": "imu_LC", "video": "video_THWC", "motion": "motion_MYX3"}
    inputs = {name: torch.stack([getattr(sample, fields[name]) for sample in samples]) for name in encoder.inputs}
    return CheckWindows(inputs, f"{counted(len(samples), 'window')} of the validation subjects")


def _random_imu(spec: ImuSpec) -> Tensor:
    """Draw standard-normal windows, scaled to the channels if their mean and deviation are known."""
    noise_BLC = torch.randn(
        CHECKED_WINDOWS, spec.samples, len(spec.channels), generator=torch.Generator().manual_seed(0)
    )
    if spec.mean is None or spec.std is None:
        return noise_BLC
    return noise_BLC * torch.tensor(spec.std) + torch.tensor(spec.mean)


def _random_video(spec: VideoSpec) -> dict[str, Tensor]:
    """Draw frames, and motion if windows have any."""
    generator = torch.Generator().manual_seed(0)
    size = (CHECKED_WINDOWS, spec.images, spec.crop, spec.crop, 3)
    drawn = {"video": torch.randint(256, size, dtype=torch.uint8, generator=generator)}
    if spec.motion is not None:
        grid = (CHECKED_WINDOWS, spec.motion.moments, spec.motion.rows, spec.motion.columns)
        shift_BMYX2 = torch.randn(*grid, 2, generator=generator)
        drawn["motion"] = torch.cat((shift_BMYX2, torch.rand(*grid, 1, generator=generator)), dim=-1)
    return drawn


def _write_revalexo(folder: Path, encoder: PretrainedEncoder) -> Written:
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
