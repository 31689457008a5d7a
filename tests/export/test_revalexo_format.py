"""Imported encoders: a state dict with RevalExo's names becomes an encoder folder with the same features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from support.plain_deep_conv_lstm import PlainDeepConvLSTM
from support.small_finetuning import finetuning
from support.small_process import EXPERIMENT, call
from support.small_run import built_in_experiment
from torch import Tensor

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.export.revalexo import import_encoder
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.models.encoders import DeepConvLSTM
from revalexo_clip.runs.checkpoint import PRETRAINING_KEY, load_checkpoint

State = dict[str, Tensor]


def random_imu() -> Tensor:
    return torch.randn(3, 120, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def plain() -> PlainDeepConvLSTM:
    torch.manual_seed(0)
    return PlainDeepConvLSTM(channels=6, features=20, maps=5, hidden=12).eval()


@pytest.mark.long
def test_what_was_exported_comes_back(run: Path, distinct: Path, tmp_path: Path) -> None:
    (file,) = export_encoder("imu", run, format="revalexo").files
    imported = import_encoder(file, built_in_experiment(distinct), out=tmp_path / "imported")
    ours = load_encoder(export_encoder("imu", run).files[0].parent)
    encoder = load_encoder(tmp_path / "imported")
    with torch.no_grad():
        assert torch.equal(encoder(random_imu()), ours(random_imu()))
    assert encoder.description.imu == ours.description.imu
    assert encoder.description.encoder == ours.description.encoder
    assert imported.ignored == ()
    assert imported.parameters == sum(parameter.numel() for parameter in ours.encoder.parameters())


def test_a_checkpoint_of_others_becomes_a_folder(plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path) -> None:
    state = {f"module.imu_encoder.{name}": tensor for name, tensor in plain.state_dict().items()}
    others = {"module.imu_encoder.classifier.weight": torch.zeros(9, 20), "module.video.weight": torch.zeros(2)}
    torch.save({"epoch": 3, "model_state_dict": state | others}, tmp_path / "theirs.pt")
    arguments = ("--experiment", EXPERIMENT, "--set", f"data.root={distinct}", "--subjects", "Subject01, Subject02")
    finished = call("import-encoder", tmp_path / "theirs.pt", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    first, *files, aside = finished.stdout.splitlines()
    assert first.startswith("DeepConvLSTM, ")
    assert len(files) == 3
    assert aside == "ignored, because they are not part of the encoder: classifier.weight, module.video.weight"
    encoder = load_encoder(tmp_path / "theirs")
    assert isinstance(encoder, PretrainedImuEncoder)
    with torch.no_grad():
        torch.testing.assert_close(encoder(random_imu()), plain(random_imu()), rtol=0, atol=1e-6)
    assert encoder.subjects == {"train": ("Subject01", "Subject02")}
    assert encoder.recording_features(random_imu()[0].numpy(), rate=60.0).vector_ND.shape == (1, 20)
    with pytest.raises(
        ValueError, match=r"features only: it was imported from theirs\.pt, which contains no projection"
    ):
        encoder.embed(random_imu())


@pytest.mark.long
def test_training_subjects_are_unknown_unless_they_are_named(
    plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path
) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    assert load_encoder(tmp_path / "theirs").subjects is None
    card = (tmp_path / "theirs" / "README.md").read_text()
    assert "The training subjects are unknown." in card
    assert "trained elsewhere and imported from `theirs.pt`" in card
    assert "embed" not in card


def test_training_subjects_are_named_as_in_an_experiment(
    plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path
) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    experiment = built_in_experiment(distinct)
    imported = import_encoder(tmp_path / "theirs.pt", experiment, subjects=["09", "Subject01"])
    assert imported.description.origin.subjects == {"train": ("Subject09", "Subject01")}


@pytest.mark.parametrize(
    ("subjects", "says"),
    [
        (["01", "nobody"], "--subjects: .*subject 'nobody' is not in the dataset; available subjects: Subject01, Sub"),
        (["01", "Subject01"], "--subjects: subject 01 is twice in test_subjects"),
        ([], "--subjects names no subject; omit it if"),
    ],
)
def test_training_subjects_that_are_not_in_the_dataset_are_refused(
    plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path, subjects: list[str], says: str
) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(ConfigError, match=says):
        import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct), subjects=subjects)
    assert not (tmp_path / "theirs").exists()


def test_a_finetuning_is_not_tested_on_training_subjects_that_an_older_import_knows_by_number(
    plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path
) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    folder = (
        import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct), subjects=["05", "01"]).files[0].parent
    )
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"Subject05"', '"05"'))
    assert load_encoder(folder).subjects == {"train": ("05", "Subject01")}
    with pytest.raises(ConfigError, match="Test subjects Subject05 were used in training, so"):
        build_finetune_setup(finetuning(distinct, folder, modality="imu"))


@pytest.mark.parametrize(
    ("build", "fields"),
    [
        (partial(PlainDeepConvLSTM, 6, 12, 5, 12), {"projector": False}),
        (partial(PlainDeepConvLSTM, 6, 20, 5, 12, kernels=(5, 5, 5, 5)), {"kernel": 5}),
        (partial(PlainDeepConvLSTM, 6, 20, 5, 12, kernels=(11, 9, 7, 5)), {"kernel": (11, 9, 7, 5)}),
        (partial(PlainDeepConvLSTM, 6, 20, 5, 12, layers=3), {"layers": 3}),
        (
            partial(PlainDeepConvLSTM, 6, 12, 5, 12, kernels=(5, 5, 5, 5), layers=2),
            {"projector": False, "kernel": 5, "layers": 2},
        ),
    ],
    ids=["no projector", "kernel", "kernels", "layers", "as RevalExo's defaults"],
)
def test_other_sizes_have_the_features_of_the_original(
    distinct: Path, tmp_path: Path, build: Callable[[], PlainDeepConvLSTM], fields: dict[str, object]
) -> None:
    torch.manual_seed(0)
    plain = build().eval()
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    imported = import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    assert imported.description.encoder == DeepConvLSTM.model_validate({"maps": 5, "hidden": 12} | fields)
    assert imported.ignored == ()
    assert imported.parameters == sum(parameter.numel() for parameter in plain.parameters())
    encoder = load_encoder(tmp_path / "theirs")
    with torch.no_grad():
        torch.testing.assert_close(encoder(random_imu()), plain(random_imu()), rtol=0, atol=1e-6)


def pretrained_from(folder: Path, checkpoint: Path, root: Path) -> None:
    """Replace a pretraining checkpoint by one whose IMU encoder is that of an encoder folder."""
    encoder, described = load_encoder(folder), load_checkpoint(checkpoint).description
    experiment = built_in_experiment(root, imu=encoder.description.encoder, embed_dim=16)
    model = experiment.build_model(described.imu_spec, described.video_spec)
    model.imu.load_state_dict(encoder.encoder.state_dict())
    description = described.model_copy(update={"experiment": experiment}).model_dump_json()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.unlink()  # not written through a link to the original
    torch.save({PRETRAINING_KEY: description, "state_dict": state, "epoch": 0, "global_step": 1}, checkpoint)


@pytest.mark.long
def test_an_encoder_without_projector_returns_to_revalexo(run: Path, distinct: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = PlainDeepConvLSTM(channels=6, features=12, maps=5, hidden=12, kernels=(5, 5, 5, 5), layers=2).eval()
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    pretrained_from(tmp_path / "theirs", run / "checkpoints" / "best.ckpt", distinct)
    for _ in range(2):  # the second replaces the first
        (file,) = export_encoder("imu", run, format="revalexo", out=tmp_path / "ours").files
    exported = torch.load(file, weights_only=True)
    assert list(exported) == list(plain.state_dict())
    assert all(torch.equal(exported[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.long
def test_kernels_that_differ_do_not_return_to_revalexo(run: Path, distinct: Path, tmp_path: Path) -> None:
    torch.save(PlainDeepConvLSTM(6, 16, 5, 12, kernels=(11, 9, 7, 5)).state_dict(), tmp_path / "theirs.pt")
    import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    pretrained_from(tmp_path / "theirs", run / "checkpoints" / "best.ckpt", distinct)
    with pytest.raises(ConfigError, match=r"kernels 11, 9, 7, 5, and those of RevalExo's encoder have one length"):
        export_encoder("imu", run, format="revalexo")
    assert not (run / "export").exists()


def test_a_finetuning_starts_from_an_encoder_without_projector(distinct: Path, tmp_path: Path) -> None:
    plain = PlainDeepConvLSTM(channels=6, features=12, maps=5, hidden=12, layers=2).eval()
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    imported = import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct), subjects=["01"])
    model = build_finetune_setup(finetuning(distinct, imported.files[0].parent, modality="imu")).model.eval()
    assert model.imu is not None
    with torch.no_grad():
        torch.testing.assert_close(model.imu(random_imu()), plain(random_imu()), rtol=0, atol=1e-6)
        assert len(model(random_imu(), torch.empty(0))[0]) == 3


def test_the_command_says_what_the_features_are_without_a_projector(distinct: Path, tmp_path: Path) -> None:
    torch.save(PlainDeepConvLSTM(6, 12, 5, 12).state_dict(), tmp_path / "theirs.pt")
    arguments = ("--experiment", EXPERIMENT, "--set", f"data.root={distinct}")
    finished = call("import-encoder", tmp_path / "theirs.pt", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "it has no feature_projector; its features are the last output of its LSTM" in finished.stdout


def without(name: str) -> Callable[[State], object]:
    return lambda state: state.pop(name)


def replaced(name: str, *shape: int) -> Callable[[State], object]:
    return lambda state: state.__setitem__(name, torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("lstm.bias_hh_l0"), "lstm.bias_hh_l0 is missing"),
        (without("lstm.weight_hh_l0"), r"lstm\.weight_hh_l0 is missing"),
        (without("feature_projector.weight"), r"feature_projector\.weight is missing"),
        (without("conv1.weight"), r"has no encoder with RevalExo's names: conv1\.weight is missing"),
        (replaced("conv1.weight", 5, 1, 11), r"conv1\.weight has shape \[5, 1, 11\], expected 4 axes"),
        (without("conv3.weight"), r"conv3\.weight is missing"),
        (replaced("conv3.weight", 5, 4, 9, 1), r"conv3\.weight has shape \[5, 4, 9, 1\], expected \[5, 5, 9, 1\]"),
        (
            replaced("conv2.weight", 5, 5, 1, 11),
            r"conv2\.weight with shape \[5, 5, 1, 11\] is a convolution across cha",
        ),
        (replaced("conv5.weight", 5, 5, 11, 1), r"conv5\.weight with shape \[5, 5, 11, 1\] is not part of a DeepConv"),
        (
            replaced("lstm.weight_ih_l0", 48, 210),
            r"lstm\.weight_ih_l0 has shape \[48, 210\], expected \[48, 30\] \(42 channels of 5 maps; .* have 6",
        ),
        (replaced("lstm.weight_ih_l1", 48, 12), r"lstm\.weight_hh_l1 is missing"),
        (replaced("lstm.weight_ih_l2", 48, 12), r"lstm\.weight_ih_l2 with shape \[48, 12\] is not part of"),
        (
            replaced("lstm.weight_ih_l0_reverse", 48, 30),
            r"lstm\.weight_ih_l0_reverse with shape \[48, 30\] .* bidirect",
        ),
        (replaced("lstm.weight_hr_l0", 4, 12), r"lstm\.weight_hr_l0 with shape \[4, 12\] .* \(proj_size\)"),
    ],
)
def test_every_tensor_that_does_not_fit_is_named(
    plain: PlainDeepConvLSTM,
    distinct: Path,
    tmp_path: Path,
    change: Callable[[State], object],
    says: str,
) -> None:
    state = dict(plain.state_dict())
    change(state)
    torch.save(state, tmp_path / "theirs.pt")
    with pytest.raises(DataError, match=rf"(?s)theirs\.pt.*{says}"):
        import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    assert not (tmp_path / "theirs").exists()


def test_a_window_that_is_too_short_for_it_is_an_error(
    plain: PlainDeepConvLSTM, distinct: Path, tmp_path: Path
) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    experiment = built_in_experiment(distinct)
    short = experiment.model_copy(update={"data": experiment.data.model_copy(update={"window": 0.5})})
    with pytest.raises(ConfigError, match="need 41 samples"):
        import_encoder(tmp_path / "theirs.pt", short)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_what_is_no_state_dict_is_an_error_that_names_the_file(distinct: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "theirs.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"theirs\.pt is not a state dict"):
        import_encoder(tmp_path / "theirs.pt", built_in_experiment(distinct))
    with pytest.raises(ConfigError, match=r"no\.pt: no such file"):
        import_encoder(tmp_path / "no.pt", built_in_experiment(distinct))


def test_without_the_recordings_the_channels_have_no_names(plain: PlainDeepConvLSTM, tmp_path: Path) -> None:
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(
        DataError, match=r"the recordings of built_in are needed for the names of the channels: .*nowhere"
    ):
        import_encoder(tmp_path / "theirs.pt", built_in_experiment(tmp_path / "nowhere"))
