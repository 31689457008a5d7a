"""The encoder that finetuning starts from: a run, a checkpoint, an exported encoder, or a new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.exported_encoder import exported_encoder
from support.small_finetuning import finetuning, same, train_classifier
from torch import Tensor, nn

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.models.encoders import AnySensor, ResNet1D
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

NEW: dict[str, object] = {"imu": {"type": "DeepConvLSTM", "maps": 4, "hidden": 8}, "embed_dim": 16}


def encoder_of(model: nn.Module, modality: str = "imu") -> dict[str, Tensor]:
    return dict(model.get_submodule(modality).state_dict())


@pytest.fixture(scope="module")
def pretrained(trained_run: Path) -> nn.Module:
    return load_checkpoint(trained_run / "checkpoints/best.ckpt").build_model()


@pytest.mark.long
@pytest.mark.parametrize("modality", ["imu", "video", "both"])
@pytest.mark.parametrize("of", ["run", "checkpoint"])
def test_an_activity_classifier_begins_with_the_encoders_of_a_run(
    distinct: Path, trained_run: Path, pretrained: nn.Module, modality: str, of: str
) -> None:
    source = trained_run if of == "run" else trained_run / "checkpoints/last.ckpt"
    parts = build_finetune_setup(finetuning(distinct, source, modality=modality))
    for tower in ("imu", "video") if modality == "both" else (modality,):
        assert same(encoder_of(parts.model, tower), encoder_of(pretrained, tower))
    assert set(parts.model.towers()) == set(parts.experiment.modalities)
    assert parts.description.pretrained_on == {"train": ("Subject01", "Subject02"), "val": ("Subject08",)}


@pytest.mark.long
def test_an_activity_classifier_begins_with_an_exported_encoder(
    distinct: Path, run: Path, pretrained: nn.Module, tmp_path: Path
) -> None:
    folder = export_encoder("imu", run, out=tmp_path / "encoder").files[0].parent
    parts = build_finetune_setup(finetuning(distinct, folder))
    assert same(encoder_of(parts.model), encoder_of(pretrained))
    with pytest.raises(ConfigError, match="only an encoder of imu, and modality is both; name a pretraining run"):
        build_finetune_setup(finetuning(distinct, folder, modality="both"))


def wrists(path: Path, encoder: Path, **fields: object) -> FinetuneExperiment:
    """Finetuning on recordings of a wrist at 100 Hz: two of 8 s for each of three subjects."""
    channels = [f"{kind}_Right_Wrist_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
    data_NC = np.random.default_rng(0).normal(2, 4, (6 * 800, 6)).astype(np.float32)
    np.savez(
        path,
        data=data_NC,
        channels=channels,
        fs=100.0,
        offsets=np.arange(7) * 800,
        subject=np.repeat([1, 2, 3], 2),
        label=np.array([0, 1] * 3),
        activities=["lie", "sit"],
    )
    data = {"type": "ImuRecordings", "root": str(path), "imu_rate": 100, "workers": 0, **fields}
    split = {"train_subjects": ["1"], "val_subjects": ["2"], "test_subjects": ["3"]}
    return FinetuneExperiment.model_validate(
        {"name": "wrist", "data": {**data, **split}, "encoder": encoder, "batch_size": 4}
    )


def test_an_encoder_of_any_sensors_is_finetuned_on_those_of_the_data(tmp_path: Path) -> None:
    encoder, path = exported_encoder(tmp_path / "encoder", AnySensor(width=8)), tmp_path / "wrists.npz"
    parts = build_finetune_setup(wrists(path, tmp_path / "encoder"))
    assert same(encoder_of(parts.model), dict(encoder.encoder.state_dict()))
    spec = parts.description.imu_spec
    assert spec is not None
    assert (len(spec.channels), spec.rate, spec.window) == (6, 100.0, 2.0)
    assert "acc_Right_Wrist_x" in spec.channels
    with pytest.raises(DataError, match="window"):
        build_finetune_setup(wrists(path, tmp_path / "encoder", window=2.5))
    exported_encoder(tmp_path / "other", ResNet1D(width=8))
    with pytest.raises(DataError, match="channels"):
        build_finetune_setup(wrists(path, tmp_path / "other"))


def test_from_scratch_is_the_same_encoder_with_other_weights(
    distinct: Path, trained_run: Path, pretrained: nn.Module
) -> None:
    parts = build_finetune_setup(finetuning(distinct, trained_run, from_scratch=True))
    mine, theirs = encoder_of(parts.model), encoder_of(pretrained)
    assert {name: tensor.shape for name, tensor in mine.items()} == {name: t.shape for name, t in theirs.items()}
    assert not same(mine, theirs)
    assert parts.description.pretrained_on == {}


def test_standardisation_comes_with_the_encoder_or_from_the_training_subjects(
    distinct: Path, trained_run: Path
) -> None:
    new = build_finetune_setup(finetuning(distinct, None, standardize=True, **NEW))
    assert new.description.imu_spec is not None
    assert (new.description.imu_spec.mean, new.description.imu_spec.std) == new.train.imu_statistics()
    assert new.model.samples is not None
    assert new.model.samples.mean is not None
    taken = build_finetune_setup(finetuning(distinct, trained_run))
    assert taken.model.samples is not None
    assert taken.model.samples.mean is None, "it was pretrained without"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"encoder": None}, "imu: without `encoder`, a new encoder is needed for each modality"),
        ({"imu": {"type": "DeepConvLSTM"}}, "imu: the encoder comes from somewhere, with its architecture"),
        ({"standardize": True}, "standardize: standardisation comes with the encoder"),
        ({"encoder": None, "from_scratch": True, **NEW}, "from_scratch: without `encoder` every encoder is new"),
        (
            {"encoder": None, "video": {"type": "X3D"}, **NEW},
            "video: not used with modality=imu",
        ),
        (
            {"video_augment": [{"type": "Grayscale"}]},
            "video_augment: not used with modality=imu",
        ),
        ({"label_fraction": 0}, "label_fraction"),
        ({"micro_batch": 9}, "micro_batch: 9 is more than batch_size, 8"),
        ({"freezing": {"epochs": "some"}}, "freezing"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        finetuning(Path("nowhere"), **({"encoder": Path("somewhere")} | fields))  # type: ignore[arg-type]
    assert says in str(refused.value)


def test_an_encoder_that_is_not_there_is_an_error(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone: no such checkpoint or run folder"):
        train_classifier(finetuning(distinct, tmp_path / "gone"), tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
def test_an_encoder_of_other_channels_is_refused(distinct: Path, trained_run: Path) -> None:
    experiment = finetuning(distinct, trained_run)
    fewer = experiment.data.model_copy(update={"channels": ("acc_*",)})
    with pytest.raises(DataError, match=r"IMU channels: gyro_Pelvis_x, gyro_Pelvis_y missing here"):
        build_finetune_setup(experiment.model_copy(update={"data": fewer}))


@pytest.mark.long
def test_an_encoder_that_has_seen_test_subjects_is_refused(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    experiment = finetuning(distinct, trained_run)
    data = experiment.data.split(("05",), ("09",), ("01", "08"))
    experiment = experiment.model_copy(update={"data": data})
    with pytest.raises(ConfigError, match=r"(?s)Subject01.*Subject08.*--allow-seen-subjects"):
        train_classifier(experiment, tmp_path)
    assert not (tmp_path / "runs").exists()
    build_finetune_setup(experiment, allow_seen_subjects=True)
    build_finetune_setup(experiment.model_copy(update={"from_scratch": True}))
