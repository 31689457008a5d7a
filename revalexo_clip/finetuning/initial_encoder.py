"""Where the encoder of an activity classifier comes from: a run, a checkpoint, an exported folder, or nowhere."""

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
    """Encoders to begin with: what they are, and what they have learned."""

    architecture: Architecture
    weights: Mapping[Modality, nn.Module] = field(default_factory=dict)
    """Modules whose weights are to be taken; new ones begin as they are built."""
    source: Path | None = None
    """The checkpoint or the folder that they were read from."""
    subjects: Mapping[Split, tuple[str, ...]] | None = field(default_factory=dict)
    """Subjects that they were trained and selected on; None where that is not known."""

    def load_into(self, model: ActivityClassifier) -> None:
        """Give an activity classifier of this architecture their weights."""
        for modality, module in self.weights.items():
            model.encoder(modality).load_state_dict(module.state_dict())


def read_pretrained(experiment: FinetuneExperiment, data: LabelledWindows) -> Pretrained:
    """The encoders of an experiment, to be trained on windows like these.

    Raises `ConfigError` where there is none, or none of this modality, and `DataError` where the windows are not what
    it takes.
    """
    if experiment.encoder is None:
        return Pretrained(_new(experiment, data))
    found = read_encoders(experiment.encoder.expanduser())
    for modality in experiment.modalities:
        if modality not in found.weights:
            has = " and ".join(found.weights)
            raise ConfigError(
                f"encoder: {found.source} is an encoder of {has} alone, and modality is {experiment.modality}; name a "
                "pretraining run, which has both"
            )
    if experiment.from_scratch:
        found = replace(found, weights={}, subjects={})
    return _restricted(found, experiment.modalities, data)


def read_encoders(where: Path) -> Pretrained:
    """Whatever encoders there are in a run folder, a checkpoint or an exported folder. Raises as `read_pretrained`."""
    return _exported(where) if (where / DESCRIPTION).is_file() else _checkpoint(where)


def _new(experiment: FinetuneExperiment, data: LabelledWindows) -> Architecture:
    """Encoders that the experiment describes itself."""
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
        imu=experiment.imu.model_copy(update={"frozen": 0}),  # that was for pretraining
        imu_spec=described.imu_spec,
        video=experiment.video.model_copy(update={"frozen": 0}),
        video_spec=described.video_spec,
    )
    return Pretrained(architecture, {"imu": model.imu, "video": model.video}, path, described.subjects)


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
    """Only the encoders that are needed, once it is known that they take such windows."""
    architecture = found.architecture
    if "imu" in modalities:
        assert architecture.imu_spec is not None
        check_same_imu(architecture.imu_spec, data.imu_spec, found.source)
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
