"""Read the encoder that finetuning starts from: a run, a checkpoint, an exported encoder, or a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Modality, Split
from revalexo_clip.data import LabelledWindows, WindowDataset
from revalexo_clip.evaluation.held_out import check_same_imu, check_same_video
from revalexo_clip.export import DESCRIPTION, PretrainedImuEncoder, PretrainedVideoEncoder, load_encoder
from revalexo_clip.models.classifier import ActivityClassifier, Architecture
from revalexo_clip.models.encoders import ImuEncoder
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint


@dataclass(frozen=True)
class Pretrained:
    """Encoders to start from."""

    architecture: Architecture
    weights: Mapping[Modality, nn.Module] = field(default_factory=dict)
    """Modules whose weights are copied; a modality that is missing starts with new weights."""
    source: Path | None = None
    """Checkpoint or folder that they were read from."""
    subjects: Mapping[Split, tuple[str, ...]] | None = field(default_factory=dict)
    """Training and validation subjects; None if they are unknown."""

    def load_into(self, model: ActivityClassifier) -> None:
        """Copy the weights into an activity classifier of this architecture."""
        for modality, module in self.weights.items():
            model.encoder(modality).load_state_dict(module.state_dict())


def read_pretrained(experiment: FinetuneExperiment, data: LabelledWindows) -> Pretrained:
    """Return the encoders of an experiment, for training on the windows of `data`.

    Raises `ConfigError` if there is no encoder, or none of this modality, `DataError` if its input differs from the
    windows.
    """
    if experiment.encoder is None:
        return Pretrained(_new(experiment, data))
    found = read_encoders(experiment.encoder.expanduser())
    for modality in experiment.modalities:
        if modality not in found.weights:
            has = " and ".join(found.weights)
            raise ConfigError(
                f"encoder: {found.source} has only an encoder of {has}, and modality is {experiment.modality}; name a "
                "pretraining run that has both encoders"
            )
    if experiment.from_scratch:
        found = replace(found, weights={}, subjects={})
    return _restricted(found, experiment.modalities, data)


def read_encoders(where: Path) -> Pretrained:
    """Read all encoders in a run folder, a checkpoint or an exported folder. Raises what `read_pretrained` raises."""
    return _exported(where) if (where / DESCRIPTION).is_file() else _checkpoint(where)


def _new(experiment: FinetuneExperiment, data: LabelledWindows) -> Architecture:
    """Return the architecture of the new encoders that an experiment defines."""
    imu_spec = data.imu_spec
    if experiment.standardize:
        mean, std = data.imu_statistics()
        imu_spec = replace(imu_spec, mean=mean, std=std)
    return Architecture(
        experiment.embed_dim,
        imu=experiment.imu,
        imu_spec=imu_spec if experiment.imu is not None else None,
        video=experiment.video,
        video_spec=data.video_spec if isinstance(data, WindowDataset) and experiment.video is not None else None,
    )


def _checkpoint(where: Path) -> Pretrained:
    path = find_checkpoint(where)
    checkpoint = load_checkpoint(path)
    described, model = checkpoint.description, checkpoint.build_model()
    experiment = described.experiment
    architecture = Architecture(
        experiment.embed_dim,
        imu=experiment.imu.model_copy(update={"frozen": 0}),  # a setting of the pretraining
        imu_spec=described.imu_spec,
        video=experiment.video and experiment.video.model_copy(update={"frozen": 0}),
        video_spec=described.video_spec,
    )
    weights: dict[Modality, nn.Module] = {"imu": model.imu}
    if model.video is not None:
        weights["video"] = model.video
    return Pretrained(architecture, weights, path, described.subjects)


def _exported(folder: Path) -> Pretrained:
    loaded = load_encoder(folder)
    described = loaded.description
    encoder = described.encoder.model_copy(update={"frozen": 0})
    imu = isinstance(encoder, ImuEncoder)
    architecture = Architecture(
        described.embed_dim,
        imu=encoder if isinstance(encoder, ImuEncoder) else None,
        imu_spec=loaded.spec if isinstance(loaded, PretrainedImuEncoder) else None,
        video=None if isinstance(encoder, ImuEncoder) else encoder,
        video_spec=loaded.spec if isinstance(loaded, PretrainedVideoEncoder) else None,
    )
    return Pretrained(architecture, {"imu" if imu else "video": loaded.encoder}, folder, loaded.subjects)


def _restricted(found: Pretrained, modalities: tuple[Modality, ...], data: LabelledWindows) -> Pretrained:
    """Return only the encoders of `modalities`, after checking that they take such windows."""
    architecture = found.architecture
    if "imu" in modalities:
        given, spec = data.imu_spec, architecture.imu_spec
        assert spec is not None
        if architecture.imu is not None and architecture.imu.any_sensors:
            spec = replace(spec, channels=given.channels, units=given.units, rate=given.rate)
            architecture = replace(architecture, imu_spec=spec)
        check_same_imu(spec, given, found.source)
    else:
        architecture = replace(architecture, imu=None, imu_spec=None)
    if "video" in modalities:
        assert architecture.video_spec is not None
        assert isinstance(data, WindowDataset)
        check_same_video(architecture.video_spec, data.video_spec, found.source)
    else:
        architecture = replace(architecture, video=None, video_spec=None)
    weights = {modality: module for modality, module in found.weights.items() if modality in modalities}
    return replace(found, architecture=architecture, weights=weights)
